//! What parsing a chunk yields, and the choice of the reader by format.

use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::ingest::ParseTask;
use shardmill_common::kinds::ingest::SourceFormat;
use shardmill_common::schema::Schema;
use shardmill_common::text::Encoding;

use super::origin::Origins;
use super::{columnar, plain, text};

/// A parsed chunk.
#[derive(Debug)]
pub struct Parsed {
    /// The columns of the task's schema in its order, widened where the cells needed it; then, for JSON lines without a
    /// fixed schema, columns for keys that the schema lacks.
    pub frame: DataFrame,
    /// In the order of the source.
    pub rejected: Vec<Rejected>,
    /// The task's schema joined with what the cells of this chunk need: the types of `frame`.
    pub observed: Schema,
    /// Records, the rejected ones included.
    pub rows_read: u64,
    pub origins: Origins,
}

impl Parsed {
    /// The line (for Parquet and Arrow the row, from 1) and raw text of a row of `frame`.
    pub fn origin(&self, row: usize) -> (u64, String) {
        self.origins.origin(row)
    }
}

/// A record that is not part of the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub line: u64,
    pub raw: String,
    pub reason: String,
}

/// Parses a whole, record-aligned chunk.
pub fn parse(bytes: Vec<u8>, task: &ParseTask) -> Result<Parsed, Failure> {
    match &*task.format {
        SourceFormat::Csv { dialect, columns } => text::parse_csv(bytes, task, dialect, columns),
        SourceFormat::JsonLines => text::parse_json_lines(bytes, task, Encoding::Utf8),
        SourceFormat::Lines { encoding } => plain::parse_lines(bytes, task, *encoding),
        SourceFormat::Parquet => columnar::parse_parquet(bytes, task),
        SourceFormat::Arrow => columnar::parse_arrow(bytes, task),
    }
}
