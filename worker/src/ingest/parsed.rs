//! What parsing a chunk yields, and the choice of the reader by format.

use polars::prelude::{Column, DataFrame, PlSmallStr};
use shardmill_common::damaged::unless_damaged;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::ingest::{Constant, Odd, ParseTask, SourceFormat};
use shardmill_common::schema::Schema;
use shardmill_common::text::Encoding;

use super::origin::Origins;
use super::{columnar, plain, text};
use crate::frame::{Fitted, fit};

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
    /// Records that were filled, that were cut, and that may have swallowed others.
    pub odd: [Odd; 3],
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
    let mut parsed = parse_file(bytes, task)?;
    for constant in task.constants.iter().flat_map(|all| all.iter()) {
        set_constant(&mut parsed.frame, constant, task)?;
    }
    Ok(parsed)
}

/// Gives a column that the schema has for it the value that all rows of the source have.
fn set_constant(frame: &mut DataFrame, constant: &Constant, task: &ParseTask) -> Result<(), Failure> {
    let Some(value) = &constant.value else { return Ok(()) };
    let Some(field) = task.schema.get(&constant.column) else { return Ok(()) };
    let one = Column::new(PlSmallStr::from_str(&constant.column), [value.as_str()]);
    let fitted = fit(&one, field.dtype, true)?.filter(|fitted| fitted.misfits.is_empty());
    let Some(Fitted { column, .. }) = fitted else {
        let (path, name, dtype) = (&task.source_name, &constant.column, field.dtype);
        return Err(Failure::bad_input(format!(
            "{path}: `{name}` is `{value}` in the path, which is not {}",
            dtype.with_article()
        )));
    };
    let rows = frame.height();
    frame.with_column(column.new_from_index(0, rows)).map_err(Failure::internal)?;
    Ok(())
}

/// What a library reads that panics on some damaged files.
fn whole(task: &ParseTask, parse: impl FnOnce() -> Result<Parsed, Failure>) -> Result<Parsed, Failure> {
    unless_damaged(parse).unwrap_or_else(|| {
        Err(Failure::bad_input(format!("{} is damaged: copy or download it again", task.source_name)))
    })
}

fn parse_file(bytes: Vec<u8>, task: &ParseTask) -> Result<Parsed, Failure> {
    match &*task.format {
        SourceFormat::Csv { dialect, columns } => text::parse_csv(bytes, task, dialect, columns),
        SourceFormat::JsonLines => text::parse_json_lines(bytes, task, Encoding::Utf8),
        SourceFormat::Lines { encoding } => plain::parse_lines(bytes, task, *encoding),
        SourceFormat::Parquet => whole(task, || columnar::parse_parquet(bytes, task)),
        SourceFormat::Arrow => whole(task, || columnar::parse_arrow(bytes, task)),
    }
}
