//! Sort keys as bytes: rows compare as their keys do, byte by byte, and no key is the beginning of another.
//!
//! A cell is a tag and, unless it is null, its value: booleans as one byte, numbers and instants big-endian with the sign
//! turned so that they compare as unsigned numbers, text (UTF-8) and bytes with an end mark. -0.0 is 0.0; every NaN is one, and more
//! than any number. A descending column has its values' bits turned over, but not the tag: nulls stay where they were asked.

use polars::prelude::{Column, DataFrame, DataType as PolarsType};
use polars_arrow::array::{BinaryViewArrayGeneric, BooleanArray, PrimitiveArray, StaticArray};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::sort::SortOrder;

use crate::hash::{canonical, one_array};

const NULL_FIRST: u8 = 0;
const VALUE: u8 = 1;
const NULL_LAST: u8 = 2;

/// Encoded keys, a row after another.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// The keys of a frame's rows.
    pub fn of(frame: &DataFrame, order: &SortOrder) -> Result<Self, Failure> {
        KeyColumns::of(frame, order)?.keys(0..frame.height())
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn get(&self, row: usize) -> &[u8] {
        let from = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[from..self.ends[row]]
    }

    pub fn last(&self) -> Option<&[u8]> {
        self.len().checked_sub(1).map(|row| self.get(row))
    }

    pub fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    /// Adds some of the keys of another.
    pub fn extend(&mut self, other: &Keys, rows: std::ops::Range<usize>) {
        if rows.is_empty() {
            return;
        }
        let from = if rows.start == 0 { 0 } else { other.ends[rows.start - 1] };
        let moved = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes[from..other.ends[rows.end - 1]]);
        self.ends.extend(other.ends[rows].iter().map(|end| end - from + moved));
    }

    /// Of sorted keys, how many are less than this one (`or_equal`: at most it).
    pub fn count_below(&self, key: &[u8], or_equal: bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let below = if or_equal { self.get(middle) <= key } else { self.get(middle) < key };
            if below { low = middle + 1 } else { high = middle }
        }
        low
    }
}

enum Values {
    Null,
    Boolean(BooleanArray),
    Int64(PrimitiveArray<i64>),
    Float64(PrimitiveArray<f64>),
    Decimal(PrimitiveArray<i128>),
    Date(PrimitiveArray<i32>),
    String(BinaryViewArrayGeneric<str>),
    Binary(BinaryViewArrayGeneric<[u8]>),
}

struct KeyColumn {
    values: Values,
    descending: bool,
    null: u8,
}

/// The columns of a frame that make its keys.
pub struct KeyColumns(Vec<KeyColumn>);

impl KeyColumns {
    pub fn of(frame: &DataFrame, order: &SortOrder) -> Result<Self, Failure> {
        let null = if order.nulls_last { NULL_LAST } else { NULL_FIRST };
        let column = |key: &shardmill_common::kinds::sort::SortKey| {
            let column = frame.column(&key.column).map_err(|_| {
                let names: Vec<&str> = frame.columns().iter().map(|c| c.name().as_str()).collect();
                Failure::bad_input(format!(
                    "there is no column `{}` to sort by; the columns are {}",
                    key.column,
                    names.join(", ")
                ))
            })?;
            Ok(KeyColumn { values: values(column)?, descending: key.descending, null })
        };
        order.by.iter().map(column).collect::<Result<_, _>>().map(Self)
    }

    /// The keys of some rows.
    pub fn keys(&self, rows: std::ops::Range<usize>) -> Result<Keys, Failure> {
        let mut keys = Keys { bytes: Vec::with_capacity(self.size_of(rows.len())), ends: Vec::new() };
        keys.ends.reserve_exact(rows.len());
        for row in rows {
            self.put(row, &mut keys.bytes);
            keys.ends.push(keys.bytes.len());
        }
        Ok(keys)
    }

