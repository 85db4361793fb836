//! The look at the columns before the first round, and what it may find wrong with them.

use std::collections::BTreeMap;

use shardmill_common::failure::Failure;
use shardmill_common::kinds::train::{ProfileTask, TrainPhase};
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Encoder, Imputation, Profile, TrainSpec, Unlabelled};
use shardmill_common::rules::{Columns, Fill, NullsIn, Op, Rule, Scalar, Statistic};
use shardmill_common::schema::DataType;
use shardmill_common::shared::Shared;
use shardmill_common::watch::Baseline;

use super::super::clean::{Statistics, gather_statistics};
use super::super::plan::{Next, ShardAt, StageView, find, output, whole as tasks_of};
use super::{columns, labels};
use crate::train::{Asked, Profiled, Whole, baseline, merge};

/// Values of a sample, over all numeric features: enough for deciles, and small next to the data.
const SAMPLED_VALUES: u64 = 1_000_000;
/// Of fewer rows deciles would say little, of more than the latter hardly anything more.
const SAMPLED_ROWS: (u64, u64) = (200, 10_000);
/// Values of a sample that must fit into the messages of the tasks, however many features there are.
const MOST_SAMPLED_VALUES: u64 = 2_000_000;

/// Of how many rows one is sampled.
fn sample_every(rows: u64, numeric: u64) -> u64 {
    let numeric = numeric.max(1);
    let (least, most) = SAMPLED_ROWS;
    let wanted = (SAMPLED_VALUES / numeric).clamp(least, most).min(MOST_SAMPLED_VALUES / numeric);
    // With more features than that there is no room for a single row.
    if wanted == 0 { 0 } else { rows.div_ceil(wanted) }
}

pub fn asked(spec: &TrainSpec, input: &Manifest) -> Result<Vec<Asked>, Failure> {
    columns::asked(spec, &input.schema, &input.reference().to_string()).map_err(Failure::bad_input)
}

/// Columns without which a row is left out.
fn required(spec: &TrainSpec, input: &Manifest) -> Result<Vec<String>, Failure> {
    Ok(match columns::updated(spec) {
        Some(base) => base.features.features.iter().filter(|f| f.fill.is_none()).map(|f| f.column.clone()).collect(),
        None => {
            asked(spec, input)?.into_iter().filter(|a| a.imputation == Imputation::DropRow).map(|a| a.column).collect()
        }
    })
}

/// One task a shard. An update has its encoder already: of its rows only number, labels and weights are of interest.
pub fn stage(spec: &TrainSpec, input: &Manifest, shards: &[ShardAt]) -> Result<Next, Failure> {
    let columns = if columns::updated(spec).is_some() { Vec::new() } else { asked(spec, input)? };
    let named = |categorical: bool| -> Vec<String> {
        columns.iter().filter(|a| a.categorical == categorical).map(|a| a.column.clone()).collect()
    };
    let task = ProfileTask {
        input: ShardAt::input(shards.first().ok_or_else(|| Failure::internal("there are no shards"))?, 0),
        schema: Shared::new(input.schema.clone()),
        label: columns::label_kind(spec),
        weight_column: spec.weight_column.clone(),
        numeric: Shared::new(named(false)),
        categorical: Shared::new(named(true)),
        required: Shared::new(required(spec, input)?),
        max_categories: spec.preparation.max_categories,
        sample_every: match columns::updated(spec) {
            Some(_) => 0,
            None => sample_every(input.rows(), columns.iter().filter(|a| !a.categorical).count() as u64),
        },
        source_name: input.reference().to_string(),
        first_row: 0,
    };
    let mut first_row = 0;
    let tasks = shards
        .iter()
        .enumerate()
        .map(|(n, shard)| {
            let task = ProfileTask { input: shard.input(n), first_row, ..task.clone() };
            first_row += shard.entry.rows();
            shard.task(task, Vec::new())
        })
        .collect();
    Ok(Next::stage(TrainPhase::Profile, tasks, Vec::new()))
}

