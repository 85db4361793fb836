//! Row hashes: 128 bits over the cells' canonical bytes. The encoding is part of the format of the shuffle and never changes
//! with the engine's version, the machine or the number of workers.
//!
//! A cell is a tag and its value, little-endian: null `0`; boolean `1` and a byte; int64 `2` and 8 bytes; float64 `3` and 8
//! bytes (-0.0 as 0.0, every NaN as one); date `4` and 4 bytes; datetime `5` and 8 bytes; datetime in UTC `6` and 8 bytes; string
//! `7`, its length in 4 bytes, and its bytes; decimal `8`, its scale in a byte, and 16 bytes; time of day `9` and 8 bytes; duration
//! `10` and 8 bytes; bytes `11`, their number in 4 bytes, and themselves. Times in nanoseconds have the tags `12` and `13`. The hash is xxh3-128 of a row's cells, so equal rows have equal hashes and a
//! cell's boundary cannot move.

use polars::prelude::{Column, DataFrame, DataType as PolarsType, Series};
use polars_arrow::array::{Array, BinaryViewArrayGeneric, BooleanArray, PrimitiveArray, StaticArray};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::{HashColumn, HashPlan};
use shardmill_common::schema::{DataType, Unit};
use shardmill_common::text::decimal_float;
use xxhash_rust::xxh3::xxh3_128;

use crate::frame::{unit_of, widen};

/// Columns of a frame, ready to be walked row by row.
enum Cells {
    Null,
    Boolean(BooleanArray),
    Int64(PrimitiveArray<i64>),
    /// Whole numbers among floats: as the float of the same value, and as themselves where there is none.
    Whole(PrimitiveArray<i64>),
    Float64(PrimitiveArray<f64>),
    /// Decimals of a scale.
    Decimal(PrimitiveArray<i128>, u8),
    /// Decimals among floats: as the float that they are written as, and as themselves where that has not all their digits.
    Written(PrimitiveArray<i128>, u8),
    Date(PrimitiveArray<i32>),
    /// Times and durations, with their tag.
    Ticks(PrimitiveArray<i64>, u8),
    String(BinaryViewArrayGeneric<str>),
    Binary(BinaryViewArrayGeneric<[u8]>),
}

pub(crate) fn one_array<A: Array + Clone + 'static>(series: &Series) -> Result<A, Failure> {
    let series = series.rechunk();
    let physical = series.to_physical_repr();
    physical
        .chunks()
        .first()
        .and_then(|chunk| chunk.as_any().downcast_ref::<A>())
        .cloned()
        .ok_or_else(|| Failure::internal(format!("column `{}` has an unexpected layout", series.name())))
}

impl Cells {
    fn of(column: &Column) -> Result<Self, Failure> {
        let series = column.as_materialized_series();
        if series.is_empty() {
            return Ok(Cells::Null);
        }
        Ok(match series.dtype() {
            PolarsType::Null => Cells::Null,
            PolarsType::Boolean => Cells::Boolean(one_array(series)?),
            PolarsType::Int64 => Cells::Int64(one_array(series)?),
            PolarsType::Float64 => Cells::Float64(one_array(series)?),
            PolarsType::Date => Cells::Date(one_array(series)?),
            PolarsType::Decimal(_, scale) => Cells::Decimal(one_array(series)?, scale_of(*scale)),
            PolarsType::Datetime(unit, zone) => {
                let tag = match (unit_of(*unit), zone.is_some()) {
                    (Unit::Micro, false) => 5,
                    (Unit::Micro, true) => 6,
                    (Unit::Nano, false) => 12,
                    (Unit::Nano, true) => 13,
                };
                Cells::Ticks(one_array(series)?, tag)
            }
            PolarsType::Time => Cells::Ticks(one_array(series)?, 9),
            PolarsType::Duration(_) => Cells::Ticks(one_array(series)?, 10),
            PolarsType::String => Cells::String(one_array(series)?),
            PolarsType::Binary => Cells::Binary(one_array(series)?),
            other => {
                return Err(Failure::internal(format!("column `{}` of type {other} cannot be hashed", series.name())));
            }
        })
    }

