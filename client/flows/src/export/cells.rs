//! Cells of one column as text: the same in CSV, JSON lines and on the terminal.

use std::io::Write;

use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, DurationNanosecondArray, Float64Array, Int64Array,
    LargeBinaryArray, LargeStringArray, Time64NanosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationNanosecondType, Float64Type, Int64Type, Time64NanosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use shardmill_common::schema::Unit;
use shardmill_common::text::{
    decimal_float, write_date, write_datetime, write_decimal, write_duration, write_hex, write_time,
};

/// One column of a batch that was brought to the types of `read::arrow_schema`.
pub enum Cells<'a> {
    Boolean(&'a BooleanArray),
    Int(&'a Int64Array),
    Float(&'a Float64Array),
    Decimal {
        array: &'a Decimal128Array,
        scale: u8,
    },
    Date(&'a Date32Array),
    Time(&'a Time64NanosecondArray),
    Micros {
        array: &'a TimestampMicrosecondArray,
        utc: bool,
    },
    Nanos {
        array: &'a TimestampNanosecondArray,
        utc: bool,
    },
    Duration(&'a DurationNanosecondArray),
    Bytes(&'a LargeBinaryArray),
    Text(&'a LargeStringArray),
    /// A type that no reader here hands out; shown as nulls.
    Unknown,
}

impl<'a> Cells<'a> {
    pub fn of(array: &'a dyn Array) -> Self {
        match array.data_type() {
            DataType::Boolean => array.as_boolean_opt().map_or(Cells::Unknown, Cells::Boolean),
            DataType::Int64 => array.as_primitive_opt::<Int64Type>().map_or(Cells::Unknown, Cells::Int),
            DataType::Float64 => array.as_primitive_opt::<Float64Type>().map_or(Cells::Unknown, Cells::Float),
            DataType::Date32 => array.as_primitive_opt::<Date32Type>().map_or(Cells::Unknown, Cells::Date),
            DataType::Decimal128(_, scale) => {
                let scale = u8::try_from(*scale).unwrap_or(0);
                let found = array.as_primitive_opt::<Decimal128Type>();
                found.map_or(Cells::Unknown, |array| Cells::Decimal { array, scale })
            }
            DataType::Time64(TimeUnit::Nanosecond) => {
                array.as_primitive_opt::<Time64NanosecondType>().map_or(Cells::Unknown, Cells::Time)
            }
            DataType::Duration(TimeUnit::Nanosecond) => {
                array.as_primitive_opt::<DurationNanosecondType>().map_or(Cells::Unknown, Cells::Duration)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
                let utc = zone.is_some();
                let found = array.as_primitive_opt::<TimestampNanosecondType>();
                found.map_or(Cells::Unknown, |array| Cells::Nanos { array, utc })
            }
            DataType::Timestamp(_, zone) => {
                let utc = zone.is_some();
                let found = array.as_primitive_opt::<TimestampMicrosecondType>();
                found.map_or(Cells::Unknown, |array| Cells::Micros { array, utc })
            }
            DataType::LargeBinary => array.as_binary_opt::<i64>().map_or(Cells::Unknown, Cells::Bytes),
            DataType::LargeUtf8 => array.as_string_opt::<i64>().map_or(Cells::Unknown, Cells::Text),
            _ => Cells::Unknown,
        }
    }

    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Cells::Boolean(a) => a.is_null(row),
            Cells::Int(a) => a.is_null(row),
            Cells::Float(a) => a.is_null(row),
            Cells::Date(a) => a.is_null(row),
            Cells::Decimal { array, .. } => array.is_null(row),
            Cells::Time(a) => a.is_null(row),
            Cells::Micros { array, .. } => array.is_null(row),
            Cells::Nanos { array, .. } => array.is_null(row),
            Cells::Duration(a) => a.is_null(row),
            Cells::Bytes(a) => a.is_null(row),
            Cells::Text(a) => a.is_null(row),
            Cells::Unknown => true,
        }
    }

    /// Whether a decimal has more digits than a float tells apart.
    pub fn is_beyond_float(&self, row: usize) -> bool {
        match self {
            Cells::Decimal { array, scale } => array.is_valid(row) && !decimal_float(array.value(row), *scale).1,
            _ => false,
        }
    }

    /// Appends the value of a cell that is not null.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        match self {
            Cells::Boolean(a) => drop(write!(out, "{}", a.value(row))),
            Cells::Int(a) => drop(write!(out, "{}", a.value(row))),
            // Debug is the shortest text that reads back as the same number, and keeps `1.0` a float.
            Cells::Float(a) => drop(write!(out, "{:?}", a.value(row))),
            Cells::Decimal { array, scale } => write_decimal(array.value(row), *scale, out),
            Cells::Date(a) => write_date(i64::from(a.value(row)), out),
            Cells::Time(a) => write_time(a.value(row), out),
            Cells::Micros { array, utc } => write_datetime(array.value(row), Unit::Micro, *utc, out),
            Cells::Nanos { array, utc } => write_datetime(array.value(row), Unit::Nano, *utc, out),
            Cells::Duration(a) => write_duration(a.value(row), out),
            Cells::Bytes(a) => write_hex(a.value(row), out),
            Cells::Text(a) => out.extend_from_slice(a.value(row).as_bytes()),
            Cells::Unknown => {}
        }
    }

    /// Appends the cell as a JSON value. JSON has no NaN and no infinity: they become null.
    pub fn write_json(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match self {
            Cells::Float(a) if !a.value(row).is_finite() => out.extend_from_slice(b"null"),
            Cells::Text(a) => {
                // A string always serialises, and a Vec takes all of it.
                let _ = serde_json::to_writer(out, a.value(row));
            }
            Cells::Boolean(_) | Cells::Int(_) | Cells::Float(_) | Cells::Decimal { .. } | Cells::Unknown => {
                self.write(row, out);
            }
            Cells::Date(_)
            | Cells::Time(_)
            | Cells::Micros { .. }
            | Cells::Nanos { .. }
            | Cells::Duration(_)
            | Cells::Bytes(_) => {
                out.push(b'"');
                self.write(row, out);
                out.push(b'"');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(array: &dyn Array) -> Vec<String> {
        let cells = Cells::of(array);
        let text = |row| {
            let mut out = Vec::new();
            cells.write(row, &mut out);
            String::from_utf8(out).unwrap()
        };
        (0..array.len()).map(text).collect()
    }

    #[test]
    fn every_type_is_written() {
        let n = 1_500_000_i64;
        let decimals = Decimal128Array::from(vec![-5]).with_precision_and_scale(10, 2).unwrap();
        let arrays: [(&dyn Array, &str, &str); 8] = [
            (&decimals, "-0.05", "-0.05"),
            (&Date32Array::from(vec![19_753]), "2024-01-31", "\"2024-01-31\""),
            (&Time64NanosecondArray::from(vec![n]), "00:00:00.001500", "\"00:00:00.001500\""),
            (&TimestampMicrosecondArray::from(vec![n]), "1970-01-01 00:00:01.500000", "\"1970-01-01 00:00:01.500000\""),
            (
                &TimestampNanosecondArray::from(vec![1]).with_timezone("UTC"),
                "1970-01-01 00:00:00.000000001Z",
                "\"1970-01-01 00:00:00.000000001Z\"",
            ),
            (&DurationNanosecondArray::from(vec![-n]), "-PT0.001500S", "\"-PT0.001500S\""),
            (&LargeBinaryArray::from(vec![&b"\x00\xff"[..]]), "00ff", "\"00ff\""),
            (&LargeStringArray::from(vec!["a\"b"]), "a\"b", "\"a\\\"b\""),
        ];
        for (array, text, json) in arrays {
            assert_eq!(shown(array), [text]);
            let mut out = Vec::new();
            Cells::of(array).write_json(0, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), json);
        }
    }

    #[test]
    fn floats_read_back_as_the_same_float() {
        let values = [1.0, 0.1, -0.0, 1e300, 5e-324, 123_456_789.125, f64::MAX];
        let array = Float64Array::from(values.to_vec());
        let texts = shown(&array);
        assert_eq!(&texts[..3], ["1.0", "0.1", "-0.0"]);
        for (text, value) in texts.iter().zip(values) {
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
        }
    }

    #[test]
    fn json_has_no_nan() {
        let array = Float64Array::from(vec![f64::NAN, 1.5]);
        let mut out = Vec::new();
        Cells::of(&array).write_json(0, &mut out);
        Cells::of(&array).write_json(1, &mut out);
        assert_eq!(out, b"null1.5");
    }
}
