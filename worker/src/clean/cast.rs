//! Casts between the stored types other than from string.

use chrono::DateTime;
use polars::prelude::{PolarsResult, Series};
use shardmill_common::rules::{Cast, Rule, RuleError, Scalar};
use shardmill_common::schema::DataType;

use super::cells::{build, scalar_at};
use super::parse::Zone;
use crate::frame::polars_type;

/// A column after a cast.
pub struct CastColumn {
    pub series: Series,
    /// Cells that became null.
    pub nulled: u64,
    /// Cells that could not be cast.
    pub wrong: Vec<(usize, String)>,
}

/// Casts a column that is not of strings. `from` and the cast's result were found to go together.
pub fn cast_column(
    series: &Series,
    from: DataType,
    rule: &Rule,
    cast: &Cast,
) -> Result<PolarsResult<CastColumn>, RuleError> {
    let zone = cast.timezone.as_deref().map(Zone::named).transpose().map_err(|e| rule.error(e.to_string()))?;
    Ok(cast_cells(series, from, cast, zone))
}

fn cast_cells(series: &Series, from: DataType, cast: &Cast, zone: Option<Zone>) -> PolarsResult<CastColumn> {
    let to = cast.result();
    let is_exact = matches!(
        (from, to),
        (DataType::Null, _)
            | (DataType::Int64 | DataType::Boolean, DataType::Float64)
            | (DataType::Boolean, DataType::Int64)
            | (DataType::Date, DataType::Datetime)
    );
    if from == to || is_exact {
        return Ok(CastColumn { series: series.cast(&polars_type(to))?, nulled: 0, wrong: Vec::new() });
    }
    let mut cells = Vec::with_capacity(series.len());
    let mut wrong = Vec::new();
    let nulls = series.null_count();
    let mut nulls_after = 0;
    for row in 0..series.len() {
        let cell = match scalar_at(series, row)? {
            None => None,
            Some(value) => {
                let made = convert(&value, to, cast, zone);
                if made.is_none() {
                    wrong.push((row, value.to_string()));
                }
                made
            }
        };
        nulls_after += usize::from(cell.is_none());
        cells.push(cell);
    }
    Ok(CastColumn { series: build(series, to, &cells)?, nulled: nulls_after.saturating_sub(nulls) as u64, wrong })
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// One value as `to`; `None` if it has none there.
fn convert(value: &Scalar, to: DataType, cast: &Cast, zone: Option<Zone>) -> Option<Scalar> {
    let truth = |n: f64| match n {
        0.0 => Some(Scalar::Boolean(false)),
        1.0 => Some(Scalar::Boolean(true)),
        _ => None,
    };
    // 2^63 as a float is the first that is too large.
    let whole = |x: f64| x.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&x);
    match (value, to) {
        (Scalar::Float(x), DataType::Int64) => whole(*x).then_some(Scalar::Int(*x as i64)),
        (Scalar::Float(x), DataType::Boolean) => truth(*x),
        (Scalar::Int(n), DataType::Boolean) => truth(*n as f64),
        (_, DataType::String) => text(value, cast.formats.first().map(String::as_str)).map(Scalar::Text),
        (Scalar::Date(days), DataType::DatetimeUtc) => utc(i64::from(*days) * MICROS_PER_DAY, zone),
        (Scalar::Datetime(us), DataType::DatetimeUtc) => utc(*us, zone),
        (Scalar::DatetimeUtc(us), DataType::Datetime) => Some(Scalar::Datetime(*us)),
        (Scalar::Datetime(us) | Scalar::DatetimeUtc(us), DataType::Date) => {
            i32::try_from(us.div_euclid(MICROS_PER_DAY)).ok().map(Scalar::Date)
        }
        _ => None,
    }
}

fn utc(local: i64, zone: Option<Zone>) -> Option<Scalar> {
    zone.map_or(Some(local), |zone| zone.to_utc(local)).map(Scalar::DatetimeUtc)
}

/// The value as text; times by `format`, or as ISO 8601 has it.
fn text(value: &Scalar, format: Option<&str>) -> Option<String> {
    use std::fmt::Write;
    let (micros, iso) = match value {
        Scalar::Text(text) => return Some(text.clone()),
        Scalar::Float(x) => return Some(format!("{x:?}")),
        Scalar::Date(days) => (i64::from(*days) * MICROS_PER_DAY, "%Y-%m-%d"),
        Scalar::Datetime(us) => (*us, "%Y-%m-%d %H:%M:%S%.f"),
        Scalar::DatetimeUtc(us) => (*us, "%Y-%m-%dT%H:%M:%S%.fZ"),
        other => return Some(other.to_string()),
    };
    let mut out = String::new();
    // Writing fails where a directive has no meaning for the value, as an offset has none for a local time.
    write!(out, "{}", DateTime::from_timestamp_micros(micros)?.format(format.unwrap_or(iso))).ok()?;
    Some(out)
}
