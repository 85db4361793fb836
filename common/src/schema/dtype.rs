//! The types that columns have, and the lattice by which those of different files are joined.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::misread::Misread;

/// Digits of a decimal, at most.
pub const MAX_DIGITS: u8 = 38;
/// Digits that a whole number of 64 bits may have.
const INT_DIGITS: u8 = 19;

/// What times are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Micro,
    Nano,
}

impl Unit {
    pub const fn per_second(self) -> i64 {
        match self {
            Unit::Micro => 1_000_000,
            Unit::Nano => 1_000_000_000,
        }
    }

    pub const fn per_day(self) -> i64 {
        self.per_second() * 86_400
    }
}

/// The type of a column. Every reader maps its source's types onto these; nothing else is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DataType {
    /// No value was ever seen; joins with every type. Rows have such a column as text.
    Null,
    Boolean,
    Int64,
    /// Numbers of up to `precision` digits (at most [`MAX_DIGITS`]), `scale` of them behind the point; kept as 128-bit integers of
    /// units of 10^-scale.
    Decimal {
        precision: u8,
        scale: u8,
    },
    Float64,
    Date,
    /// Nanoseconds since midnight.
    Time,
    /// Since 1970 by the clock on a wall, without a zone.
    Datetime(Unit),
    /// Since 1970 UTC, written with an offset or `Z`.
    DatetimeUtc(Unit),
    /// Nanoseconds.
    Duration,
    /// Any bytes; written in hexadecimal digits where there is only text.
    Binary,
    String,
}

impl DataType {
    /// Times as text and most files have them.
    pub const DATETIME: DataType = DataType::Datetime(Unit::Micro);
    pub const DATETIME_UTC: DataType = DataType::DatetimeUtc(Unit::Micro);

    /// The narrowest type that holds the values of both; text holds everything.
    ///
    /// Where the result is `float64`, a value may have more digits than a float tells apart. Whoever joins columns looks at
    /// their values, and makes text of such a column.
    pub fn join(self, other: DataType) -> DataType {
        use DataType::{Date, Datetime, DatetimeUtc, Decimal, Float64, Int64, Null, String};
        match (self, other) {
            (a, b) if a == b => a,
            (Null, t) | (t, Null) => t,
            (Int64 | Decimal { .. }, Float64) | (Float64, Int64 | Decimal { .. }) => Float64,
            (Int64, Decimal { precision, scale }) | (Decimal { precision, scale }, Int64) => {
                decimal(INT_DIGITS.max(precision - scale), scale)
            }
            (Decimal { precision: p, scale: s }, Decimal { precision: q, scale: t }) => {
                decimal((p - s).max(q - t), s.max(t))
            }
            (Date, Datetime(unit)) | (Datetime(unit), Date) => Datetime(unit),
            (Datetime(a), Datetime(b)) => Datetime(a.max(b)),
            (DatetimeUtc(a), DatetimeUtc(b)) => DatetimeUtc(a.max(b)),
            _ => String,
        }
    }

    pub const fn is_numeric(self) -> bool {
        matches!(self, DataType::Int64 | DataType::Float64 | DataType::Decimal { .. })
    }

    /// The type of the classes that a column of labels has: whole numbers may come as `1.0`. Nothing where it has none.
    pub const fn of_classes(self) -> Option<DataType> {
        match self {
            DataType::Boolean | DataType::Int64 | DataType::String => Some(self),
            DataType::Null => Some(DataType::String),
            DataType::Float64 | DataType::Decimal { .. } => Some(DataType::Int64),
            _ => None,
        }
    }

    /// A day, or a point in time.
    pub const fn is_calendar(self) -> bool {
        matches!(self, DataType::Date | DataType::Datetime(_) | DataType::DatetimeUtc(_))
    }

    /// Whether a value is written in one way only, so that it comes back from text as it was written.
    pub const fn is_written_one_way(self) -> bool {
        matches!(self, DataType::Null | DataType::Int64 | DataType::Date | DataType::String)
    }

    /// `an int64`, `a string`.
    pub fn with_article(self) -> String {
        let article = if self == DataType::Int64 { "an" } else { "a" };
        format!("{article} {self}")
    }
}

/// A decimal of so many digits before and behind the point, or a float if no decimal has as many.
const fn decimal(whole: u8, scale: u8) -> DataType {
    let precision = whole + scale;
    if precision > MAX_DIGITS { DataType::Float64 } else { DataType::Decimal { precision, scale } }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DataType::Null => "null",
            DataType::Boolean => "boolean",
            DataType::Int64 => "int64",
            DataType::Decimal { precision, scale } => return f.pad(&format!("decimal({precision},{scale})")),
            DataType::Float64 => "float64",
            DataType::Date => "date",
            DataType::Time => "time",
            DataType::Datetime(Unit::Micro) => "datetime",
            DataType::Datetime(Unit::Nano) => "datetime_ns",
            DataType::DatetimeUtc(Unit::Micro) => "datetime_utc",
            DataType::DatetimeUtc(Unit::Nano) => "datetime_utc_ns",
            DataType::Duration => "duration",
            DataType::Binary => "binary",
            DataType::String => "string",
        })
    }
}