    #[inline]
    fn put(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Cells::Null => out.push(0),
            Cells::Boolean(a) => match a.get(row) {
                Some(b) => out.extend_from_slice(&[1, u8::from(b)]),
                None => out.push(0),
            },
            Cells::Int64(a) => put_8(a.get(row).map(i64::to_le_bytes), 2, out),
            Cells::Whole(a) => put_whole(a.get(row), out),
            Cells::Float64(a) => put_8(a.get(row).map(|x| canonical(x).to_le_bytes()), 3, out),
            Cells::Date(a) => match a.get(row) {
                Some(d) => {
                    out.push(4);
                    out.extend_from_slice(&d.to_le_bytes());
                }
                None => out.push(0),
            },
            Cells::Decimal(a, scale) => put_decimal(a.get(row), *scale, out),
            Cells::Written(a, scale) => put_written(a.get(row), *scale, out),
            Cells::Ticks(a, tag) => put_8(a.get(row).map(i64::to_le_bytes), *tag, out),
            Cells::String(a) => put_bytes(a.get(row).map(str::as_bytes), 7, out),
            Cells::Binary(a) => put_bytes(a.get(row), 11, out),
        }
    }
}

#[inline]
fn put_8(value: Option<[u8; 8]>, tag: u8, out: &mut Vec<u8>) {
    match value {
        Some(bytes) => {
            out.push(tag);
            out.extend_from_slice(&bytes);
        }
        None => out.push(0),
    }
}

