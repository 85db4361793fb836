//! The reduce side of statistics: what all shards contributed, put together in shard order, so that the result does not
//! depend on which worker did what.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use polars::prelude::{DataFrame, DataType as PolarsType, PolarsResult, Series};
use shardmill_common::failure::Failure;
use shardmill_common::rules::{
    Carried, ColumnStatistics, Fill, Op, Quartiles, Rule, RuleStatistics, Scalar, Statistic,
};

use super::cells::scalar_at;
use super::state::internal;
use super::summary::{Partial, PartialColumn};

/// The sorted values of one column: a reader for each shard, each giving frames of `value` and `count` in order.
pub type Runs = Vec<Box<dyn Iterator<Item = Result<DataFrame, Failure>>>>;

/// Puts the shards' summaries together. `partials` are in shard order; `runs` opens the sorted values of a column, by its
/// place among the columns of the summaries, and is called only for a rule that needs them.
pub fn merge(
    rule: &Rule,
    partials: &[serde_json::Value],
    mut runs: impl FnMut(usize) -> Result<Runs, Failure>,
) -> Result<RuleStatistics, Failure> {
    let read = |p: &serde_json::Value| serde_json::from_value::<Partial>(p.clone()).map_err(Failure::internal);
    let partials = partials.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = partials.first() else { return Ok(RuleStatistics::default()) };
    let mut columns = Vec::with_capacity(first.columns.len());
    for (index, column) in first.columns.iter().enumerate() {
        let mut shards = Vec::with_capacity(partials.len());
        for partial in &partials {
            match partial.columns.get(index) {
                Some(c) if c.column == column.column => shards.push((partial.ordinal, c)),
                _ => {
                    return Err(Failure::internal(rule.error(format!("shards differ in column `{}`", column.column))));
                }
            }
        }
        let statistic = merge_column(rule, &shards, || runs(index))?;
        columns.push(ColumnStatistics { column: column.column.clone(), statistic });
    }
    Ok(RuleStatistics { columns })
}

fn merge_column(
    rule: &Rule,
    shards: &[(u32, &PartialColumn)],
    runs: impl FnOnce() -> Result<Runs, Failure>,
) -> Result<Statistic, Failure> {
    let count = shards.iter().map(|(_, c)| c.count).sum::<u64>();
    Ok(match &rule.op {
        Op::Zscore { .. } | Op::Standardise => {
            let (mean, std) = mean_and_std(shards);
            Statistic::Moments { count, mean, std }
        }
        Op::Fill { with: Fill::Mean } => Statistic::Value((count > 0).then(|| Scalar::Float(mean_and_std(shards).0))),
        Op::Fill { with: Fill::Median } => {
            let found = quantiles(runs()?, count, &[2])?;
            Statistic::Value(found.first().map(|x| Scalar::Float(*x)))
        }
        Op::Iqr { .. } => {
            let found = quantiles(runs()?, count, &[1, 3])?;
            Statistic::Quartiles(match found[..] {
                [first, third] => Some(Quartiles { first, third }),
                _ => None,
            })
        }
        Op::Fill { with: Fill::Mode } => Statistic::Value(mode(runs()?)?),
        Op::Fill { with: Fill::Forward } => {
            let mut above: Option<Scalar> = None;
            let carry = shards.iter().map(|(ordinal, column)| {
                let carried = Carried { ordinal: *ordinal, value: above.clone() };
                if column.last.is_some() {
                    above.clone_from(&column.last);
                }
                carried
            });
            Statistic::Carry(carry.collect())
        }
        _ => return Err(Failure::internal(rule.error("it needs no statistics"))),
    })
}

/// Chan's formula, shard after shard. The deviation of a column that varies by no more than rounding is 0, as in
/// scikit-learn, so that a constant column is not blown up.
fn mean_and_std(shards: &[(u32, &PartialColumn)]) -> (f64, f64) {
    let (mut n, mut mean, mut m2) = (0.0f64, 0.0f64, 0.0f64);
    for (_, column) in shards {
        let Some((Scalar::Float(mean_b), Scalar::Float(m2_b))) = column.moments else { continue };
        if column.count == 0 {
            continue;
        }
        let n_b = column.count as f64;
        let total = n + n_b;
        let delta = mean_b - mean;
        // The mean of both weighs the two means, which stays exact where they are equal.
        mean += delta * (n_b / total);
        m2 += m2_b + delta * delta * (n * n_b / total);
        n = total;
    }
    if n == 0.0 {
        return (0.0, 0.0);
    }
    let variance = (m2 / n).max(0.0);
    let noise = n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2);
    (mean, if variance <= noise { 0.0 } else { variance.sqrt() })
}

