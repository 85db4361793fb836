//! Reducing by a statement, partition by partition, a partition in parts where it does not fit in memory.

use hashbrown::HashMap;
use polars::prelude::{BooleanChunked, DataFrame, NewChunkedArray};
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::HashPlan;
use shardmill_common::kinds::mapreduce::{ReduceSide, ReduceTask};
use shardmill_common::kinds::sort::SortOrder;
use shardmill_common::schema::Schema;
use shardmill_common::task::TaskOutput;

use super::SideInput;
use super::order::{Sorting, passes, sorted};
use super::parts::{Loaded, Loader, Sides, key_shown};
use crate::hash::hash_frame;
use crate::spill::concat;
use crate::sql;
use crate::tasks::bisect::{first_offender, offenders};
use crate::tasks::parse::{Reject, write_rejects};
use crate::tasks::{Context, ShardSink};

pub fn reduce(
    context: &Context,
    task: &ReduceTask,
    statement: &str,
    sink: &mut ShardSink<'_>,
    output: &mut TaskOutput,
) -> Result<(), Failure> {
    let tables: Vec<(&str, &Schema)> = task.sides.iter().map(|s| (s.name.as_str(), &s.schema)).collect();
    let checked = sql::check(statement, &tables).map_err(|e| Failure::bad_input(format!("the reduce: {e}")))?;
    let mut reducer = Reducer { context, task, statement, passes: passes(&checked, &task.keys), rejects: Vec::new() };
    let mut loader = Loader { context, keys: &task.keys, limit: context.budget / 5, spilled: 0 };
    // Bits of the hash that tell the shuffle's partitions apart; parts of one differ in those below.
    let skip_bits = task.of.max(1).next_power_of_two().trailing_zeros();
    let mut inputs: Vec<SideInput<'_>> =
        task.sides.iter().map(|side| SideInput::open(context, side, task.partitions)).collect();
    for _ in task.partitions.0..task.partitions.1 {
        context.check()?;
        let sources = inputs
            .iter_mut()
            .map(|input| -> Box<dyn Iterator<Item = Result<DataFrame, Failure>> + '_> { Box::new(input.partition()) })
            .collect();
        match loader.load(sources, skip_bits)? {
            Loaded::Whole(sides) => {
                if let Some(frame) = reducer.reduce(sides)? {
                    sink.push(sorted(frame, &reducer.passes)?)?;
                }
            }
            Loaded::Split(parts) => {
                let passes = reducer.passes.clone();
                let mut sorting = Sorting::new(context, &passes);
                loader.each(&parts, skip_bits, &mut |sides| match reducer.reduce(sides)? {
                    Some(frame) => sorting.push(frame),
                    None => Ok(()),
                })?;
                drop(parts);
                loader.spilled += sorting.finish(sink)?;
            }
        }
    }
    output.spilled += loader.spilled;
    // Of what was pushed, the sink knows better.
    output.schema = Some(checked.schema);
    if !reducer.rejects.is_empty() {
        output.counters.add(Counter::Skipped, reducer.rejects.len() as u64);
        output.rejects = write_rejects(context, "the reduce", &reducer.rejects)?;
    }
    Ok(())
}

struct Reducer<'a> {
    context: &'a Context,
    task: &'a ReduceTask,
    statement: &'a str,
    passes: Vec<SortOrder>,
    rejects: Vec<Reject>,
}

