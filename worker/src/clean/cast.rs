//! Casts between the stored types other than from string.

use chrono::DateTime;
use polars::prelude::{PolarsResult, Series};
use shardmill_common::rules::{Cast, Rule, RuleError, Scalar, in_unit};
use shardmill_common::schema::{DataType, Unit};
use shardmill_common::text::parse_decimal;

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
            | (DataType::Date, DataType::Datetime(Unit::Micro))
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
        (_, DataType::String) => text(value, cast.formats.first().map(String::as_str)).map(Scalar::Text),
        (Scalar::Float(x), DataType::Int64) => whole(*x).then_some(Scalar::Int(*x as i64)),
        // A float has no digits of its own: it is rounded to those that are asked for.
        (Scalar::Float(x), DataType::Decimal { precision, scale }) => {
            let rounded = format!("{x:.*}", usize::from(scale));
            parse_decimal(rounded.as_bytes(), precision, scale).map(|units| Scalar::Decimal { units, scale })
        }
        (Scalar::Boolean(b), DataType::Decimal { .. }) => Scalar::Int(i64::from(*b)).fit(to).ok(),
        (number, DataType::Boolean) => number.as_float().and_then(truth),
        (Scalar::Date(days), DataType::DatetimeUtc(_)) => utc(i64::from(*days) * MICROS_PER_DAY, zone),
        (Scalar::Datetime(n, unit), DataType::DatetimeUtc(_)) => utc(in_unit(*n, *unit, Unit::Micro)?, zone),
        (Scalar::DatetimeUtc(n, unit), DataType::Datetime(to)) => {
            in_unit(*n, *unit, to).map(|n| Scalar::Datetime(n, to))
        }
        (Scalar::Datetime(n, unit) | Scalar::DatetimeUtc(n, unit), DataType::Date) => {
            i32::try_from(n.div_euclid(unit.per_day())).ok().map(Scalar::Date)
        }
        (Scalar::Datetime(n, unit) | Scalar::DatetimeUtc(n, unit), DataType::Time) => {
            Some(Scalar::Time(n.rem_euclid(unit.per_day()) * (Unit::Nano.per_second() / unit.per_second())))
        }
        _ => value.fit(to).ok(),
    }
}

fn utc(local: i64, zone: Option<Zone>) -> Option<Scalar> {
    zone.map_or(Some(local), |zone| zone.to_utc(local)).map(|us| Scalar::DatetimeUtc(us, Unit::Micro))
}

/// The value as text; times by `format`, or as ISO 8601 has it.
fn text(value: &Scalar, format: Option<&str>) -> Option<String> {
    use std::fmt::Write;
    let instant = |ticks: i64, unit: Unit| match unit {
        Unit::Micro => DateTime::from_timestamp_micros(ticks),
        Unit::Nano => Some(DateTime::from_timestamp_nanos(ticks)),
    };
    let (moment, iso) = match value {
        Scalar::Date(days) => (instant(i64::from(*days) * MICROS_PER_DAY, Unit::Micro), "%Y-%m-%d"),
        Scalar::Datetime(n, unit) => (instant(*n, *unit), "%Y-%m-%d %H:%M:%S%.f"),
        Scalar::DatetimeUtc(n, unit) => (instant(*n, *unit), "%Y-%m-%dT%H:%M:%S%.fZ"),
        other => return Some(other.text()),
    };
    let mut out = String::new();
    // Writing fails where a directive has no meaning for the value, as an offset has none for a local time.
    write!(out, "{}", moment?.format(format.unwrap_or(iso))).ok()?;
    Some(out)
}
