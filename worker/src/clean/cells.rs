//! Cells of a column of any stored type: read, mapped, filled, clipped, made null, and built again.

use polars::prelude::{
    BooleanChunked, ChunkedArray, DataType as PolarsType, Float64Chunked, Int32Chunked, Int64Chunked, IntoSeries,
    NewChunkedArray, PolarsNumericType, PolarsResult, Series, StringChunked, polars_bail,
};
use polars_arrow::array::Array;
use polars_arrow::bitmap::BitmapBuilder;
use shardmill_common::rules::Scalar;
use shardmill_common::schema::DataType;

use crate::frame::polars_type;

/// The value at `row`; NaN counts as no value.
pub fn scalar_at(series: &Series, row: usize) -> PolarsResult<Option<Scalar>> {
    Ok(match series.dtype() {
        PolarsType::Boolean => series.bool()?.get(row).map(Scalar::Boolean),
        PolarsType::Int64 => series.i64()?.get(row).map(Scalar::Int),
        PolarsType::Float64 => series.f64()?.get(row).filter(|x| !x.is_nan()).map(Scalar::Float),
        PolarsType::String => series.str()?.get(row).map(|s| Scalar::Text(s.to_owned())),
        PolarsType::Date => series.date()?.physical().get(row).map(Scalar::Date),
        PolarsType::Datetime(_, None) => series.datetime()?.physical().get(row).map(Scalar::Datetime),
        PolarsType::Datetime(_, Some(_)) => series.datetime()?.physical().get(row).map(Scalar::DatetimeUtc),
        PolarsType::Null => None,
        other => polars_bail!(ComputeError: "column `{}` has the type {other}", series.name()),
    })
}

/// A column of `dtype` from its values.
pub fn build(like: &Series, dtype: DataType, cells: &[Option<Scalar>]) -> PolarsResult<Series> {
    let name = like.name().clone();
    let long = |cell: &Option<Scalar>| match cell {
        Some(Scalar::Int(n) | Scalar::Datetime(n) | Scalar::DatetimeUtc(n)) => Some(*n),
        _ => None,
    };
    let series = match dtype {
        DataType::Boolean => {
            let value = |c: &Option<Scalar>| if let Some(Scalar::Boolean(b)) = c { Some(*b) } else { None };
            BooleanChunked::from_iter_options(name, cells.iter().map(value)).into_series()
        }
        DataType::Float64 => {
            let value = |c: &Option<Scalar>| if let Some(Scalar::Float(x)) = c { Some(*x) } else { None };
            Float64Chunked::from_iter_options(name, cells.iter().map(value)).into_series()
        }
        DataType::Date => {
            let value = |c: &Option<Scalar>| if let Some(Scalar::Date(d)) = c { Some(*d) } else { None };
            Int32Chunked::from_iter_options(name, cells.iter().map(value)).into_series()
        }
        DataType::String | DataType::Null => {
            let value = |c: &'_ Option<Scalar>| if let Some(Scalar::Text(t)) = c { Some(t.clone()) } else { None };
            StringChunked::from_iter_options(name, cells.iter().map(value)).into_series()
        }
        DataType::Int64 | DataType::Datetime | DataType::DatetimeUtc => {
            Int64Chunked::from_iter_options(name, cells.iter().map(long)).into_series()
        }
    };
    // Dates and datetimes are built as the integers that they are.
    series.cast(&polars_type(if dtype == DataType::Null { DataType::String } else { dtype }))
}

fn map_numbers<T: PolarsNumericType>(
    column: &ChunkedArray<T>,
    mut f: impl FnMut(Option<T::Native>) -> Option<T::Native>,
) -> ChunkedArray<T> {
    let mut values = Vec::with_capacity(column.len());
    let mut validity = BitmapBuilder::with_capacity(column.len());
    for cell in column.iter() {
        let mapped = f(cell);
        validity.push(mapped.is_some());
        values.push(mapped.unwrap_or_default());
    }
    ChunkedArray::from_vec_validity(column.name().clone(), values, validity.into_opt_validity())
}

/// Maps the cells of a column whose type is kept as 64-bit integers (int64, datetimes).
fn map_i64(series: &Series, f: impl FnMut(Option<i64>) -> Option<i64>) -> PolarsResult<Series> {
    let physical = series.to_physical_repr();
    map_numbers(physical.i64()?, f).into_series().cast(series.dtype())
}

fn map_date(series: &Series, f: impl FnMut(Option<i32>) -> Option<i32>) -> PolarsResult<Series> {
    map_numbers(series.date()?.physical(), f).into_series().cast(series.dtype())
}

pub fn map_f64(series: &Series, f: impl FnMut(Option<f64>) -> Option<f64>) -> PolarsResult<Series> {
    Ok(map_numbers(series.f64()?, f).into_series())
}

/// A number of an int64 or float64 column as a float; NaN is no number.
pub fn as_floats(series: &Series) -> PolarsResult<Series> {
    if matches!(series.dtype(), PolarsType::Float64) { Ok(series.clone()) } else { series.cast(&PolarsType::Float64) }
}