/// What the tasks found, in the order of the shards.
fn profiles(stages: &[StageView<'_>], stage: u32) -> Result<Vec<Profile>, Failure> {
    let all = tasks_of(stages, stage).tasks();
    all.map(|(stage, task)| output(stages, stage, task)?.report::<ProfileTask>()).collect()
}

/// The features of a training from scratch; an update looks at none.
fn profiled(spec: &TrainSpec, input: &Manifest) -> Result<Vec<Asked>, Failure> {
    if columns::updated(spec).is_some() { Ok(Vec::new()) } else { asked(spec, input) }
}

fn merged(profiles: &[Profile], asked: &[Asked]) -> Result<Whole, Failure> {
    let types: Vec<DataType> = asked.iter().filter(|a| a.categorical).map(|a| a.dtype).collect();
    merge(profiles, &types)
}

/// What the tasks found, as one.
pub fn whole(spec: &TrainSpec, input: &Manifest, stages: &[StageView<'_>], stage: u32) -> Result<Whole, Failure> {
    merged(&profiles(stages, stage)?, &profiled(spec, input)?)
}

/// How the features were distributed, in the order of the encoder. An update keeps what its base knows: its encoder, and so the
/// categories that rows are counted by, stays the base's, and it does not look at the columns.
pub fn distributions(
    spec: &TrainSpec,
    input: &Manifest,
    stages: &[StageView<'_>],
    encoder: &Encoder,
) -> Result<Option<Baseline>, Failure> {
    if let Some(base) = columns::updated(spec) {
        return Ok(base.baseline.clone());
    }
    let Some(stage) = find(stages, TrainPhase::Profile) else { return Ok(None) };
    let (profiles, asked) = (profiles(stages, stage)?, profiled(spec, input)?);
    let whole = merged(&profiles, &asked)?;
    let samples: Option<Vec<_>> = profiles.into_iter().map(|p| p.sample).collect();
    Ok(samples.and_then(|samples| baseline(encoder, &Profiled { asked: &asked, whole: &whole, samples: &samples })))
}

/// Whether there is something to learn from.
pub fn check(spec: &TrainSpec, input: &Manifest, whole: &Whole) -> Result<(), Failure> {
    let (all, name) = (whole.all_rows(), input.reference());
    if all == 0 {
        return Err(Failure::bad_input(format!("{name} has no rows: there is nothing to learn from")));
    }
    if let Some(label) = columns::label(spec) {
        let without = whole.rows_without_label;
        if without == all {
            return Err(Failure::bad_input(format!("none of the {all} rows of {name} has a `{label}`")));
        }
        if without > 0 && spec.preparation.unlabelled == Unlabelled::Refuse {
            return Err(Failure::bad_input(format!(
                "{without} of {all} rows have no `{label}`: leave them out with --unlabelled skip"
            )));
        }
    }
    if whole.rows == 0 {
        let columns: Vec<String> = required(spec, input)?.iter().map(|c| format!("`{c}`")).collect();
        return Err(Failure::bad_input(format!(
            "no row is left: each lacks a value of at least one of {}, and rows without one are left out; is one of them empty?",
            columns.join(", ")
        )));
    }
    labels::check(spec, whole)
}

pub enum Fillings {
    Next(Box<Next>),
    Known(BTreeMap<String, f64>),
}

/// Medians and modes of numeric columns, found as the cleaning rule `fill` finds them, over the rows that training uses.
pub fn fillings(
    spec: &TrainSpec,
    input: &Manifest,
    shards: &[ShardAt],
    stages: &[StageView<'_>],
) -> Result<Fillings, Failure> {
    if columns::updated(spec).is_some() {
        return Ok(Fillings::Known(BTreeMap::new()));
    }
    let asked = asked(spec, input)?;
    let of = |imputation: Imputation| -> Vec<String> {
        asked
            .iter()
            .filter(|a| !a.categorical && a.dtype.is_numeric() && a.imputation == imputation)
            .map(|a| a.column.clone())
            .collect()
    };
    let (medians, modes) = (of(Imputation::Median), of(Imputation::Mode));
    if medians.is_empty() && modes.is_empty() {
        return Ok(Fillings::Known(BTreeMap::new()));
    }
    let mut needed = required(spec, input)?;
    needed.extend(columns::label(spec).map(str::to_owned));
    let rules: Vec<Rule> = [
        (needed, Op::DropNulls { how: NullsIn::Any }),
        (medians, Op::Fill { with: Fill::Median }),
        (modes, Op::Fill { with: Fill::Mode }),
    ]
    .into_iter()
    .filter(|(columns, _)| !columns.is_empty())
    .zip(1u32..)
    .map(|((columns, op), n)| Rule {
        label: format!("{n} {}", op.name()),
        file: "--impute".into(),
        line: n,
        columns: Columns::Listed(columns),
        op,
    })
    .collect();
    let known = match gather_statistics(&rules, shards, &input.reference().to_string(), &input.schema, stages)? {
        Statistics::Next(next) => return Ok(Fillings::Next(Box::new(next))),
        Statistics::Known(known) => known,
    };
    let values = known.into_iter().flatten().flat_map(|s| s.columns);
    Ok(Fillings::Known(
        values
            .filter_map(|found| match found.statistic {
                Statistic::Value(Some(Scalar::Int(n))) => Some((found.column, n as f64)),
                Statistic::Value(Some(Scalar::Float(x))) => Some((found.column, x)),
                _ => None,
            })
            .collect(),
    ))
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