    /// About what the keys of so many rows take: growing by doubling would touch much memory.
    fn size_of(&self, rows: usize) -> usize {
        let share = |bytes: usize, of: usize| (bytes as f64 * rows as f64 / of.max(1) as f64) as usize;
        let of = |column: &KeyColumn| match &column.values {
            Values::Null => rows,
            Values::Boolean(_) => 2 * rows,
            Values::Int64(_) | Values::Float64(_) => 9 * rows,
            Values::Decimal(_) => 17 * rows,
            Values::Date(_) => 5 * rows,
            Values::String(a) => 2 * rows + share(a.total_bytes_len(), a.len()),
            Values::Binary(a) => 2 * rows + share(a.total_bytes_len(), a.len()),
        };
        self.0.iter().map(of).sum()
    }

    /// Adds the key of one row to some bytes.
    #[inline]
    pub fn put(&self, row: usize, out: &mut Vec<u8>) {
        for column in &self.0 {
            column.put(row, out);
        }
    }
}

fn values(column: &Column) -> Result<Values, Failure> {
    let series = column.as_materialized_series();
    if series.is_empty() {
        return Ok(Values::Null);
    }
    Ok(match series.dtype() {
        PolarsType::Null => Values::Null,
        PolarsType::Boolean => Values::Boolean(one_array(series)?),
        PolarsType::Int64 | PolarsType::Datetime(..) | PolarsType::Time | PolarsType::Duration(_) => {
            Values::Int64(one_array(series)?)
        }
        PolarsType::Decimal(..) => Values::Decimal(one_array(series)?),
        PolarsType::Float64 => Values::Float64(one_array(series)?),
        PolarsType::Date => Values::Date(one_array(series)?),
        PolarsType::String => Values::String(one_array(series)?),
        PolarsType::Binary => Values::Binary(one_array(series)?),
        other => {
            return Err(Failure::internal(format!("column `{}` of type {other} cannot be sorted by", series.name())));
        }
    })
}

impl KeyColumn {
    #[inline]
    fn put(&self, row: usize, out: &mut Vec<u8>) {
        let null = self.null;
        let turned = |byte: u8| if self.descending { !byte } else { byte };
        match &self.values {
            Values::Null => out.push(null),
            Values::Boolean(a) => match a.get(row) {
                Some(b) => out.extend_from_slice(&[VALUE, turned(u8::from(b))]),
                None => out.push(null),
            },
            Values::Int64(a) => self.put_8(a.get(row).map(|n| (n as u64) ^ (1 << 63)), out),
            Values::Float64(a) => self.put_8(a.get(row).map(float_bits), out),
            Values::Date(a) => match a.get(row) {
                Some(d) => {
                    let bits = (d as u32) ^ (1 << 31);
                    out.push(VALUE);
                    out.extend_from_slice(&if self.descending { !bits } else { bits }.to_be_bytes());
                }
                None => out.push(null),
            },
            Values::Decimal(a) => match a.get(row) {
                Some(units) => {
                    let bits = (units as u128) ^ (1 << 127);
                    out.push(VALUE);
                    out.extend_from_slice(&if self.descending { !bits } else { bits }.to_be_bytes());
                }
                None => out.push(null),
            },
            Values::String(a) => self.put_bytes(a.get(row).map(str::as_bytes), out),
            Values::Binary(a) => self.put_bytes(a.get(row), out),
        }
    }

    #[inline]
    fn put_bytes(&self, value: Option<&[u8]>, out: &mut Vec<u8>) {
        match value {
            Some(bytes) => {
                out.push(VALUE);
                let from = out.len();
                put_text(bytes, out);
                if self.descending {
                    out[from..].iter_mut().for_each(|byte| *byte = !*byte);
                }
            }
            None => out.push(self.null),
        }
    }

    #[inline]
    fn put_8(&self, bits: Option<u64>, out: &mut Vec<u8>) {
        match bits {
            Some(bits) => {
                let mut cell = [VALUE; 9];
                cell[1..].copy_from_slice(&if self.descending { !bits } else { bits }.to_be_bytes());
                out.extend_from_slice(&cell);
            }
            None => out.push(self.null),
        }
    }
}

/// Bits that compare as the numbers do.
#[inline]
fn float_bits(x: f64) -> u64 {
    let bits = canonical(x).to_bits();
    if bits >> 63 == 1 { !bits } else { bits ^ (1 << 63) }
}

