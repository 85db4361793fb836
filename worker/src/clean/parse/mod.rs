//! Reads texts as numbers, booleans, dates and datetimes, for casts.

mod format;
mod number;
mod time;

use polars::prelude::{DataType as PolarsType, TimeUnit, TimeZone};
use shardmill_common::rules::{Cast, CastTo, Rule, RuleError};

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

/// The reader at the end of a program.
pub enum Parser {
    Integer(NumberForm),
    Float(NumberForm),
    Boolean,
    Date(TimeReader),
    Datetime(TimeReader),
}

impl Parser {
    /// The reader for `cast`; `None` for a cast to string, which reads nothing.
    pub fn compile(rule: &Rule, cast: &Cast) -> Result<Option<Parser>, RuleError> {
        let form = NumberForm { thousands: cast.thousands, decimal: cast.decimal };
        let reader = || TimeReader::compile(cast).map_err(|e| rule.error(e.to_string()));
        Ok(Some(match cast.to {
            CastTo::Integer => Parser::Integer(form),
            CastTo::Float => Parser::Float(form),
            CastTo::Boolean => Parser::Boolean,
            CastTo::Date => Parser::Date(reader()?),
            CastTo::Datetime => Parser::Datetime(reader()?),
            CastTo::String => return Ok(None),
        }))
    }

    pub fn polars_type(&self) -> PolarsType {
        match self {
            Parser::Integer(_) => PolarsType::Int64,
            Parser::Float(_) => PolarsType::Float64,
            Parser::Boolean => PolarsType::Boolean,
            Parser::Date(_) => PolarsType::Date,
            Parser::Datetime(reader) if reader.is_utc() => {
                PolarsType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))
            }
            Parser::Datetime(_) => PolarsType::Datetime(TimeUnit::Microseconds, None),
        }
    }
}
