//! The bridge between the engine's frames and Shardmill's schemas.

mod fit;
mod text;

use polars::prelude::{DataFrame, DataType as PolarsType, IntoSeries, PolarsResult, Series, TimeUnit, TimeZone};
use shardmill_common::failure::Failure;
use shardmill_common::schema::{DataType, Field, Schema, Unit};

pub use fit::{Fitted, fit, loses_digits, widen};
pub use text::{texts_of, value_text};

const fn time_unit(unit: Unit) -> TimeUnit {
    match unit {
        Unit::Micro => TimeUnit::Microseconds,
        Unit::Nano => TimeUnit::Nanoseconds,
    }
}

/// The engine's type for one of ours.
pub fn polars_type(dtype: DataType) -> PolarsType {
    match dtype {
        DataType::Null => PolarsType::Null,
        DataType::Boolean => PolarsType::Boolean,
        DataType::Int64 => PolarsType::Int64,
        DataType::Decimal { precision, scale } => PolarsType::Decimal(precision.into(), scale.into()),
        DataType::Float64 => PolarsType::Float64,
        DataType::Date => PolarsType::Date,
        DataType::Time => PolarsType::Time,
        DataType::Datetime(unit) => PolarsType::Datetime(time_unit(unit), None),
        DataType::DatetimeUtc(unit) => PolarsType::Datetime(time_unit(unit), Some(TimeZone::UTC)),
        DataType::Duration => PolarsType::Duration(TimeUnit::Nanoseconds),
        DataType::Binary => PolarsType::Binary,
        DataType::String => PolarsType::String,
    }
}

/// Our type for one of the engine's, if we store it.
pub fn our_type(dtype: &PolarsType) -> Option<DataType> {
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Microseconds => Some(Unit::Micro),
        TimeUnit::Nanoseconds => Some(Unit::Nano),
        TimeUnit::Milliseconds => None,
    };
    Some(match dtype {
        PolarsType::Null => DataType::Null,
        PolarsType::Boolean => DataType::Boolean,
        PolarsType::Int64 => DataType::Int64,
        PolarsType::Decimal(precision, scale) => {
            DataType::Decimal { precision: u8::try_from(*precision).ok()?, scale: u8::try_from(*scale).ok()? }
        }
        PolarsType::Float64 => DataType::Float64,
        PolarsType::Date => DataType::Date,
        PolarsType::Time => DataType::Time,
        PolarsType::Datetime(ticks, None) => DataType::Datetime(unit(ticks)?),
        PolarsType::Datetime(ticks, Some(zone)) if zone.as_str() == "UTC" => DataType::DatetimeUtc(unit(ticks)?),
        PolarsType::Duration(TimeUnit::Nanoseconds) => DataType::Duration,
        PolarsType::Binary => DataType::Binary,
        PolarsType::String => DataType::String,
        _ => return None,
    })
}

/// The unit of a column of times.
pub fn unit_of(unit: TimeUnit) -> Unit {
    if unit == TimeUnit::Nanoseconds { Unit::Nano } else { Unit::Micro }
}

/// Values as they are kept (days, ticks and units of decimals as whole numbers) as a column of their type.
pub fn of_physical(values: &Series, dtype: DataType) -> PolarsResult<Series> {
    match dtype {
        // A cast would take the numbers for whole ones, not for units.
        DataType::Decimal { precision, scale } => {
            let units = values.cast(&PolarsType::Int128)?;
            Ok(units.i128()?.clone().into_decimal(precision.into(), scale.into())?.into_series())
        }
        // Days are counted in 32 bits, and only those are taken for a date as they are.
        DataType::Date => values.strict_cast(&PolarsType::Int32)?.cast(&PolarsType::Date),
        _ => values.cast(&polars_type(dtype)),
    }
}

/// The schema of a frame whose columns are all of stored types.
pub fn schema_of(frame: &DataFrame) -> Result<Schema, Failure> {
    let mut fields = Vec::with_capacity(frame.width());
    for column in frame.columns() {
        let dtype = our_type(column.dtype()).ok_or_else(|| {
            Failure::bad_input(format!(
                "column `{}` has the type {}, which Shardmill does not store; cast it to one that it does",
                column.name(),
                column.dtype()
            ))
        })?;
        fields.push(Field { beyond_float: loses_digits(column), ..Field::new(column.name().as_str(), dtype) });
    }
    Ok(Schema::new(fields))
}