/// Fills with one value, or forward: then `value` is what lies above the first row, and each value is carried on.
/// Returns how many cells were filled.
pub fn fill(series: &Series, value: Option<&Scalar>, forward: bool) -> PolarsResult<(Series, u64)> {
    let mut filled = 0u64;
    /// What stands in for a missing cell, and what is remembered of one that is there.
    fn step<T: Clone>(cell: Option<T>, above: &mut Option<T>, forward: bool, filled: &mut u64) -> Option<T> {
        match cell {
            Some(value) => {
                if forward {
                    *above = Some(value.clone());
                }
                Some(value)
            }
            None => {
                *filled += u64::from(above.is_some());
                above.clone()
            }
        }
    }
    let series = match (series.dtype(), value) {
        (PolarsType::Float64, _) => {
            let mut above = if let Some(Scalar::Float(x)) = value { Some(*x) } else { None };
            // A NaN that nothing can fill stays what it is.
            map_f64(series, |cell| step(cell.filter(|x| !x.is_nan()), &mut above, forward, &mut filled).or(cell))?
        }
        _ if series.null_count() == 0 => series.clone(),
        (PolarsType::Date, _) => {
            let mut above = if let Some(Scalar::Date(d)) = value { Some(*d) } else { None };
            map_date(series, |cell| step(cell, &mut above, forward, &mut filled))?
        }
        (PolarsType::Int64 | PolarsType::Datetime(..), _) => {
            let mut above = match value {
                Some(Scalar::Int(n) | Scalar::Datetime(n) | Scalar::DatetimeUtc(n)) => Some(*n),
                _ => None,
            };
            map_i64(series, |cell| step(cell, &mut above, forward, &mut filled))?
        }
        (PolarsType::Boolean, _) => {
            let mut above = if let Some(Scalar::Boolean(b)) = value { Some(*b) } else { None };
            let cells = series.bool()?.iter().map(|cell| step(cell, &mut above, forward, &mut filled));
            BooleanChunked::from_iter_options(series.name().clone(), cells).into_series()
        }
        (PolarsType::String, _) => {
            let mut above = if let Some(Scalar::Text(t)) = value { Some(t.as_str()) } else { None };
            let column = series.str()?;
            let cells = column.iter().map(|cell| step(cell, &mut above, forward, &mut filled));
            StringChunked::from_iter_options(series.name().clone(), cells).into_series()
        }
        _ => series.clone(),
    };
    Ok((series, filled))
}

/// Brings cells between the bounds, which fit the column's type. Returns how many were outside.
pub fn clip(series: &Series, min: Option<&Scalar>, max: Option<&Scalar>) -> PolarsResult<(Series, u64)> {
    let mut clipped = 0u64;
    fn step<T: PartialOrd + Copy>(cell: Option<T>, min: Option<T>, max: Option<T>, clipped: &mut u64) -> Option<T> {
        let value = cell?;
        let bound = min.filter(|low| value < *low).or(max.filter(|high| value > *high));
        *clipped += u64::from(bound.is_some());
        bound.or(cell)
    }
    let series = match series.dtype() {
        PolarsType::Float64 => {
            let (low, high) = (min.and_then(float), max.and_then(float));
            map_f64(series, |cell| step(cell, low, high, &mut clipped))?
        }
        PolarsType::Date => {
            let (low, high) = (min.and_then(day), max.and_then(day));
            map_date(series, |cell| step(cell, low, high, &mut clipped))?
        }
        _ => {
            let (low, high) = (min.and_then(long), max.and_then(long));
            map_i64(series, |cell| step(cell, low, high, &mut clipped))?
        }
    };
    Ok((series, clipped))
}

pub fn float(value: &Scalar) -> Option<f64> {
    match value {
        Scalar::Float(x) => Some(*x),
        Scalar::Int(n) => Some(*n as f64),
        _ => None,
    }
}

pub fn long(value: &Scalar) -> Option<i64> {
    match value {
        Scalar::Int(n) | Scalar::Datetime(n) | Scalar::DatetimeUtc(n) => Some(*n),
        _ => None,
    }
}

pub fn day(value: &Scalar) -> Option<i32> {
    match value {
        Scalar::Date(d) => Some(*d),
        _ => None,
    }
}

/// The column with nulls where `bad` is true.
pub fn null_out(series: &Series, bad: &[bool]) -> PolarsResult<Series> {
    let series = series.rechunk();
    let mut validity = BitmapBuilder::with_capacity(bad.len());
    let Some(chunk) = series.chunks().first() else { return Ok(series) };
    for (row, bad) in bad.iter().enumerate() {
        validity.push(!bad && chunk.is_valid(row));
    }
    let chunk: Box<dyn Array> = chunk.with_validity(validity.into_opt_validity());
    // SAFETY: the chunk is the column's own, with more nulls.
    Ok(unsafe { Series::from_chunks_and_dtype_unchecked(series.name().clone(), vec![chunk], series.dtype()) })
}

/// Cells that have no value: nulls, and NaN in floats.
pub fn missing(series: &Series) -> PolarsResult<Vec<bool>> {
    Ok(match series.dtype() {
        PolarsType::Float64 => series.f64()?.iter().map(|cell| cell.is_none_or(f64::is_nan)).collect(),
        _ => series.is_null().iter().map(|null| null.unwrap_or(true)).collect(),
    })
}
