//! Cells of one column as text: the same in CSV, JSON lines and on the terminal.

use std::io::Write;

use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, LargeStringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};

const DAY: i64 = 86_400_000_000;

/// One column of a batch that was brought to the types of `read::arrow_schema`.
pub enum Cells<'a> {
    Boolean(&'a BooleanArray),
    Int(&'a Int64Array),
    Float(&'a Float64Array),
    Date(&'a Date32Array),
    Datetime {
        array: &'a TimestampMicrosecondArray,
        utc: bool,
    },
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
            DataType::Timestamp(_, zone) => {
                let utc = zone.is_some();
                let found = array.as_primitive_opt::<TimestampMicrosecondType>();
                found.map_or(Cells::Unknown, |array| Cells::Datetime { array, utc })
            }
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
            Cells::Datetime { array, .. } => array.is_null(row),
            Cells::Text(a) => a.is_null(row),
            Cells::Unknown => true,
        }
    }

    /// Appends the value of a cell that is not null.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = match self {
            Cells::Boolean(a) => write!(out, "{}", a.value(row)),
            Cells::Int(a) => write!(out, "{}", a.value(row)),
            // Debug is the shortest text that reads back as the same number, and keeps `1.0` a float.
            Cells::Float(a) => write!(out, "{:?}", a.value(row)),
            Cells::Date(a) => {
                date(i64::from(a.value(row)), out);
                Ok(())
            }
            Cells::Datetime { array, utc } => {
                datetime(array.value(row), *utc, out);
                Ok(())
            }
            Cells::Text(a) => out.write_all(a.value(row).as_bytes()),
            Cells::Unknown => Ok(()),
        };
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
            Cells::Date(_) | Cells::Datetime { .. } => {
                out.push(b'"');
                self.write(row, out);
                out.push(b'"');
            }
            _ => self.write(row, out),
        }
    }
}

/// `2024-01-31` from days since 1970.
fn date(days: i64, out: &mut Vec<u8>) {
    // The civil calendar in eras of 400 years (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    if (0..=9999).contains(&year) {
        digits(year, 4, out);
    } else {
        let _ = write!(out, "{year:+05}");
    }
    out.push(b'-');
    digits(month, 2, out);
    out.push(b'-');
    digits(day, 2, out);
}

/// `2024-01-31 12:00:00`, with microseconds where there are any, and `Z` for instants.
fn datetime(micros: i64, utc: bool, out: &mut Vec<u8>) {
    date(micros.div_euclid(DAY), out);
    let of_day = micros.rem_euclid(DAY);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    for (mark, n) in [(b' ', seconds / 3600), (b':', seconds / 60 % 60), (b':', seconds % 60)] {
        out.push(mark);
        digits(n, 2, out);
    }
    if fraction > 0 {
        out.push(b'.');
        digits(fraction, 6, out);
    }
    if utc {
        out.push(b'Z');
    }
}

/// The last `width` decimal digits of `n`.
fn digits(n: i64, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        out.push(b'0' + (n / 10_i64.pow(place) % 10) as u8);
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
    fn dates_are_civil() {
        let days = Date32Array::from(vec![0, -1, 19_753, 11_016, -719_468 - 366, 2_932_897]);
        assert_eq!(
            shown(&days),
            ["1970-01-01", "1969-12-31", "2024-01-31", "2000-02-29", "-0001-03-01", "+10000-01-01"]
        );
    }

    #[test]
    fn datetimes_show_what_is_there() {
        let micros = vec![1_706_702_400_000_000, 1_706_702_400_000_001, -1];
        let plain = TimestampMicrosecondArray::from(micros);
        assert_eq!(shown(&plain), ["2024-01-31 12:00:00", "2024-01-31 12:00:00.000001", "1969-12-31 23:59:59.999999"]);
        assert_eq!(shown(&plain.with_timezone("UTC"))[0], "2024-01-31 12:00:00Z");
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