impl FromStr for DataType {
    type Err = Misread;

    fn from_str(text: &str) -> Result<Self, Misread> {
        Ok(match text {
            "boolean" | "bool" => DataType::Boolean,
            "int64" | "int" | "integer" => DataType::Int64,
            "float64" | "float" | "double" => DataType::Float64,
            "date" => DataType::Date,
            "time" => DataType::Time,
            "datetime" | "timestamp" => DataType::DATETIME,
            "datetime_ns" => DataType::Datetime(Unit::Nano),
            "datetime_utc" => DataType::DATETIME_UTC,
            "datetime_utc_ns" => DataType::DatetimeUtc(Unit::Nano),
            "duration" => DataType::Duration,
            "binary" => DataType::Binary,
            "string" | "text" => DataType::String,
            "null" => DataType::Null,
            _ if text.starts_with("decimal") => return read_decimal(text),
            _ => {
                let wanted = "not a type: use boolean, int64, decimal(DIGITS,BEHIND_THE_POINT), float64, date, time, datetime, \
                              datetime_utc, duration, binary or string";
                return Err(Misread::new(text, wanted));
            }
        })
    }
}

/// `decimal(10,2)`, `decimal(10)`.
fn read_decimal(text: &str) -> Result<DataType, Misread> {
    let wanted = "not a decimal type: it is written as decimal(10,2), with 1 to 38 digits, of which at most all are behind the point";
    let digits = text.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')'));
    let (precision, scale) = digits.map(|d| d.split_once(',').unwrap_or((d, "0"))).unwrap_or_default();
    match (precision.trim().parse(), scale.trim().parse()) {
        (Ok(precision), Ok(scale)) if (1..=MAX_DIGITS).contains(&precision) && scale <= precision => {
            Ok(DataType::Decimal { precision, scale })
        }
        _ => Err(Misread::new(text, wanted)),
    }
}

impl Serialize for DataType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DataType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<DataType> {
        let mut all = vec![
            DataType::Null,
            DataType::Boolean,
            DataType::Int64,
            DataType::Float64,
            DataType::Date,
            DataType::Time,
            DataType::Duration,
            DataType::Binary,
            DataType::String,
        ];
        for unit in [Unit::Micro, Unit::Nano] {
            all.extend([DataType::Datetime(unit), DataType::DatetimeUtc(unit)]);
        }
        for (precision, scale) in [(1, 0), (1, 1), (10, 2), (19, 0), (20, 20), (21, 2), (38, 0), (38, 19), (38, 38)] {
            all.push(DataType::Decimal { precision, scale });
        }
        all
    }

    #[test]
    fn join_is_a_semilattice() {
        let all = all();
        for a in &all {
            assert_eq!(a.join(*a), *a);
            assert_eq!(a.join(DataType::String), DataType::String);
            assert_eq!(a.join(DataType::Null), *a);
            for b in &all {
                assert_eq!(a.join(*b), b.join(*a));
                for c in &all {
                    assert_eq!(a.join(*b).join(*c), a.join(b.join(*c)), "{a} {b} {c}");
                }
            }
        }
    }

    #[test]
    fn decimals_take_in_what_they_can() {
        let join = |a: &str, b: &str| a.parse::<DataType>().unwrap().join(b.parse().unwrap()).to_string();
        assert_eq!(join("decimal(10,2)", "decimal(5,4)"), "decimal(12,4)");
        assert_eq!(join("int64", "decimal(10,2)"), "decimal(21,2)");
        assert_eq!(join("decimal(38,0)", "decimal(2,2)"), "float64");
        assert_eq!(join("decimal(10,2)", "float64"), "float64");
        assert_eq!(join("datetime_ns", "date"), "datetime_ns");
        assert_eq!(join("datetime", "datetime_utc"), "string");
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for dtype in all() {
            assert_eq!(dtype.to_string().parse(), Ok(dtype));
            let json = serde_json::to_string(&dtype).unwrap();
            assert_eq!(serde_json::from_str::<DataType>(&json).unwrap(), dtype);
        }
        assert_eq!("decimal(7)".parse(), Ok(DataType::Decimal { precision: 7, scale: 0 }));
        assert_eq!("decimal( 7, 3 )".parse(), Ok(DataType::Decimal { precision: 7, scale: 3 }));
        for no in
            ["decimal", "decimal(0,0)", "decimal(39,0)", "decimal(3,4)", "decimal(3,-1)", "decimal(3,1", "int8", ""]
        {
            assert!(no.parse::<DataType>().is_err(), "{no}");
        }
    }
}
