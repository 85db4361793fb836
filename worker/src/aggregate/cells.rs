//! The cells of a column, each with the group of its row.

use polars::prelude::{Column, DataType as PolarsType};
use polars_arrow::array::{Array, BinaryViewArrayGeneric, BooleanArray, PrimitiveArray};
use shardmill_common::failure::Failure;
use shardmill_common::text::decimal_float;
use xxhash_rust::xxh3::xxh3_128;

use crate::hash::{canonical, one_array, scale_of};

/// A column as it lies in memory. Dates, times and durations are numbers.
pub enum Cells {
    None,
    Boolean(BooleanArray),
    Int(PrimitiveArray<i64>),
    Day(PrimitiveArray<i32>),
    Float(PrimitiveArray<f64>),
    /// Of a scale.
    Decimal(PrimitiveArray<i128>, u8),
    Text(BinaryViewArrayGeneric<str>),
    Bytes(BinaryViewArrayGeneric<[u8]>),
}

impl Cells {
    pub fn of(column: &Column) -> Result<Self, Failure> {
        let series = column.as_materialized_series();
        if series.is_empty() {
            return Ok(Cells::None);
        }
        Ok(match series.dtype() {
            PolarsType::Null => Cells::None,
            PolarsType::Boolean => Cells::Boolean(one_array(series)?),
            PolarsType::Int64 | PolarsType::Datetime(..) | PolarsType::Time | PolarsType::Duration(_) => {
                Cells::Int(one_array(series)?)
            }
            PolarsType::Decimal(_, scale) => Cells::Decimal(one_array(series)?, scale_of(*scale)),
            PolarsType::Binary => Cells::Bytes(one_array(series)?),
            PolarsType::Date => Cells::Day(one_array(series)?),
            PolarsType::Float64 => Cells::Float(one_array(series)?),
            PolarsType::String => Cells::Text(one_array(series)?),
            other => {
                return Err(Failure::internal(format!(
                    "column `{}` of type {other} cannot be aggregated",
                    series.name()
                )));
            }
        })
    }

    /// Calls `f` with every group whose row has a value.
    pub fn each_present(&self, ids: &[u32], mut f: impl FnMut(usize)) {
        match self {
            Cells::None => {}
            Cells::Boolean(a) => each(a.validity(), a.len(), ids, |_, id| f(id)),
            Cells::Int(a) => each(a.validity(), a.len(), ids, |_, id| f(id)),
            Cells::Day(a) => each(a.validity(), a.len(), ids, |_, id| f(id)),
            Cells::Float(a) => each(a.validity(), a.len(), ids, |_, id| f(id)),
            Cells::Decimal(a, _) => each(a.validity(), a.len(), ids, |_, id| f(id)),
            Cells::Text(a) => each(a.validity(), a.len(), ids, |_, id| f(id)),
            Cells::Bytes(a) => each(a.validity(), a.len(), ids, |_, id| f(id)),
        }
    }

    /// Calls `f` with every group and its value, where values are whole numbers, dates, times, durations or booleans.
    pub fn each_int(&self, ids: &[u32], mut f: impl FnMut(usize, i64)) {
        match self {
            Cells::Boolean(a) => {
                each(a.validity(), a.len(), ids, |row, id| f(id, i64::from(a.values().get_bit(row))));
            }
            Cells::Int(a) => {
                let values = a.values().as_slice();
                each(a.validity(), a.len(), ids, |row, id| f(id, values[row]));
            }
            Cells::Day(a) => {
                let values = a.values().as_slice();
                each(a.validity(), a.len(), ids, |row, id| f(id, i64::from(values[row])));
            }
            Cells::None | Cells::Float(_) | Cells::Decimal(..) | Cells::Text(_) | Cells::Bytes(_) => {}
        }
    }

    /// Calls `f` with every group and its value as a float, where values are numbers or booleans.
    pub fn each_float(&self, ids: &[u32], mut f: impl FnMut(usize, f64)) {
        match self {
            Cells::Float(a) => {
                let values = a.values().as_slice();
                each(a.validity(), a.len(), ids, |row, id| f(id, values[row]));
            }
            Cells::Decimal(_, scale) => self.each_decimal(ids, |id, units| f(id, decimal_float(units, *scale).0)),
            other => other.each_int(ids, |id, n| f(id, n as f64)),
        }
    }

    /// Calls `f` with every group and its value in units, where values are decimals.
    pub fn each_decimal(&self, ids: &[u32], mut f: impl FnMut(usize, i128)) {
        if let Cells::Decimal(a, _) = self {
            let values = a.values().as_slice();
            each(a.validity(), a.len(), ids, |row, id| f(id, values[row]));
        }
    }

    /// Calls `f` with every group and its text or bytes.
    pub fn each_bytes(&self, ids: &[u32], mut f: impl FnMut(usize, &[u8])) {
        match self {
            Cells::Text(a) => each(a.validity(), a.len(), ids, |row, id| f(id, a.value(row).as_bytes())),
            Cells::Bytes(a) => each(a.validity(), a.len(), ids, |row, id| f(id, a.value(row))),
            _ => {}
        }
    }

    /// Whether a value is known by 64 bits rather than by a hash of 128.
    pub const fn is_narrow(&self) -> bool {
        !matches!(self, Cells::Text(_) | Cells::Bytes(_) | Cells::Decimal(..))
    }

    /// Calls `f` with every group and bits that are the same for equal values of the column: -0.0 is 0.0, NaN is one.
    pub fn each_bits(&self, ids: &[u32], mut f: impl FnMut(usize, u64)) {
        match self {
            Cells::Float(_) => self.each_float(ids, |id, x| f(id, canonical(x).to_bits())),
            other => other.each_int(ids, |id, n| f(id, n as u64)),
        }
    }

    /// Calls `f` with every group and the hash of its text, bytes or decimal.
    pub fn each_hash(&self, ids: &[u32], mut f: impl FnMut(usize, [u64; 2])) {
        let mut hashed = |id, bytes: &[u8]| {
            let hash = xxh3_128(bytes);
            f(id, [(hash >> 64) as u64, hash as u64]);
        };
        self.each_bytes(ids, &mut hashed);
        self.each_decimal(ids, |id, units| hashed(id, &units.to_le_bytes()));
    }
}

/// Calls `f` with every row that has a value and its group.
#[inline]
fn each(validity: Option<&polars_arrow::bitmap::Bitmap>, rows: usize, ids: &[u32], mut f: impl FnMut(usize, usize)) {
    match validity.filter(|v| v.unset_bits() > 0) {
        None => {
            for (row, id) in (0..rows).zip(ids) {
                f(row, *id as usize);
            }
        }
        Some(validity) => {
            for (row, (id, there)) in ids.iter().zip(validity.iter()).enumerate() {
                if there {
                    f(row, *id as usize);
                }
            }
        }
    }
}