impl Reducer<'_> {
    /// The result for these rows, if there are any.
    fn reduce(&mut self, sides: Sides) -> Result<Option<DataFrame>, Failure> {
        let frames = sides
            .into_iter()
            .zip(&self.task.sides)
            .map(|(frames, side)| concat(frames)?.map_or_else(|| empty(side), Ok))
            .collect::<Result<Vec<DataFrame>, Failure>>()?;
        // No rows, no keys; but a global group is there even so.
        if frames.iter().all(|f| f.height() == 0) && !self.task.keys.is_empty() {
            return Ok(None);
        }
        let why = match self.run(&frames) {
            Ok(frame) => return Ok(Some(frame)),
            Err(why) => why,
        };
        let Failure::BadInput { message } = &why else { return Err(why) };
        if self.task.keys.is_empty() {
            return Err(Failure::bad_input(format!("the reduce fails: {message}")));
        }
        let groups = Groups::of(&frames, self.task)?;
        let mut part = |range: std::ops::Range<usize>| {
            let some = groups.filter(&frames, |group| range.contains(&group))?;
            self.run(&some).map(|_: DataFrame| ())
        };
        let most = self.task.work.skip_bad.saturating_sub(self.rejects.len() as u64);
        if self.task.work.skip_bad == 0 {
            let told = match first_offender(groups.count, &mut part)? {
                Some(bad) => format!(
                    "the reduce fails on the key {}: {}",
                    groups.shown(&frames, self.task, bad.unit)?,
                    bad.reason
                ),
                None => format!("the reduce fails: {message}"),
            };
            return Err(Failure::bad_input(told));
        }
        let bad = offenders(groups.count, most, why, &mut part)?;
        for offender in &bad {
            let raw = groups.shown(&frames, self.task, offender.unit)?;
            self.rejects.push(Reject { line: 0, raw, reason: offender.reason.clone() });
        }
        if let Some(last) = self.rejects.last().filter(|_| self.rejects.len() as u64 > self.task.work.skip_bad) {
            return Err(Failure::bad_input(format!(
                "the reduce fails on more keys than --skip-bad {} allows, such as {}: {}",
                self.task.work.skip_bad, last.raw, last.reason
            )));
        }
        let left = groups.filter(&frames, |group| !bad.iter().any(|b| b.unit == group))?;
        self.run(&left).map(Some)
    }

    fn run(&self, frames: &[DataFrame]) -> Result<DataFrame, Failure> {
        let tables: Vec<(&str, &DataFrame)> = self.task.sides.iter().map(|s| s.name.as_str()).zip(frames).collect();
        sql::run(self.context, self.statement, &tables)
    }
}

fn empty(side: &ReduceSide) -> Result<DataFrame, Failure> {
    sql::empty(&side.schema)
}

/// Which key every row belongs to; keys are numbered as they appear.
struct Groups {
    of: Vec<Vec<usize>>,
    count: usize,
}

impl Groups {
    fn of(frames: &[DataFrame], task: &ReduceTask) -> Result<Self, Failure> {
        let plan = HashPlan { columns: Some((*task.keys).clone()), with_row_hash: false, partitions: 1 };
        let mut numbers: HashMap<u128, usize> = HashMap::new();
        let mut of = Vec::with_capacity(frames.len());
        for frame in frames {
            let hashes = hash_frame(frame, &plan)?.keys;
            let number = |hash| {
                let next = numbers.len();
                *numbers.entry(hash).or_insert(next)
            };
            of.push(hashes.into_iter().map(number).collect());
        }
        Ok(Self { of, count: numbers.len() })
    }

    fn filter(&self, frames: &[DataFrame], keep: impl Fn(usize) -> bool) -> Result<Vec<DataFrame>, Failure> {
        let of = |(frame, groups): (&DataFrame, &Vec<usize>)| {
            let mask: Vec<bool> = groups.iter().map(|group| keep(*group)).collect();
            frame.filter(&BooleanChunked::from_slice("keep".into(), &mask)).map_err(Failure::internal)
        };
        frames.iter().zip(&self.of).map(of).collect()
    }

    fn shown(&self, frames: &[DataFrame], task: &ReduceTask, group: usize) -> Result<String, Failure> {
        for (frame, groups) in frames.iter().zip(&self.of) {
            if let Some(row) = groups.iter().position(|g| *g == group) {
                return key_shown(frame, &task.keys, row);
            }
        }
        Ok(String::new())
    }
}