/// A value with the order of its type.
#[derive(Clone, Debug, PartialEq)]
struct Key(Scalar);

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Scalar::Float(a), Scalar::Float(b)) => a.total_cmp(b),
            (Scalar::Text(a), Scalar::Text(b)) => a.cmp(b),
            (Scalar::Boolean(a), Scalar::Boolean(b)) => a.cmp(b),
            (Scalar::Date(a), Scalar::Date(b)) => a.cmp(b),
            (Scalar::Decimal { units: a, .. }, Scalar::Decimal { units: b, .. }) => a.cmp(b),
            (Scalar::Binary(a), Scalar::Binary(b)) => a.cmp(b),
            // Shards agree on the type of a column.
            (a, b) => a.ticks().cmp(&b.ticks()),
        }
    }
}

/// A place in one shard's run; holds one frame.
struct Cursor {
    frames: Box<dyn Iterator<Item = Result<DataFrame, Failure>>>,
    values: Option<(Series, Series)>,
    row: usize,
}

impl Cursor {
    fn next(&mut self) -> Result<Option<(Key, u64)>, Failure> {
        loop {
            if let Some((values, counts)) = &self.values
                && self.row < values.len()
            {
                let row = self.row;
                self.row += 1;
                let read = || -> PolarsResult<_> { Ok((scalar_at(values, row)?, counts.i64()?.get(row))) };
                match read().map_err(internal)? {
                    (Some(value), Some(count)) if count >= 0 => return Ok(Some((Key(value), count as u64))),
                    _ => return Err(Failure::internal("a run of values holds a null")),
                }
            }
            let Some(frame) = self.frames.next().transpose()? else { return Ok(None) };
            let column =
                |name: &str| frame.column(name).map(|c| c.as_materialized_series().rechunk()).map_err(internal);
            let counts = column("count")?.cast(&PolarsType::Int64).map_err(internal)?;
            self.values = Some((column("value")?, counts));
            self.row = 0;
        }
    }
}

/// Gives every distinct value of all shards in order, with its count.
fn each_value(runs: Runs, mut give: impl FnMut(Key, u64)) -> Result<(), Failure> {
    let mut cursors: Vec<Cursor> = runs.into_iter().map(|frames| Cursor { frames, values: None, row: 0 }).collect();
    let mut heap = BinaryHeap::new();
    for (index, cursor) in cursors.iter_mut().enumerate() {
        if let Some((key, count)) = cursor.next()? {
            heap.push(Reverse((key, index, count)));
        }
    }
    let mut current: Option<(Key, u64)> = None;
    while let Some(Reverse((key, index, count))) = heap.pop() {
        match &mut current {
            Some((value, sum)) if *value == key => *sum += count,
            _ => {
                if let Some((value, sum)) = current.replace((key, count)) {
                    give(value, sum);
                }
            }
        }
        if let Some((key, count)) = cursors[index].next()? {
            heap.push(Reverse((key, index, count)));
        }
    }
    if let Some((value, sum)) = current {
        give(value, sum);
    }
    Ok(())
}

/// The quantiles `quarters / 4` of `count` values, interpolated linearly between neighbours, as pandas does.
/// Empty if there are no values.
fn quantiles(runs: Runs, count: u64, quarters: &[u64]) -> Result<Vec<f64>, Failure> {
    if count == 0 {
        return Ok(Vec::new());
    }
    // The place of a quantile among the values from 0, and how many quarters it lies beyond it.
    let places: Vec<(u64, u64)> = quarters.iter().map(|q| ((count - 1) * q / 4, (count - 1) * q % 4)).collect();
    let mut found = vec![(0.0f64, 0.0f64); places.len()];
    let mut before = 0u64;
    each_value(runs, |key, n| {
        let value = key.0.as_float().unwrap_or(f64::NAN);
        let here = before..before + n;
        for ((place, _), found) in places.iter().zip(&mut found) {
            if here.contains(place) {
                found.0 = value;
            }
            if here.contains(&(place + 1)) {
                found.1 = value;
            }
        }
        before += n;
    })?;
    if before != count {
        return Err(Failure::internal(format!("the runs hold {before} values, not {count}")));
    }
    let between = |((_, quarters), (low, high)): (&(u64, u64), &(f64, f64))| match quarters {
        0 => *low,
        n => low + (high - low) * (*n as f64 / 4.0),
    };
    Ok(places.iter().zip(&found).map(between).collect())
}

/// The value that comes most often; of several, the smallest.
fn mode(runs: Runs) -> Result<Option<Scalar>, Failure> {
    let mut best: Option<(Scalar, u64)> = None;
    each_value(runs, |key, count| {
        if best.as_ref().is_none_or(|(_, most)| count > *most) {
            best = Some((key.0, count));
        }
    })?;
    Ok(best.map(|(value, _)| value))
}
