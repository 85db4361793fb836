//! One value of a cell, as rules and statistics carry it: exact in JSON, since a mode or a carried value must come back bit for bit.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde::{Deserialize, Serialize};

use super::error::ValueError;
use crate::schema::{DataType, Unit};
use crate::text::{
    decimal_float, decimal_of_float, parse_decimal, parse_duration, parse_hex, parse_time, rescale, write_date,
    write_datetime, write_decimal, write_duration, write_hex, write_time,
};

/// A value of one of the stored types.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scalar {
    Boolean(bool),
    Int(i64),
    /// Units of 10^-scale.
    Decimal {
        #[serde(with = "whole")]
        units: i128,
        scale: u8,
    },
    #[serde(with = "exact")]
    Float(f64),
    Text(String),
    /// Days since 1970.
    Date(i32),
    /// Nanoseconds since midnight.
    Time(i64),
    /// Since 1970 without a zone.
    Datetime(i64, Unit),
    /// Since 1970 UTC.
    DatetimeUtc(i64, Unit),
    /// Nanoseconds.
    Duration(i64),
    Binary(Vec<u8>),
}

impl Scalar {
    /// What a person would call its type.
    pub const fn kind(&self) -> &'static str {
        match self {
            Scalar::Boolean(_) => "a boolean",
            Scalar::Int(_) => "a whole number",
            Scalar::Decimal { .. } | Scalar::Float(_) => "a number",
            Scalar::Text(_) => "a string",
            Scalar::Date(_) => "a date",
            Scalar::Time(_) => "a time of day",
            Scalar::Datetime(..) => "a date and time",
            Scalar::DatetimeUtc(..) => "a date and time with an offset",
            Scalar::Duration(_) => "a duration",
            Scalar::Binary(_) => "bytes",
        }
    }

    pub const fn is_number(&self) -> bool {
        matches!(self, Scalar::Int(_) | Scalar::Decimal { .. } | Scalar::Float(_))
    }

    /// The number as the nearest float.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Scalar::Int(n) => Some(*n as f64),
            Scalar::Decimal { units, scale } => Some(decimal_float(*units, *scale).0),
            Scalar::Float(x) => Some(*x),
            _ => None,
        }
    }

    /// What it is counted in, of what is kept as 64 bits.
    pub const fn ticks(&self) -> Option<i64> {
        match self {
            Scalar::Int(n)
            | Scalar::Time(n)
            | Scalar::Datetime(n, _)
            | Scalar::DatetimeUtc(n, _)
            | Scalar::Duration(n) => Some(*n),
            _ => None,
        }
    }

    /// The value as a column of `dtype` holds it, or what is wrong with it.
    pub fn fit(&self, dtype: DataType) -> Result<Scalar, ValueError> {
        let decimal = |units: Option<i128>, scale| units.map(|units| Scalar::Decimal { units, scale });
        let fitted = match (self, dtype) {
            (Scalar::Boolean(_), DataType::Boolean)
            | (Scalar::Int(_), DataType::Int64)
            | (Scalar::Float(_), DataType::Float64)
            | (Scalar::Text(_), DataType::String)
            | (Scalar::Date(_), DataType::Date)
            | (Scalar::Time(_), DataType::Time)
            | (Scalar::Duration(_), DataType::Duration)
            | (Scalar::Binary(_), DataType::Binary) => Some(self.clone()),
            (Scalar::Int(_) | Scalar::Decimal { .. }, DataType::Float64) => self.as_float().map(Scalar::Float),
            // A whole float below 2^53 is the same number as an integer.
            (Scalar::Float(x), DataType::Int64) if x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0 => {
                Some(Scalar::Int(*x as i64))
            }
            (Scalar::Decimal { units, scale }, DataType::Int64) => {
                rescale(*units, *scale, 0).and_then(|n| i64::try_from(n).ok()).map(Scalar::Int)
            }
            (Scalar::Int(n), DataType::Decimal { precision, scale }) => {
                decimal(parse_decimal(n.to_string().as_bytes(), precision, scale), scale)
            }
            (Scalar::Float(x), DataType::Decimal { precision, scale }) => {
                decimal(decimal_of_float(*x, precision, scale), scale)
            }
            (Scalar::Decimal { units, scale: from }, DataType::Decimal { precision, scale }) => {
                let fits = |units: &i128| units.unsigned_abs() < 10_u128.pow(u32::from(precision));
                decimal(rescale(*units, *from, scale).filter(fits), scale)
            }
            (Scalar::Date(days), DataType::Datetime(unit)) => {
                i64::from(*days).checked_mul(unit.per_day()).map(|n| Scalar::Datetime(n, unit))
            }
            (Scalar::Datetime(n, from), DataType::Datetime(to)) => {
                in_unit(*n, *from, to).map(|n| Scalar::Datetime(n, to))
            }
            (Scalar::DatetimeUtc(n, from), DataType::DatetimeUtc(to)) => {
                in_unit(*n, *from, to).map(|n| Scalar::DatetimeUtc(n, to))
            }
            (Scalar::Text(text), DataType::Date | DataType::Datetime(_) | DataType::DatetimeUtc(_)) => {
                read_time(text).and_then(|v| v.fit(dtype).ok())
            }
            (Scalar::Text(text), DataType::Time) => parse_time(text.as_bytes()).map(Scalar::Time),
            (Scalar::Text(text), DataType::Duration) => parse_duration(text.as_bytes()).map(Scalar::Duration),
            (Scalar::Text(text), DataType::Binary) => parse_hex(text.as_bytes()).map(Scalar::Binary),
            _ => None,
        };
        fitted.ok_or_else(|| ValueError { value: self.clone(), dtype })
    }

    /// The value as files have it.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        match self {
            Scalar::Boolean(b) => return b.to_string(),
            Scalar::Int(n) => return n.to_string(),
            Scalar::Float(x) => return crate::text::float_text(*x),
            Scalar::Text(text) => return text.clone(),
            Scalar::Decimal { units, scale } => write_decimal(*units, *scale, &mut out),
            Scalar::Date(days) => write_date(i64::from(*days), &mut out),
            Scalar::Time(n) => write_time(*n, &mut out),
            Scalar::Datetime(n, unit) => write_datetime(*n, *unit, false, &mut out),
            Scalar::DatetimeUtc(n, unit) => write_datetime(*n, *unit, true, &mut out),
            Scalar::Duration(n) => write_duration(*n, &mut out),
            Scalar::Binary(bytes) => write_hex(bytes, &mut out),
        }
        // It is made of digits and signs.
        String::from_utf8(out).unwrap_or_default()
    }
}

