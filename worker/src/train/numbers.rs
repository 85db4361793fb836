//! A numeric column as one slice of float64, missing values as NaN.

use polars::prelude::{Column, DataType as PolarsType, Series};
use polars_arrow::array::{Array, PrimitiveArray};
use shardmill_common::failure::Failure;
use shardmill_common::text::decimal_float;

use crate::hash::scale_of;

/// The values of a column; shared with the frame where they lie there as they are.
#[derive(Clone, Debug)]
pub enum Numbers {
    Shared(PrimitiveArray<f64>),
    Owned(Vec<f64>),
}

impl Numbers {
    /// Integers, decimals and floats as they are, booleans as 0 and 1. `None`: the column is of another type (and has a value).
    pub fn of(column: &Column) -> Result<Option<Self>, Failure> {
        let series = column.as_materialized_series().rechunk();
        if series.null_count() == series.len() {
            // A column without values is published as text; it has no value of any type.
            return Ok(Some(Numbers::Owned(vec![f64::NAN; series.len()])));
        }
        Ok(match series.dtype() {
            PolarsType::Float64 => Some(floats(&series)?),
            PolarsType::Int64 => {
                let array = series.i64().map_err(Failure::internal)?;
                let mut values = Vec::with_capacity(array.len());
                for chunk in array.downcast_iter() {
                    values.extend(chunk.values().iter().map(|n| *n as f64));
                    blank_nulls(chunk, &mut values);
                }
                Some(Numbers::Owned(values))
            }
            PolarsType::Decimal(_, scale) => {
                let scale = scale_of(*scale);
                let array = series.decimal().map_err(Failure::internal)?;
                let number = |n: Option<i128>| n.map_or(f64::NAN, |units| decimal_float(units, scale).0);
                Some(Numbers::Owned(array.physical().iter().map(number).collect()))
            }
            PolarsType::Boolean => {
                let array = series.bool().map_err(Failure::internal)?;
                let number = |b: Option<bool>| b.map_or(f64::NAN, |b| f64::from(u8::from(b)));
                Some(Numbers::Owned(array.iter().map(number).collect()))
            }
            _ => None,
        })
    }

    pub fn values(&self) -> &[f64] {
        match self {
            Numbers::Shared(array) => array.values().as_slice(),
            Numbers::Owned(values) => values,
        }
    }
}

/// Of a series in one chunk.
fn floats(series: &Series) -> Result<Numbers, Failure> {
    let array = series.f64().map_err(Failure::internal)?;
    let Some(chunk) = array.downcast_iter().next() else { return Ok(Numbers::Owned(Vec::new())) };
    if chunk.null_count() == 0 {
        return Ok(Numbers::Shared(chunk.clone()));
    }
    let mut values = chunk.values().as_slice().to_vec();
    blank_nulls(chunk, &mut values);
    Ok(Numbers::Owned(values))
}

fn blank_nulls(array: &dyn Array, values: &mut [f64]) {
    if let Some(validity) = array.validity() {
        for (value, valid) in values.iter_mut().zip(validity) {
            if !valid {
                *value = f64::NAN;
            }
        }
    }
}

/// Whether there is a NaN or an infinity.
pub fn has_special(values: &[f64]) -> bool {
    // Without an early end inside a chunk, so that it becomes vector code.
    values.chunks(4096).any(|chunk| chunk.iter().fold(false, |seen, x| seen | !x.is_finite()))
}

/// The values at these rows.
pub fn gather<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().filter_map(|row| values.get(*row as usize).copied()).collect()
}
