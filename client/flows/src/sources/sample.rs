//! What a piece of a text source tells of its columns. The adapter to `shardmill_common::text`'s samplers.

use shardmill_common::kinds::ingest::SourceFormat;
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::text::{DialectError, Grammar, sample_csv, sample_json_lines};

use super::error::SourceError;

/// Bytes of a source's start that are sampled: about a thousand records.
pub const START: usize = 256 << 10;
/// Bytes of a later chunk's start that are sampled: some records.
pub const LATER: usize = 16 << 10;

/// The columns and types in `data`, which begins where a record begins. `last`: it ends where the source ends.
pub fn sample(
    name: &str,
    format: &SourceFormat,
    nulls: &[String],
    data: &[u8],
    last: bool,
) -> Result<Schema, SourceError> {
    match format {
        SourceFormat::Csv { dialect, columns } => sample_csv(data, dialect, columns, nulls, last).map_err(wrong(name)),
        SourceFormat::JsonLines => Ok(sample_json_lines(data, nulls, last)),
        SourceFormat::Lines { .. } => Ok(Schema::new(vec![Field::new(SourceFormat::LINE, DataType::String)])),
        SourceFormat::Parquet | SourceFormat::Arrow => Ok(Schema::default()),
    }
}

/// Where records of the source end.
pub fn grammar(name: &str, format: &SourceFormat) -> Result<Grammar, SourceError> {
    match format {
        SourceFormat::Csv { dialect, .. } => Grammar::of(dialect).map_err(wrong(name)),
        _ => Ok(Grammar::lines()),
    }
}

fn wrong(name: &str) -> impl FnOnce(DialectError) -> SourceError {
    |error| SourceError::Dialect { name: name.to_owned(), error }
}
