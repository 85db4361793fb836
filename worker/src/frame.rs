//! The bridge between the engine's frames and Shardmill's schemas.

use polars::prelude::{DataFrame, DataType as PolarsType, TimeUnit, TimeZone};
use shardmill_common::failure::Failure;
use shardmill_common::schema::{DataType, Field, Schema};

/// The engine's type for one of ours.
pub fn polars_type(dtype: DataType) -> PolarsType {
    match dtype {
        DataType::Null => PolarsType::Null,
        DataType::Boolean => PolarsType::Boolean,
        DataType::Int64 => PolarsType::Int64,
        DataType::Float64 => PolarsType::Float64,
        DataType::Date => PolarsType::Date,
        DataType::Datetime => PolarsType::Datetime(TimeUnit::Microseconds, None),
        DataType::DatetimeUtc => PolarsType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
        DataType::String => PolarsType::String,
    }
}

/// Our type for one of the engine's, if we store it.
pub fn our_type(dtype: &PolarsType) -> Option<DataType> {
    Some(match dtype {
        PolarsType::Null => DataType::Null,
        PolarsType::Boolean => DataType::Boolean,
        PolarsType::Int64 => DataType::Int64,
        PolarsType::Float64 => DataType::Float64,
        PolarsType::Date => DataType::Date,
        PolarsType::Datetime(TimeUnit::Microseconds, None) => DataType::Datetime,
        PolarsType::Datetime(TimeUnit::Microseconds, Some(zone)) if zone.as_str() == "UTC" => DataType::DatetimeUtc,
        PolarsType::String => DataType::String,
        _ => return None,
    })
}

/// The schema of a frame whose columns are all of stored types.
pub fn schema_of(frame: &DataFrame) -> Result<Schema, Failure> {
    let mut fields = Vec::with_capacity(frame.width());
    for column in frame.columns() {
        let dtype = our_type(column.dtype()).ok_or_else(|| {
            Failure::bad_input(format!(
                "column `{}` has the type {}, which Shardmill does not store; cast it to int64, float64, boolean, date, datetime or string",
                column.name(),
                column.dtype()
            ))
        })?;
        fields.push(Field::new(column.name().as_str(), dtype));
    }
    Ok(Schema::new(fields))
}
