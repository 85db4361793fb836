//! Reads texts as numbers, booleans, dates and datetimes, for casts.

mod format;
mod number;
mod time;

use polars::prelude::DataType as PolarsType;
use shardmill_common::rules::{Cast, CastTo, Rule, RuleError};
use shardmill_common::schema::DataType;

use crate::frame::polars_type;

pub use number::{NumberForm, boolean};
pub use time::{TimeReader, Zone};

/// What a text turned out to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parsed<T> {
    Value(T),
    /// Blank, or another way to write that there is no value.
    Missing,
    Wrong,
}

impl<T> Parsed<T> {
    /// What a text without the blanks around it is read as.
    pub fn of(text: &str, read: impl Fn(&[u8]) -> Option<T>) -> Self {
        match text.trim() {
            "" => Parsed::Missing,
            text => read(text.as_bytes()).map_or(Parsed::Wrong, Parsed::Value),
        }
    }
}

/// The reader at the end of a program.
pub enum Parser {
    Integer(NumberForm),
    Float(NumberForm),
    /// With its digits, and how many of them are behind the point.
    Decimal(NumberForm, u8, u8),
    Time,
    Duration,
    Binary,
    Boolean,
    Date(TimeReader),
    Datetime(TimeReader),
}

impl Parser {
    /// The reader for `cast`; `None` for a cast to string, which reads nothing.
    pub fn compile(rule: &Rule, cast: &Cast) -> Result<Option<Parser>, RuleError> {
        let form = NumberForm {
            thousands: cast.thousands,
            decimal: cast.decimal,
            currency: cast.currency,
            percent: cast.percent,
            accounting: cast.accounting,
        };
        let reader = || TimeReader::compile(cast).map_err(|e| rule.error(e.to_string()));
        Ok(Some(match cast.to {
            CastTo::Integer => Parser::Integer(form),
            CastTo::Float => Parser::Float(form),
            CastTo::Decimal { precision, scale } => Parser::Decimal(form, precision, scale),
            CastTo::Time => Parser::Time,
            CastTo::Duration => Parser::Duration,
            CastTo::Binary => Parser::Binary,
            CastTo::Boolean => Parser::Boolean,
            CastTo::Date => Parser::Date(reader()?),
            CastTo::Datetime => Parser::Datetime(reader()?),
            CastTo::String => return Ok(None),
        }))
    }

    pub fn polars_type(&self) -> PolarsType {
        polars_type(match self {
            Parser::Integer(_) => DataType::Int64,
            Parser::Float(_) => DataType::Float64,
            Parser::Decimal(_, precision, scale) => DataType::Decimal { precision: *precision, scale: *scale },
            Parser::Boolean => DataType::Boolean,
            Parser::Date(_) => DataType::Date,
            Parser::Datetime(reader) if reader.is_utc() => DataType::DATETIME_UTC,
            Parser::Datetime(_) => DataType::DATETIME,
            Parser::Time => DataType::Time,
            Parser::Duration => DataType::Duration,
            Parser::Binary => DataType::Binary,
        })
    }
}
