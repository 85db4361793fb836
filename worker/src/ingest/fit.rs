//! Brings columns of the stored types to the types of the schema.

use polars::prelude::{Column, Float64Chunked, Int32Chunked, Int64Chunked, IntoColumn, TimeUnit, TimeZone};
use shardmill_common::failure::Failure;
use shardmill_common::schema::DataType;
use shardmill_common::text::{
    is_beyond_float, parse_boolean, parse_date, parse_datetime, parse_datetime_utc, parse_float64, parse_int64,
};

use crate::frame::{our_type, polars_type};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The type of a column of the frame: the schema's joined with the file's, or text where a float would lose digits.
pub(super) fn joined(column: &Column, of_schema: DataType) -> DataType {
    let of_file = our_type(column.dtype()).unwrap_or(DataType::String);
    let dtype = of_schema.join(of_file);
    let loses = || column.i64().is_ok_and(|values| values.iter().flatten().any(is_beyond_float));
    if dtype == DataType::Float64 && of_file == DataType::Int64 && loses() { DataType::String } else { dtype }
}

/// A column of the wanted type and the rows whose values do not fit it.
pub(super) struct Fitted {
    pub(super) column: Column,
    pub(super) misfits: Vec<usize>,
}

/// Brings a column of a stored type to another; `None` where values of the one are never values of the other.
pub(super) fn fit(column: &Column, to: DataType) -> Result<Option<Fitted>, Failure> {
    use DataType::{Date, Datetime, Float64, Int64, Null, String};
    let from = our_type(column.dtype()).unwrap_or(String);
    let whole = |column| Ok(Some(Fitted { column, misfits: Vec::new() }));
    let part = |values, misfits| Ok(Some(finish(column, values, to, misfits)));
    match (from, to) {
        (a, b) if a == b => whole(column.clone()),
        (Null, _) => whole(Column::full_null(column.name().clone(), column.len(), &polars_type(to))),
        (Int64, Float64) | (Date, Datetime) | (_, String) => {
            whole(column.strict_cast(&polars_type(to)).map_err(Failure::internal)?)
        }
        (String, _) => from_text(column, to).map(Some),
        (Float64, Int64) => {
            // Whole floats below 2^63 are integers exactly.
            let int = |x: f64| (x.fract() == 0.0 && x.abs() < 9.2e18).then_some(x as i64);
            let (values, misfits) = each(column.f64().map_err(Failure::internal)?.iter(), int);
            part(Int64Chunked::from_iter(values).into_column(), misfits)
        }
        (Datetime, Date) => {
            let physical = column.as_materialized_series().to_physical_repr();
            let day = |us: i64| {
                (us.rem_euclid(MICROS_PER_DAY) == 0)
                    .then(|| us.div_euclid(MICROS_PER_DAY))
                    .and_then(|d| i32::try_from(d).ok())
            };
            let (values, misfits) = each(physical.i64().map_err(Failure::internal)?.iter(), day);
            part(Int32Chunked::from_iter(values).into_column(), misfits)
        }
        _ => Ok(None),
    }
}

fn from_text(column: &Column, to: DataType) -> Result<Fitted, Failure> {
    let cells = column.str().map_err(Failure::internal)?;
    let ints = |parse: fn(&[u8]) -> Option<i64>| {
        let (values, misfits) = each(cells.iter(), |c| parse(c.as_bytes()));
        (Int64Chunked::from_iter(values).into_column(), misfits)
    };
    let (values, misfits) = match to {
        DataType::Int64 => ints(parse_int64),
        DataType::Datetime => ints(parse_datetime),
        DataType::DatetimeUtc => ints(parse_datetime_utc),
        DataType::Boolean => {
            let (values, misfits) = each(cells.iter(), |c| parse_boolean(c.as_bytes()));
            (polars::prelude::BooleanChunked::from_iter(values).into_column(), misfits)
        }
        DataType::Float64 => {
            let (values, misfits) = each(cells.iter(), |c| parse_float64(c.as_bytes()));
            (Float64Chunked::from_iter(values).into_column(), misfits)
        }
        DataType::Date => {
            let (values, misfits) = each(cells.iter(), |c| parse_date(c.as_bytes()));
            (Int32Chunked::from_iter(values).into_column(), misfits)
        }
        DataType::String | DataType::Null => (column.clone(), Vec::new()),
    };
    Ok(finish(column, values, to, misfits))
}

/// The values that fit, and the rows of those that do not.
fn each<T, U>(values: impl Iterator<Item = Option<T>>, fit: impl Fn(T) -> Option<U>) -> (Vec<Option<U>>, Vec<usize>) {
    let mut misfits = Vec::new();
    let fitted = values.enumerate().map(|(row, value)| {
        let value = fit(value?);
        if value.is_none() {
            misfits.push(row);
        }
        value
    });
    let fitted = fitted.collect();
    (fitted, misfits)
}

/// Gives physical values their name and type.
fn finish(like: &Column, values: Column, to: DataType, misfits: Vec<usize>) -> Fitted {
    let series = values.take_materialized_series().with_name(like.name().clone());
    let column = match to {
        DataType::Date => series.into_date(),
        DataType::Datetime => series.into_datetime(TimeUnit::Microseconds, None),
        DataType::DatetimeUtc => series.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
        _ => series,
    }
    .into_column();
    Fitted { column, misfits }
}
