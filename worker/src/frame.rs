//! The bridge between the engine's frames and Shardmill's schemas.

use polars::prelude::{Column, DataFrame, DataType as PolarsType, IntoColumn, StringChunked, TimeUnit, TimeZone};
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

/// The column as a stored type; `None` if that would lose something.
pub fn to_stored(column: &Column) -> Option<Column> {
    let micros = |zone| PolarsType::Datetime(TimeUnit::Microseconds, zone);
    let to = match column.dtype() {
        PolarsType::Null => PolarsType::String,
        PolarsType::Float32 => PolarsType::Float64,
        dtype if dtype.is_integer() => PolarsType::Int64,
        PolarsType::Datetime(_, zone) => micros(zone.is_some().then_some(TimeZone::UTC)),
        PolarsType::Boolean | PolarsType::Float64 | PolarsType::Date | PolarsType::String => {
            return Some(column.clone());
        }
        _ => return None,
    };
    let cast = column.strict_cast(&to).ok()?;
    // Nanoseconds that are no whole microseconds would be cut.
    if let PolarsType::Datetime(TimeUnit::Nanoseconds, _) = column.dtype() {
        let exact = column.to_physical_repr().i64().ok()?.iter().all(|cell| cell.is_none_or(|ns| ns % 1000 == 0));
        return exact.then_some(cast);
    }
    Some(cast)
}

/// Brings a column to a wider type of the lattice. Text is written the way exports write it.
pub fn widen(column: &Column, dtype: DataType) -> Result<Column, Failure> {
    let target = polars_type(dtype);
    let failed = |e: polars::error::PolarsError| {
        Failure::internal(format!("column `{}` cannot become {dtype}: {e}", column.name()))
    };
    match (our_type(column.dtype()), dtype) {
        (Some(DataType::Float64), DataType::String) => {
            let text: StringChunked = column.f64().map_err(failed)?.iter().map(|x| x.map(float_text)).collect();
            Ok(text.with_name(column.name().clone()).into_column())
        }
        (Some(DataType::Boolean), DataType::String) => {
            let text: StringChunked =
                column.bool().map_err(failed)?.iter().map(|b| b.map(|b| if b { "true" } else { "false" })).collect();
            Ok(text.with_name(column.name().clone()).into_column())
        }
        (Some(DataType::DatetimeUtc), DataType::String) => {
            column.cast(&polars_type(DataType::Datetime)).and_then(|c| c.cast(&target)).map_err(failed).and_then(|c| {
                let text: StringChunked = c.str().map_err(failed)?.iter().map(|s| s.map(|s| format!("{s}Z"))).collect();
                Ok(text.with_name(column.name().clone()).into_column())
            })
        }
        _ => column.cast(&target).map_err(failed),
    }
}

/// The shortest text that reads back as the same number; whole numbers keep a `.0`.
pub fn float_text(x: f64) -> String {
    if x.is_nan() {
        "NaN".into()
    } else if x.is_infinite() {
        if x > 0.0 { "inf".into() } else { "-inf".into() }
    } else {
        format!("{x:?}")
    }
}
