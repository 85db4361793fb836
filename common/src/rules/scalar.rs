//! One value of a cell, as rules and statistics carry it: exact in JSON, since a mode or a carried value must come back bit for bit.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde::{Deserialize, Serialize};

use super::error::ValueError;
use crate::schema::DataType;

/// A value of one of the stored types.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scalar {
    Boolean(bool),
    Int(i64),
    #[serde(with = "exact")]
    Float(f64),
    Text(String),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970 without a zone.
    Datetime(i64),
    /// Microseconds since 1970 UTC.
    DatetimeUtc(i64),
}

impl Scalar {
    /// What a person would call its type.
    pub const fn kind(&self) -> &'static str {
        match self {
            Scalar::Boolean(_) => "a boolean",
            Scalar::Int(_) => "a whole number",
            Scalar::Float(_) => "a number",
            Scalar::Text(_) => "a string",
            Scalar::Date(_) => "a date",
            Scalar::Datetime(_) => "a date and time",
            Scalar::DatetimeUtc(_) => "a date and time with an offset",
        }
    }

    pub const fn is_number(&self) -> bool {
        matches!(self, Scalar::Int(_) | Scalar::Float(_))
    }

    /// The value as a column of `dtype` holds it, or what is wrong with it.
    pub fn fit(&self, dtype: DataType) -> Result<Scalar, ValueError> {
        let fitted = match (self, dtype) {
            (Scalar::Boolean(_), DataType::Boolean)
            | (Scalar::Int(_), DataType::Int64)
            | (Scalar::Float(_), DataType::Float64)
            | (Scalar::Text(_), DataType::String)
            | (Scalar::Date(_), DataType::Date)
            | (Scalar::Datetime(_), DataType::Datetime)
            | (Scalar::DatetimeUtc(_), DataType::DatetimeUtc) => Some(self.clone()),
            (Scalar::Int(n), DataType::Float64) => Some(Scalar::Float(*n as f64)),
            // A whole float below 2^53 is the same number as an integer.
            (Scalar::Float(x), DataType::Int64) if x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0 => {
                Some(Scalar::Int(*x as i64))
            }
            (Scalar::Date(days), DataType::Datetime) => Some(Scalar::Datetime(i64::from(*days) * MICROS_PER_DAY)),
            (Scalar::Text(text), DataType::Date | DataType::Datetime | DataType::DatetimeUtc) => {
                read_time(text).and_then(|v| v.fit(dtype).ok())
            }
            _ => None,
        };
        fitted.ok_or_else(|| ValueError { value: self.clone(), dtype })
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Boolean(b) => write!(f, "{b}"),
            Scalar::Int(n) => write!(f, "{n}"),
            Scalar::Float(x) => write!(f, "{x}"),
            Scalar::Text(text) => write!(f, "\"{text}\""),
            Scalar::Date(days) => match DateTime::from_timestamp(i64::from(*days) * 86_400, 0) {
                Some(t) => write!(f, "{}", t.date_naive()),
                None => write!(f, "day {days}"),
            },
            Scalar::Datetime(us) => match DateTime::from_timestamp_micros(*us) {
                Some(t) => write!(f, "{}", t.naive_utc()),
                None => write!(f, "{us} us"),
            },
            Scalar::DatetimeUtc(us) => match DateTime::from_timestamp_micros(*us) {
                Some(t) => write!(f, "{}Z", t.naive_utc()),
                None => write!(f, "{us} us"),
            },
        }
    }
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Reads an ISO date, or date and time with or without an offset.
pub(super) fn read_time(text: &str) -> Option<Scalar> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        let days = date.signed_duration_since(NaiveDate::default()).num_days();
        return i32::try_from(days).ok().map(Scalar::Date);
    }
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(Scalar::DatetimeUtc(instant.timestamp_micros()));
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|t| Scalar::Datetime(t.and_utc().timestamp_micros()))
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
    fn values_fit_the_column() {
        assert_eq!(Scalar::Int(3).fit(DataType::Float64), Ok(Scalar::Float(3.0)));
        assert_eq!(Scalar::Float(3.0).fit(DataType::Int64), Ok(Scalar::Int(3)));
        assert_eq!(
            Scalar::Float(3.5).fit(DataType::Int64).unwrap_err().to_string(),
            "3.5 is a number, which a column of type int64 cannot hold"
        );
        assert_eq!(Scalar::Text("1970-01-03".into()).fit(DataType::Date), Ok(Scalar::Date(2)));
        assert_eq!(Scalar::Text("1970-01-01 00:00:01".into()).fit(DataType::Datetime), Ok(Scalar::Datetime(1_000_000)));
        assert_eq!(
            Scalar::Text("1970-01-01T01:00:00+01:00".into()).fit(DataType::DatetimeUtc),
            Ok(Scalar::DatetimeUtc(0))
        );
        assert!(Scalar::Text("soon".into()).fit(DataType::Date).is_err());
        assert_eq!(Scalar::DatetimeUtc(0).to_string(), "1970-01-01 00:00:00Z");
    }
}
