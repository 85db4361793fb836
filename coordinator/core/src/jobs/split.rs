//! Splitting: every row into one of several datasets. The sides' sizes are exact, in every stratum; which rows a side takes
//! follows from the seed and the rows' places in the dataset alone (`shardmill_common::permutation`).

use std::collections::BTreeMap;

use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::split::{CountTask, SplitPhase, SplitSpec, SplitTask, Stratum};
use shardmill_common::manifest::Manifest;
use shardmill_common::name::DatasetName;
use shardmill_common::permutation::sizes;
use shardmill_common::schema::DataType;
use shardmill_common::shared::Shared;
use shardmill_common::unfit::{OwnUnfit, Role, Unfit};

use super::plan::{Draft, Next, ResolvedJob, ShardAt, StageView, find, output};
use crate::jobs::Planner;
use crate::jobs::outline::{Outline, number, read_all, shards};

/// Different values of the column to stratify by.
const MAX_STRATA: u64 = 10_000;
/// Shares are decimal fractions that a person wrote: their sum is 1 but for the last digits of floating point.
const TOLERANCE: f64 = 1e-9;

/// What is wrong with a split alone.
#[derive(Debug, thiserror::Error)]
enum SplitUnfit {
    #[error("a split needs at least two sides, such as train=0.8,test=0.2")]
    OneSide,
    #[error("the share of `{side}` is {share}: it must be more than 0")]
    Share { side: DatasetName, share: f64 },
    #[error("two sides are named `{0}`")]
    TwoOfName(DatasetName),
    #[error("the shares of a split sum to 1, these to {0}")]
    Sum(f64),
    #[error("column `{0}` is float64, which is no category: stratify by a column of another type, or round it first")]
    NoCategory(String),
}

impl OwnUnfit for SplitUnfit {}

impl Planner for SplitSpec {
    fn check(&self, job: &ResolvedJob) -> Result<(), Unfit> {
        let input = job.input()?;
        if self.into.len() < 2 {
            return Err(SplitUnfit::OneSide.into());
        }
        for (n, side) in self.into.iter().enumerate() {
            if !(side.share.is_finite() && side.share > 0.0) {
                return Err(SplitUnfit::Share { side: side.output.clone(), share: side.share }.into());
            }
            if self.into[..n].iter().any(|other| other.output == side.output) {
                return Err(SplitUnfit::TwoOfName(side.output.clone()).into());
            }
        }
        let sum: f64 = self.into.iter().map(|side| side.share).sum();
        if (sum - 1.0).abs() > TOLERANCE {
            // Shown without the noise of the addition.
            let sum = (sum * 1e9).round() / 1e9;
            return Err(SplitUnfit::Sum(sum).into());
        }
        let Some(column) = &self.stratify else { return Ok(()) };
        match input.schema.get(column).map(|f| f.dtype) {
            None => Err(Unfit::no_column(input.reference(), &input.schema, column, Role::Value)),
            Some(DataType::Float64 | DataType::Decimal { .. }) => Err(SplitUnfit::NoCategory(column.clone()).into()),
            Some(_) => Ok(()),
        }
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let input = job.input()?;
        let shards: Vec<ShardAt> = input.shards.iter().map(ShardAt::stored).collect();
        let Some(split) = find(stages, SplitPhase::Split) else {
            let strata = match &self.stratify {
                None => one_stratum(&shards),
                Some(column) => match find(stages, SplitPhase::Count) {
                    None => return Ok(count_stage(&shards, input, column)),
                    Some(stage) => counted(stage, shards.len(), column, stages)?,
                },
            };
            return Ok(split_stage(self, &shards, input, &strata));
        };
        let mut drafts = Vec::with_capacity(self.into.len());
        for (n, side) in self.into.iter().enumerate() {
            let tasks = task_of(n, 0, shards.len())..task_of(n + 1, 0, shards.len());
            let outputs = tasks.map(|task| output(stages, split, task)).collect::<Result<Vec<_>, _>>()?;
            let shards = outputs.iter().filter_map(|o| o.shard.clone()).filter(|s| s.rows() > 0).collect();
            drafts.push(Draft { name: side.output.clone(), schema: input.schema.clone(), shards });
        }
        Ok(Next::versions(drafts))
    }

