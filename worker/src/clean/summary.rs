//! The map side of statistics: what one shard contributes to what a rule must know of the whole dataset.

use hashbrown::HashMap;
use polars::prelude::{Column, DataFrame, DataType as PolarsType, PlSmallStr, PolarsResult, Series};
use serde::{Deserialize, Serialize};
use shardmill_common::failure::Failure;
use shardmill_common::rules::{Fill, Op, Rule, Scalar, Shape};
use shardmill_common::schema::DataType;

use super::cells::{as_floats, build, missing, scalar_at};
use super::state::internal;
use crate::frame::{our_type, schema_of};
use crate::hash::scale_of;

/// What one shard contributes.
#[derive(Debug)]
pub struct Summary {
    /// A few sums, for `merge`.
    pub partial: serde_json::Value,
    /// Where the rule needs every value: for each column it acts on, in order, its distinct values, sorted, with their
    /// counts, in the columns `value` and `count`. They go to the shuffle, a partition a column.
    pub runs: Vec<DataFrame>,
}

/// The JSON part of a summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Partial {
    pub ordinal: u32,
    pub columns: Vec<PartialColumn>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PartialColumn {
    pub column: String,
    pub dtype: DataType,
    /// Cells that have a value.
    pub count: u64,
    /// Mean and sum of squared differences from it.
    pub moments: Option<(Scalar, Scalar)>,
    pub last: Option<Scalar>,
}

/// Summarises a shard, to which the rules before were applied, for `rule`.
pub fn summarise(frame: &DataFrame, rule: &Rule, ordinal: u32) -> Result<Summary, Failure> {
    let shape = Shape::from(&schema_of(frame)?);
    let mut partial = Partial { ordinal, columns: Vec::new() };
    let mut runs = Vec::new();
    if rule.needs_statistics() {
        for column in rule.targets(&shape).map_err(Failure::bad_input)? {
            let series = frame.columns()[column].as_materialized_series();
            partial.columns.push(summarise_column(series, rule).map_err(internal)?);
            if rule.needs_values() {
                runs.push(sorted_run(series).map_err(internal)?);
            }
        }
    }
    Ok(Summary { partial: serde_json::to_value(partial).map_err(Failure::internal)?, runs })
}

fn summarise_column(series: &Series, rule: &Rule) -> PolarsResult<PartialColumn> {
    let missing = missing(series)?;
    let count = missing.iter().filter(|m| !**m).count() as u64;
    let moments = match &rule.op {
        Op::Fill { with: Fill::Mean } | Op::Zscore { .. } | Op::Standardise => {
            let (mean, m2) = moments(&as_floats(series)?, count)?;
            Some((Scalar::Float(mean), Scalar::Float(m2)))
        }
        _ => None,
    };
    let last = match (&rule.op, missing.iter().rposition(|m| !m)) {
        (Op::Fill { with: Fill::Forward }, Some(row)) => scalar_at(series, row)?,
        _ => None,
    };
    let dtype = our_type(series.dtype()).unwrap_or(DataType::Null);
    Ok(PartialColumn { column: series.name().to_string(), dtype, count, moments, last })
}

/// Mean, and sum of squared differences from it, in two passes.
fn moments(series: &Series, count: u64) -> PolarsResult<(f64, f64)> {
    if count == 0 {
        return Ok((0.0, 0.0));
    }
    let values = || series.f64().map(|column| column.iter().flatten().filter(|x| !x.is_nan()));
    let n = count as f64;
    let mean = sum(values()?) / n;
    // What rounding left in the mean is taken out again, as the corrected two-pass algorithm does.
    let (mut m2, mut rest) = (Sum::default(), Sum::default());
    for x in values()? {
        let d = x - mean;
        m2.add(d * d);
        rest.add(d);
    }
    let rest = rest.value();
    Ok((mean, m2.value() - rest * rest / n))
}

fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let mut sum = Sum::default();
    values.for_each(|x| sum.add(x));
    sum.value()
}

/// A sum that keeps what rounding loses (Neumaier).
#[derive(Default)]
struct Sum {
    total: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, x: f64) {
        let total = self.total + x;
        self.lost += if self.total.abs() >= x.abs() { (self.total - total) + x } else { (x - total) + self.total };
        self.total = total;
    }

    fn value(&self) -> f64 {
        // With an infinity among the values what was lost means nothing.
        if self.total.is_finite() { self.total + self.lost } else { self.total }
    }
}

/// The distinct values of a column, sorted, with their counts.
fn sorted_run(series: &Series) -> PolarsResult<DataFrame> {
    let dtype = our_type(series.dtype()).unwrap_or(DataType::String);
    let (values, counts): (Vec<Option<Scalar>>, Vec<i64>) = match series.dtype() {
        PolarsType::Float64 => {
            // Adding zero makes minus zero plus zero, which is the same value.
            let mut values: Vec<f64> =
                series.f64()?.iter().flatten().filter(|x| !x.is_nan()).map(|x| x + 0.0).collect();
            values.sort_unstable_by(f64::total_cmp);
            lengths(values, |x| Some(Scalar::Float(x)))
        }
        PolarsType::String => {
            let mut counts: HashMap<&str, i64> = HashMap::new();
            let column = series.str()?;
            for text in column.iter().flatten() {
                *counts.entry(text).or_insert(0) += 1;
            }
            let mut counts: Vec<_> = counts.into_iter().collect();
            counts.sort_unstable();
            counts.into_iter().map(|(text, n)| (Some(Scalar::Text(text.to_owned())), n)).unzip()
        }
        PolarsType::Boolean => {
            let mut values: Vec<bool> = series.bool()?.iter().flatten().collect();
            values.sort_unstable();
            lengths(values, |b| Some(Scalar::Boolean(b)))
        }
        PolarsType::Date => {
            let mut values: Vec<i32> = series.date()?.physical().iter().flatten().collect();
            values.sort_unstable();
            lengths(values, |d| Some(Scalar::Date(d)))
        }
        PolarsType::Decimal(_, scale) => {
            let scale = scale_of(*scale);
            let mut values: Vec<i128> = series.decimal()?.physical().iter().flatten().collect();
            values.sort_unstable();
            lengths(values, |units| Some(Scalar::Decimal { units, scale }))
        }
        PolarsType::Binary => {
            let mut values: Vec<Vec<u8>> = series.binary()?.iter().flatten().map(<[u8]>::to_vec).collect();
            values.sort_unstable();
            lengths(values, |bytes| Some(Scalar::Binary(bytes)))
        }
        _ => {
            let physical = series.to_physical_repr();
            let mut values: Vec<i64> = physical.i64()?.iter().flatten().collect();
            values.sort_unstable();
            lengths(values, |n| Some(Scalar::Int(n)))
        }
    };
    let value = build(series, dtype, &values)?.with_name(PlSmallStr::from_static("value"));
    let count = Column::new(PlSmallStr::from_static("count"), counts);
    DataFrame::new(values.len(), vec![value.into(), count])
}

/// Sorted values as distinct values and how often each comes.
fn lengths<T: PartialEq>(values: Vec<T>, wrap: impl Fn(T) -> Option<Scalar>) -> (Vec<Option<Scalar>>, Vec<i64>) {
    let (mut distinct, mut counts): (Vec<T>, Vec<i64>) = (Vec::new(), Vec::new());
    for value in values {
        match (distinct.last(), counts.last_mut()) {
            (Some(last), Some(count)) if *last == value => *count += 1,
            _ => {
                distinct.push(value);
                counts.push(1);
            }
        }
    }
    (distinct.into_iter().map(wrap).collect(), counts)
}