/// Times in another unit; nothing, where it is too coarse or too small.
pub fn in_unit(ticks: i64, from: Unit, to: Unit) -> Option<i64> {
    match (from, to) {
        (Unit::Micro, Unit::Nano) => ticks.checked_mul(1000),
        (Unit::Nano, Unit::Micro) => (ticks % 1000 == 0).then_some(ticks / 1000),
        (Unit::Micro, Unit::Micro) | (Unit::Nano, Unit::Nano) => Some(ticks),
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Float(x) => write!(f, "{x}"),
            Scalar::Text(text) => write!(f, "\"{text}\""),
            other => f.write_str(&other.text()),
        }
    }
}

/// Reads an ISO date, or date and time with or without an offset.
pub(super) fn read_time(text: &str) -> Option<Scalar> {
    let of = |instant: DateTime<chrono::Utc>| {
        let nanos = instant.timestamp_subsec_nanos();
        if nanos.is_multiple_of(1000) {
            Some((instant.timestamp_micros(), Unit::Micro))
        } else {
            Some((instant.timestamp_nanos_opt()?, Unit::Nano))
        }
    };
    if let Ok(date) = text.parse::<NaiveDate>() {
        let days = date.signed_duration_since(NaiveDate::default()).num_days();
        return i32::try_from(days).ok().map(Scalar::Date);
    }
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return of(instant.to_utc()).map(|(n, unit)| Scalar::DatetimeUtc(n, unit));
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .and_then(|t| of(t.and_utc()))
        .map(|(n, unit)| Scalar::Datetime(n, unit))
}