#[inline]
fn put_bytes(value: Option<&[u8]>, tag: u8, out: &mut Vec<u8>) {
    match value {
        Some(bytes) => {
            out.push(tag);
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        None => out.push(0),
    }
}

/// A whole number among floats.
fn put_whole(value: Option<i64>, out: &mut Vec<u8>) {
    match value {
        Some(n) if is_float(n) => put_8(Some((n as f64).to_le_bytes()), 3, out),
        n => put_8(n.map(i64::to_le_bytes), 2, out),
    }
}

/// A decimal among floats: 5.00 is the whole number 5, and what no float is written as has no zeros at its end.
fn put_written(units: Option<i128>, mut scale: u8, out: &mut Vec<u8>) {
    let Some(mut units) = units else { return out.push(0) };
    while scale > 0 && units % 10 == 0 {
        (units, scale) = (units / 10, scale - 1);
    }
    match (scale, i64::try_from(units)) {
        (0, Ok(whole)) => put_whole(Some(whole), out),
        _ => match decimal_float(units, scale) {
            (float, true) => put_8(Some(canonical(float).to_le_bytes()), 3, out),
            _ => put_decimal(Some(units), scale, out),
        },
    }
}

fn put_decimal(units: Option<i128>, scale: u8, out: &mut Vec<u8>) {
    match units {
        Some(units) => {
            out.extend_from_slice(&[8, scale]);
            out.extend_from_slice(&units.to_le_bytes());
        }
        None => out.push(0),
    }
}

/// Of a decimal the engine keeps the scale in a larger number.
pub(crate) fn scale_of(scale: usize) -> u8 {
    u8::try_from(scale).unwrap_or(u8::MAX)
}

/// Whether a float has exactly this value. Beyond 2^53 most whole numbers are between two floats.
fn is_float(n: i64) -> bool {
    // The largest whole numbers are rounded up to 2^63, which no 64-bit number is.
    let x = n as f64;
    x < 9_223_372_036_854_775_808.0 && x as i64 == n
}

/// -0.0 equals 0.0, and a NaN equals a NaN.
#[inline]
pub(crate) fn canonical(x: f64) -> f64 {
    if x.is_nan() {
        f64::NAN
    } else if x == 0.0 {
        0.0
    } else {
        x
    }
}

/// The hash of every row over these columns.
fn hash_rows(cells: &[Cells], height: usize) -> Vec<u128> {
    let mut row_bytes = Vec::with_capacity(256);
    (0..height)
        .map(|row| {
            row_bytes.clear();
            for cell in cells {
                cell.put(row, &mut row_bytes);
            }
            xxh3_128(&row_bytes)
        })
        .collect()
}

/// The columns a plan names, in the types it names.
fn selected(frame: &DataFrame, columns: Option<&[HashColumn]>) -> Result<Vec<Cells>, Failure> {
    let Some(columns) = columns else { return frame.columns().iter().map(Cells::of).collect() };
    columns
        .iter()
        .map(|wanted| {
            let column = frame.column(&wanted.name).map_err(|_| {
                let names: Vec<&str> = frame.columns().iter().map(|c| c.name().as_str()).collect();
                Failure::bad_input(format!(
                    "there is no column `{}`; the columns are {}",
                    wanted.name,
                    names.join(", ")
                ))
            })?;
            match (wanted.dtype, column.dtype()) {
                (None, _) => Cells::of(column),
                // A rounded number would equal others that it is not equal to.
                (Some(DataType::Float64), PolarsType::Int64) if !column.is_empty() => {
                    one_array(column.as_materialized_series()).map(Cells::Whole)
                }
                (Some(DataType::Float64), PolarsType::Decimal(_, scale)) if !column.is_empty() => {
                    one_array(column.as_materialized_series()).map(|units| Cells::Written(units, scale_of(*scale)))
                }
                (Some(dtype), _) => Cells::of(&widen(column, dtype)?),
            }
        })
        .collect()
}

/// Row hashes of a frame as a plan asks for them.
pub struct RowHashes {
    pub keys: Vec<u128>,
    /// Hashes of whole rows, where they were asked for.
    pub rows: Option<Vec<u128>>,
}

pub fn hash_frame(frame: &DataFrame, plan: &HashPlan) -> Result<RowHashes, Failure> {
    let keys = hash_rows(&selected(frame, plan.columns.as_deref())?, frame.height());
    let rows = if plan.with_row_hash { Some(hash_rows(&selected(frame, None)?, frame.height())) } else { None };
    Ok(RowHashes { keys, rows })
}

/// The partition of a hash among `partitions`, a power of two: its top bits.
#[inline]
pub fn partition_of(hash: u128, partitions: u32) -> usize {
    if partitions <= 1 { 0 } else { (hash >> (128 - partitions.trailing_zeros())) as usize }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::df;

    fn plan() -> HashPlan {
        HashPlan { columns: None, with_row_hash: false, partitions: 16 }
    }

    #[test]
    fn the_encoding_never_changes() {
        let frame = df!("i" => [1i64], "f" => [0.5f64], "s" => ["abc"], "b" => [true]).unwrap();
        let mut bytes = vec![2];
        bytes.extend(1i64.to_le_bytes());
        bytes.push(3);
        bytes.extend(0.5f64.to_le_bytes());
        bytes.extend([7, 3, 0, 0, 0, b'a', b'b', b'c', 1, 1]);
        assert_eq!(hash_frame(&frame, &plan()).unwrap().keys, vec![xxh3_128(&bytes)]);
        // A change of the hash function itself would split datasets made before from those made after.
        assert_eq!(format!("{:032x}", xxh3_128(b"shardmill")), "2bd32c2032fd1f6161040cffdcdc9e1a".to_owned());
    }

    #[test]
    fn zeros_nans_and_nulls_are_one_each() {
        let nan = f64::from_bits(0x7ff8_0000_0000_0001);
        let frame = df!("x" => [Some(0.0), Some(-0.0), Some(f64::NAN), Some(nan), None, None]).unwrap();
        let h = hash_frame(&frame, &plan()).unwrap().keys;
        assert!(h[0] == h[1] && h[2] == h[3] && h[4] == h[5]);
        assert!(h[0] != h[2] && h[2] != h[4] && h[0] != h[4]);
    }

    #[test]
    fn whole_numbers_equal_floats_of_their_very_value() {
        let plan = |dtype| HashPlan {
            columns: Some(vec![HashColumn { name: "x".into(), dtype: Some(dtype) }]),
            with_row_hash: false,
            partitions: 1,
        };
        let hashes = |frame: &DataFrame, dtype| hash_frame(frame, &plan(dtype)).unwrap().keys;
        let two_53 = 1i64 << 53;
        let whole = df!("x" => [0, 7, -3, two_53, two_53 + 1, i64::MAX, i64::MIN]).unwrap();
        let floats =
            df!("x" => [0.0, 7.0, -3.0, two_53 as f64, two_53 as f64, i64::MAX as f64, i64::MIN as f64]).unwrap();
        let (a, b) = (hashes(&whole, DataType::Float64), hashes(&floats, DataType::Float64));
        let equal: Vec<bool> = a.iter().zip(&b).map(|(a, b)| a == b).collect();
        assert_eq!(equal, [true, true, true, true, false, false, true]);
        assert_ne!(a[3], a[4]);
        assert!(hashes(&whole.clear(), DataType::Float64).is_empty());
    }

    #[test]
    fn cells_do_not_run_into_each_other() {
        let a = df!("x" => ["ab"], "y" => ["c"]).unwrap();
        let b = df!("x" => ["a"], "y" => ["bc"]).unwrap();
        assert_ne!(hash_frame(&a, &plan()).unwrap().keys, hash_frame(&b, &plan()).unwrap().keys);
        let c = df!("x" => [Some(""), None]).unwrap();
        let h = hash_frame(&c, &plan()).unwrap().keys;
        assert_ne!(h[0], h[1]);
    }

    #[test]
    fn partitions_are_the_top_bits() {
        assert_eq!(partition_of(u128::MAX, 16), 15);
        assert_eq!(partition_of(0, 16), 0);
        assert_eq!(partition_of(u128::MAX, 1), 0);
    }
}