/// Text ends with a 0. The bytes 0 and 1 in it, which hardly occur, become 1 1 and 1 2.
#[inline]
fn put_text(text: &[u8], out: &mut Vec<u8>) {
    if memchr::memchr2(0, 1, text).is_none() {
        out.extend_from_slice(text);
    } else {
        for byte in text {
            match byte {
                0 => out.extend_from_slice(&[1, 1]),
                1 => out.extend_from_slice(&[1, 2]),
                other => out.push(*other),
            }
        }
    }
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::df;
    use shardmill_common::kinds::sort::SortKey;

    fn order(columns: &[(&str, bool)], nulls_last: bool) -> SortOrder {
        let by = columns.iter().map(|(c, descending)| SortKey { column: (*c).into(), descending: *descending });
        SortOrder { by: by.collect(), nulls_last }
    }

    fn sorted(frame: &DataFrame, order: &SortOrder) -> Vec<usize> {
        let keys = Keys::of(frame, order).unwrap();
        let mut rows: Vec<usize> = (0..keys.len()).collect();
        rows.sort_by_key(|row| keys.get(*row).to_vec());
        rows
    }

    #[test]
    fn numbers_and_nulls_take_their_places() {
        let frame =
            df!("x" => [Some(1.5), None, Some(f64::NAN), Some(-0.0), Some(f64::NEG_INFINITY), Some(0.0), Some(-2.0)])
                .unwrap();
        assert_eq!(sorted(&frame, &order(&[("x", false)], false)), [1, 4, 6, 3, 5, 0, 2]);
        assert_eq!(sorted(&frame, &order(&[("x", false)], true)), [4, 6, 3, 5, 0, 2, 1]);
        assert_eq!(sorted(&frame, &order(&[("x", true)], false)), [1, 2, 0, 3, 5, 6, 4]);
        assert_eq!(sorted(&frame, &order(&[("x", true)], true)), [2, 0, 3, 5, 6, 4, 1]);
        let frame = df!("i" => [i64::MAX, -1, 0, i64::MIN]).unwrap();
        assert_eq!(sorted(&frame, &order(&[("i", false)], false)), [3, 1, 2, 0]);
    }

    #[test]
    fn text_compares_by_code_point_and_ends_do_not_run_on() {
        let words = ["", "a", "a\0", "a\0\0", "a\0b", "a\u{1}", "a\u{1}\0", "a\u{2}", "ab", "b", "é", "\u{10ffff}"];
        let shuffled: Vec<&str> = words.iter().rev().copied().collect();
        let frame = df!("s" => shuffled).unwrap();
        let rows = sorted(&frame, &order(&[("s", false)], false));
        assert_eq!(rows, (0..words.len()).rev().collect::<Vec<_>>());
        let rows = sorted(&frame, &order(&[("s", true)], false));
        assert_eq!(rows, (0..words.len()).collect::<Vec<_>>());
        let keys = Keys::of(&frame, &order(&[("s", false)], false)).unwrap();
        for a in 0..keys.len() {
            for b in 0..keys.len() {
                assert!(a == b || !keys.get(a).starts_with(keys.get(b)), "no key begins another");
            }
        }
        // The second column decides only where the first is equal.
        let frame = df!("a" => ["x", "", "x\0"], "b" => ["1", "9", "0"]).unwrap();
        assert_eq!(sorted(&frame, &order(&[("a", false), ("b", false)], false)), [1, 0, 2]);
    }

    #[test]
    fn counting_below_finds_both_ends_of_equal_keys() {
        let frame = df!("i" => [1i64, 2, 2, 2, 5]).unwrap();
        let keys = Keys::of(&frame, &order(&[("i", false)], false)).unwrap();
        let two = keys.get(1).to_vec();
        assert_eq!((keys.count_below(&two, false), keys.count_below(&two, true)), (1, 4));
        let mut some = Keys::default();
        some.extend(&keys, 1..3);
        some.extend(&keys, 4..5);
        some.extend(&keys, 2..2);
        assert_eq!((some.get(0), some.get(2), some.len()), (keys.get(1), keys.get(4), 3));
    }
}