/// Whole numbers of 128 bits as text, which JSON numbers have no room for.
mod whole {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(n: &i128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(n)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not a whole number")))
    }
}

/// Floats as their shortest exact text: JSON numbers know neither NaN nor infinity, and readers may round them.
pub(super) mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{x:?}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not a number")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_every_bit() {
        for x in [0.1, -0.0, 1e-310, f64::MAX, f64::INFINITY, 2.225_073_858_507_201e-308] {
            let json = serde_json::to_string(&Scalar::Float(x)).unwrap();
            let back: Scalar = serde_json::from_str(&json).unwrap();
            let Scalar::Float(y) = back else { panic!("{back:?}") };
            assert_eq!(x.to_bits(), y.to_bits(), "{json}");
        }
    }

    #[test]
    fn decimals_and_bytes_come_back_from_json() {
        for value in [
            Scalar::Decimal { units: i128::MIN + 1, scale: 38 },
            Scalar::Binary(vec![0, 255]),
            Scalar::Datetime(5, Unit::Nano),
        ] {
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Scalar>(&json).unwrap(), value, "{json}");
        }
    }

    #[test]
    fn values_fit_the_column() {
        assert_eq!(Scalar::Int(3).fit(DataType::Float64), Ok(Scalar::Float(3.0)));
        assert_eq!(Scalar::Float(3.0).fit(DataType::Int64), Ok(Scalar::Int(3)));
        assert_eq!(
            Scalar::Float(3.5).fit(DataType::Int64).unwrap_err().to_string(),
            "3.5 is a number, which a column of type int64 cannot hold"
        );
        assert_eq!(Scalar::Text("1970-01-03".into()).fit(DataType::Date), Ok(Scalar::Date(2)));
        let text = |text: &str, dtype: &str| Scalar::Text(text.into()).fit(dtype.parse().unwrap());
        assert_eq!(text("1970-01-01 00:00:01", "datetime"), Ok(Scalar::Datetime(1_000_000, Unit::Micro)));
        assert_eq!(text("1970-01-01 00:00:01", "datetime_ns"), Ok(Scalar::Datetime(1_000_000_000, Unit::Nano)));
        assert_eq!(text("1970-01-01T01:00:00+01:00", "datetime_utc"), Ok(Scalar::DatetimeUtc(0, Unit::Micro)));
        assert_eq!(text("01:00", "time"), Ok(Scalar::Time(3_600_000_000_000)));
        assert_eq!(text("PT1S", "duration"), Ok(Scalar::Duration(1_000_000_000)));
        assert_eq!(text("00ff", "binary"), Ok(Scalar::Binary(vec![0, 255])));
        assert!(text("soon", "date").is_err() && text("1970-01-01 00:00:00.0000001", "datetime").is_err());
        assert_eq!(Scalar::DatetimeUtc(0, Unit::Micro).to_string(), "1970-01-01 00:00:00Z");
        let price = DataType::Decimal { precision: 4, scale: 2 };
        let units = |units| Ok(Scalar::Decimal { units, scale: 2 });
        assert_eq!((Scalar::Float(0.1).fit(price), Scalar::Int(7).fit(price)), (units(10), units(700)));
        assert_eq!(Scalar::Decimal { units: 1500, scale: 3 }.fit(price), units(150));
        assert_eq!(Scalar::Decimal { units: 150, scale: 2 }.fit(DataType::Float64), Ok(Scalar::Float(1.5)));
        assert_eq!(Scalar::Decimal { units: 200, scale: 2 }.fit(DataType::Int64), Ok(Scalar::Int(2)));
        assert!(Scalar::Float(0.125).fit(price).is_err() && Scalar::Int(100).fit(price).is_err());
        assert!(Scalar::Decimal { units: 10_000, scale: 2 }.fit(price).is_err());
    }
}
