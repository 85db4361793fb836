//! Cells of a column of any stored type: read, mapped, filled, clipped, made null, and built again.

use polars::prelude::{
    BinaryChunked, BooleanChunked, ChunkedArray, DataType as PolarsType, Float64Chunked, Int32Chunked, Int64Chunked,
    Int128Chunked, IntoSeries, NewChunkedArray, PolarsNumericType, PolarsResult, Series, StringChunked, polars_bail,
};
use polars_arrow::array::Array;
use polars_arrow::bitmap::BitmapBuilder;
use shardmill_common::rules::Scalar;
use shardmill_common::schema::DataType;
use shardmill_common::text::decimal_float;

use crate::frame::{of_physical, unit_of};
use crate::hash::scale_of;

/// The value at `row`; NaN counts as no value.
pub fn scalar_at(series: &Series, row: usize) -> PolarsResult<Option<Scalar>> {
    Ok(match series.dtype() {
        PolarsType::Boolean => series.bool()?.get(row).map(Scalar::Boolean),
        PolarsType::Int64 => series.i64()?.get(row).map(Scalar::Int),
        PolarsType::Float64 => series.f64()?.get(row).filter(|x| !x.is_nan()).map(Scalar::Float),
        PolarsType::String => series.str()?.get(row).map(|s| Scalar::Text(s.to_owned())),
        PolarsType::Date => series.date()?.physical().get(row).map(Scalar::Date),
        PolarsType::Time => series.to_physical_repr().i64()?.get(row).map(Scalar::Time),
        PolarsType::Duration(_) => series.to_physical_repr().i64()?.get(row).map(Scalar::Duration),
        PolarsType::Datetime(unit, zone) => {
            let (ticks, unit) = (series.datetime()?.physical().get(row), unit_of(*unit));
            ticks.map(|n| if zone.is_some() { Scalar::DatetimeUtc(n, unit) } else { Scalar::Datetime(n, unit) })
        }
        PolarsType::Decimal(_, scale) => {
            let scale = scale_of(*scale);
            series.decimal()?.physical().get(row).map(|units| Scalar::Decimal { units, scale })
        }
        PolarsType::Binary => series.binary()?.get(row).map(|bytes| Scalar::Binary(bytes.to_vec())),
        PolarsType::Null => None,
        other => polars_bail!(ComputeError: "column `{}` has the type {other}", series.name()),
    })
}

/// A column of `dtype` from its values.
pub fn build(like: &Series, dtype: DataType, cells: &[Option<Scalar>]) -> PolarsResult<Series> {
    let name = like.name().clone();
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
        DataType::Decimal { .. } => {
            let value =
                |c: &Option<Scalar>| if let Some(Scalar::Decimal { units, .. }) = c { Some(*units) } else { None };
            Int128Chunked::from_iter_options(name, cells.iter().map(value)).into_series()
        }
        DataType::Binary => {
            let value = |c: &Option<Scalar>| if let Some(Scalar::Binary(b)) = c { Some(b.clone()) } else { None };
            BinaryChunked::from_iter_options(name, cells.iter().map(value)).into_series()
        }
        DataType::Int64 | DataType::Time | DataType::Datetime(_) | DataType::DatetimeUtc(_) | DataType::Duration => {
            Int64Chunked::from_iter_options(name, cells.iter().map(|c| c.as_ref().and_then(Scalar::ticks)))
                .into_series()
        }
    };
    // Decimals, dates and times are built as the integers that they are.
    of_physical(&series, if dtype == DataType::Null { DataType::String } else { dtype })
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

/// Maps the cells of a column whose type is kept as 64-bit integers (int64, times, durations).
fn map_i64(series: &Series, f: impl FnMut(Option<i64>) -> Option<i64>) -> PolarsResult<Series> {
    let physical = series.to_physical_repr();
    map_numbers(physical.i64()?, f).into_series().cast(series.dtype())
}

fn map_decimal(series: &Series, f: impl FnMut(Option<i128>) -> Option<i128>) -> PolarsResult<Series> {
    let decimals = series.decimal()?;
    Ok(map_numbers(decimals.physical(), f).into_decimal(decimals.precision(), decimals.scale())?.into_series())
}

fn map_date(series: &Series, f: impl FnMut(Option<i32>) -> Option<i32>) -> PolarsResult<Series> {
    map_numbers(series.date()?.physical(), f).into_series().cast(series.dtype())
}

pub fn map_f64(series: &Series, f: impl FnMut(Option<f64>) -> Option<f64>) -> PolarsResult<Series> {
    Ok(map_numbers(series.f64()?, f).into_series())
}

/// The numbers of a column as floats; NaN is no number.
pub fn as_floats(series: &Series) -> PolarsResult<Series> {
    match series.dtype() {
        PolarsType::Float64 => Ok(series.clone()),
        PolarsType::Decimal(_, scale) => {
            let scale = scale_of(*scale);
            let floats = series.decimal()?.physical().iter().map(|n| n.map(|units| decimal_float(units, scale).0));
            Ok(Float64Chunked::from_iter_options(series.name().clone(), floats).into_series())
        }
        _ => series.cast(&PolarsType::Float64),
    }
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
        (PolarsType::Decimal(..), _) => {
            let mut above = value.and_then(units);
            map_decimal(series, |cell| step(cell, &mut above, forward, &mut filled))?
        }
        (PolarsType::Binary, _) => {
            let mut above = if let Some(Scalar::Binary(b)) = value { Some(b.as_slice()) } else { None };
            let column = series.binary()?;
            let cells = column.iter().map(|cell| step(cell, &mut above, forward, &mut filled));
            BinaryChunked::from_iter_options(series.name().clone(), cells).into_series()
        }
        (PolarsType::Int64 | PolarsType::Datetime(..) | PolarsType::Time | PolarsType::Duration(_), _) => {
            let mut above = value.and_then(Scalar::ticks);
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
            let (low, high) = (min.and_then(Scalar::as_float), max.and_then(Scalar::as_float));
            map_f64(series, |cell| step(cell, low, high, &mut clipped))?
        }
        PolarsType::Date => {
            let (low, high) = (min.and_then(day), max.and_then(day));
            map_date(series, |cell| step(cell, low, high, &mut clipped))?
        }
        PolarsType::Decimal(..) => {
            let (low, high) = (min.and_then(units), max.and_then(units));
            map_decimal(series, |cell| step(cell, low, high, &mut clipped))?
        }
        _ => {
            let (low, high) = (min.and_then(Scalar::ticks), max.and_then(Scalar::ticks));
            map_i64(series, |cell| step(cell, low, high, &mut clipped))?
        }
    };
    Ok((series, clipped))
}

/// Of a decimal that was brought to the column's scale.
pub const fn units(value: &Scalar) -> Option<i128> {
    match value {
        Scalar::Decimal { units, .. } => Some(*units),
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
