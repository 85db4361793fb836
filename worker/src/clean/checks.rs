//! Checks: which cells of a column do not pass, and what is wrong with one of them.

use polars::prelude::{DataType as PolarsType, PolarsResult, Series};
use regex::Regex;
use shardmill_common::rules::{Op, Rule, RuleError, Scalar, Statistic};

use super::cells::{as_floats, day, units};
use super::text::{compile_regex, whole_cell};

/// A check of one column, ready to run.
pub enum Check {
    Range {
        min: Option<Scalar>,
        max: Option<Scalar>,
    },
    Pattern {
        regex: Regex,
        pattern: String,
    },
    /// Values outside are outliers; `what` says why.
    Between {
        low: f64,
        high: f64,
        what: String,
    },
    /// Nothing is known that a cell could fail.
    Pass,
}

impl Check {
    /// `min` and `max` must fit the column already.
    pub fn compile(
        rule: &Rule,
        statistic: Option<&Statistic>,
        fit: impl Fn(&Scalar) -> Result<Scalar, RuleError>,
    ) -> Result<Option<Check>, RuleError> {
        Ok(Some(match (&rule.op, statistic) {
            (Op::Range { min, max, .. }, _) => {
                let fit = |bound: &Option<Scalar>| bound.as_ref().map(&fit).transpose();
                Check::Range { min: fit(min)?, max: fit(max)? }
            }
            (Op::Pattern { pattern, .. }, _) => {
                Check::Pattern { regex: compile_regex(rule, &whole_cell(pattern))?, pattern: pattern.clone() }
            }
            (Op::Zscore { limit, .. }, Some(Statistic::Moments { mean, std, .. })) if *std > 0.0 => Check::Between {
                low: mean - limit * std,
                high: mean + limit * std,
                what: format!("more than {limit} standard deviations ({std}) from the mean, {mean}"),
            },
            (Op::Iqr { factor, .. }, Some(Statistic::Quartiles(Some(q)))) => {
                let reach = factor * (q.third - q.first);
                Check::Between {
                    low: q.first - reach,
                    high: q.third + reach,
                    what: format!("more than {factor} times the interquartile range outside {}..{}", q.first, q.third),
                }
            }
            (Op::Zscore { .. } | Op::Iqr { .. }, _) => Check::Pass,
            _ => return Ok(None),
        }))
    }

    /// Which cells fail; nulls and NaN pass.
    pub fn failing(&self, series: &Series) -> PolarsResult<Vec<bool>> {
        fn outside<T: PartialOrd>(cell: Option<T>, low: &Option<T>, high: &Option<T>) -> bool {
            cell.is_some_and(|v| {
                low.as_ref().is_some_and(|low| v < *low) || high.as_ref().is_some_and(|high| v > *high)
            })
        }
        Ok(match self {
            Check::Pass => vec![false; series.len()],
            Check::Pattern { regex, .. } => {
                series.str()?.iter().map(|cell| cell.is_some_and(|t| !regex.is_match(t))).collect()
            }
            Check::Between { low, high, .. } => {
                let (low, high) = (Some(*low), Some(*high));
                as_floats(series)?.f64()?.iter().map(|cell| outside(cell, &low, &high)).collect()
            }
            Check::Range { min, max } => match series.dtype() {
                PolarsType::Float64 => {
                    let (low, high) =
                        (min.as_ref().and_then(Scalar::as_float), max.as_ref().and_then(Scalar::as_float));
                    series.f64()?.iter().map(|cell| outside(cell, &low, &high)).collect()
                }
                PolarsType::Date => {
                    let (low, high) = (min.as_ref().and_then(day), max.as_ref().and_then(day));
                    series.date()?.physical().iter().map(|cell| outside(cell, &low, &high)).collect()
                }
                PolarsType::Decimal(..) => {
                    let (low, high) = (min.as_ref().and_then(units), max.as_ref().and_then(units));
                    series.decimal()?.physical().iter().map(|cell| outside(cell, &low, &high)).collect()
                }
                _ => {
                    let (low, high) = (min.as_ref().and_then(Scalar::ticks), max.as_ref().and_then(Scalar::ticks));
                    series.to_physical_repr().i64()?.iter().map(|cell| outside(cell, &low, &high)).collect()
                }
            },
        })
    }

    /// `250 is outside 0..120`
    pub fn complaint(&self, value: &str) -> String {
        let show = |bound: &Option<Scalar>| bound.as_ref().map(ToString::to_string).unwrap_or_default();
        match self {
            Check::Range { min, max } => format!("{value} is outside {}..{}", show(min), show(max)),
            Check::Pattern { pattern, .. } => format!("{value} does not match `{pattern}`"),
            Check::Between { what, .. } => format!("{value} is {what}"),
            Check::Pass => format!("{value} is wrong"),
        }
    }
}