    /// `rows_in`, each row once, and `rows_out/NAME` of every side.
    fn counters<'a>(&self, job: &ResolvedJob, _sum: Counters, stages: &dyn Fn() -> Vec<StageView<'a>>) -> Counters {
        let stages = &stages();
        let mut counters = Counters::default();
        let Some((view, input)) =
            find(stages, SplitPhase::Split).and_then(|n| stages.get(n as usize)).zip(job.inputs.first())
        else {
            return counters;
        };
        for (n, side) in self.into.iter().enumerate() {
            let counter = Counter::RowsOutTo(side.output.to_string());
            counters.add(counter.clone(), 0);
            for (shard, entry) in input.shards.iter().enumerate() {
                let task = view.tasks.get(task_of(n, shard, input.shards.len()) as usize);
                if let Some((_, Some(output))) = task {
                    counters.add(Counter::RowsIn, if n == 0 { entry.rows() } else { 0 });
                    counters.add(counter.clone(), output.shard.as_ref().map_or(0, |s| s.rows()));
                }
            }
        }
        counters
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        if let Some(column) = &self.stratify {
            outline.stage(SplitPhase::Count, shards(job), format!("count the values of {column} in {}", read_all(job)));
        }
        let does = format!("put every row of {} into one of {}", read_all(job), number(self.into.len(), "dataset"));
        outline.stage(SplitPhase::Split, shards(job) * self.into.len(), does);
        Some(outline)
    }
}

/// The tasks of a side are those of its shards, one side after another.
fn task_of(side: usize, shard: usize, shards: usize) -> u32 {
    (side * shards + shard) as u32
}

type Value = Option<String>;

/// The strata of each shard: their values, with their rows there.
type Strata = Vec<Vec<(Value, u64)>>;

fn one_stratum(shards: &[ShardAt]) -> Strata {
    shards.iter().map(|shard| vec![(None, shard.entry.rows())]).collect()
}

fn count_stage(shards: &[ShardAt], input: &Manifest, column: &str) -> Next {
    let schema = Shared::new(input.schema.clone());
    let tasks = shards
        .iter()
        .enumerate()
        .map(|(n, shard)| {
            let task = CountTask {
                input: shard.input(n),
                schema: schema.clone(),
                column: column.to_owned(),
                limit: MAX_STRATA,
            };
            shard.task(task, Vec::new())
        })
        .collect();
    Next::stage(SplitPhase::Count, tasks, Vec::new())
}

fn counted(stage: u32, shards: usize, column: &str, stages: &[StageView<'_>]) -> Result<Strata, Failure> {
    let mut strata = Vec::with_capacity(shards);
    let mut distinct: BTreeMap<Value, ()> = BTreeMap::new();
    for task in 0..shards as u32 {
        let counts = output(stages, stage, task)?.report::<CountTask>()?;
        distinct.extend(counts.values.iter().map(|(value, _)| (value.clone(), ())));
        if counts.too_many || distinct.len() as u64 > MAX_STRATA {
            return Err(Failure::bad_input(format!(
                "column `{column}` has more than {MAX_STRATA} different values: stratify by a column with fewer"
            )));
        }
        strata.push(counts.values);
    }
    Ok(strata)
}

fn split_stage(spec: &SplitSpec, shards: &[ShardAt], input: &Manifest, strata: &Strata) -> Next {
    let shares: Vec<f64> = spec.into.iter().map(|side| side.share).collect();
    let mut totals: BTreeMap<&Value, u64> = BTreeMap::new();
    for (value, rows) in strata.iter().flatten() {
        *totals.entry(value).or_default() += rows;
    }
    let whole: Vec<Stratum> = totals
        .iter()
        .map(|(value, rows)| {
            let ends = sizes(*rows, &shares).into_iter().scan(0, |end, size| {
                *end += size;
                Some(*end)
            });
            Stratum { value: (*value).clone(), rows: *rows, ends: ends.collect() }
        })
        .collect();
    // Of each value: its number, and how many of its rows came before.
    let mut places: BTreeMap<&Value, (u32, u64)> = totals.keys().copied().zip((0..).map(|n| (n, 0))).collect();
    let mut of_shards = Vec::with_capacity(shards.len());
    for here in strata {
        let mut firsts = Vec::with_capacity(here.len());
        for (value, rows) in here {
            let Some((number, first)) = places.get_mut(value) else { continue };
            firsts.push((*number, *first));
            *first += rows;
        }
        of_shards.push(Shared::new(firsts));
    }
    let (schema, whole) = (Shared::new(input.schema.clone()), Shared::new(whole));
    let mut tasks = Vec::with_capacity(spec.into.len() * shards.len());
    for side in (0u32..).take(spec.into.len()) {
        for (n, (shard, here)) in shards.iter().zip(&of_shards).enumerate() {
            let task = SplitTask {
                input: shard.input(n),
                schema: schema.clone(),
                stratify: spec.stratify.clone(),
                strata: whole.clone(),
                here: here.clone(),
                side,
                seed: spec.seed,
            };
            tasks.push(shard.task(task, Vec::new()));
        }
    }
    Next::stage(SplitPhase::Split, tasks, Vec::new())
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
