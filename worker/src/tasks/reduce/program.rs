//! Reducing by a program: it reads the rows of all partitions as one stream, grouped and sorted by key.

use polars::prelude::DataFrame;
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::HashPlan;
use shardmill_common::kinds::mapreduce::ReduceTask;
use shardmill_common::kinds::mapreduce::step::Program;
use shardmill_common::kinds::sort::{SortKey, SortOrder};
use shardmill_common::task::TaskOutput;

use super::SideInput;
use super::parts::key_shown;
use crate::hash::hash_frame;
use crate::program::{Role, Run};
use crate::spill::{ExternalSort, concat};
use crate::tasks::bisect::offenders;
use crate::tasks::parse::{Reject, write_rejects};
use crate::tasks::{Context, ShardSink};

pub fn reduce<'a>(
    context: &'a Context,
    task: &'a ReduceTask,
    program: &Program,
    mut sink: ShardSink<'a>,
    output: &mut TaskOutput,
) -> Result<ShardSink<'a>, Failure> {
    let keys: Vec<String> = task.keys.iter().map(|k| k.name.clone()).collect();
    let run = Run {
        context,
        program,
        work: &task.work,
        keys: &keys,
        role: Role::Reduce,
        what: format!("the reduce of partitions {} to {}", task.partitions.0, task.partitions.1.saturating_sub(1)),
    };
    let mut rows = Rows::new(context, task);
    let first = rows.next();
    // Without rows there is no key to reduce; a global group is there even so.
    if first.is_none() && !keys.is_empty() {
        return Ok(sink);
    }
    let why = match run.over(&mut first.into_iter().chain(&mut rows), &mut |made| sink.push(made)) {
        Ok(counters) => {
            output.counters.merge(&counters);
            output.spilled += rows.spilled;
            return Ok(sink);
        }
        Err(why @ Failure::ProgramFailed { .. }) if task.work.skip_bad > 0 && context.last_try => why,
        Err(why) => return Err(why),
    };
    drop(rows);
    // From here on the rows are in memory, so that any keys can be tried by themselves.
    let Some(frame) = concat(Rows::new(context, task).collect::<Result<Vec<_>, _>>()?)? else { return Err(why) };
    let starts = key_starts(&frame, task)?;
    let groups = starts.len().saturating_sub(1);
    let slice = |range: std::ops::Range<usize>| {
        let (from, to) = (starts[range.start.min(groups)], starts[range.end.min(groups)]);
        frame.slice(from as i64, to - from)
    };
    let mut part =
        |range: std::ops::Range<usize>| run.over(&mut std::iter::once(Ok(slice(range))), &mut |_| Ok(())).map(|_| ());
    let bad = offenders(groups, task.work.skip_bad, why, &mut part)?;
    let rejects = bad
        .iter()
        .map(|b| Ok(Reject { line: 0, raw: key_shown(&frame, &task.keys, starts[b.unit])?, reason: b.reason.clone() }))
        .collect::<Result<Vec<_>, Failure>>()?;
    if let Some(first) = rejects.first().filter(|_| bad.len() as u64 > task.work.skip_bad) {
        return Err(Failure::bad_input(format!(
            "the reduce fails on more keys than --skip-bad {} allows, such as {}: {}",
            task.work.skip_bad, first.raw, first.reason
        )));
    }
    let mut sink = ShardSink::new(context);
    let mut left = (0..groups).filter(|group| !bad.iter().any(|b| b.unit == *group)).map(|g| Ok(slice(g..g + 1)));
    output.counters.merge(&run.over(&mut left, &mut |made| sink.push(made))?);
    output.counters.add(Counter::Skipped, rejects.len() as u64);
    output.rejects = write_rejects(context, "the reduce", &rejects)?;
    Ok(sink)
}

/// Where each key's rows begin, and where the last one's end.
fn key_starts(frame: &DataFrame, task: &ReduceTask) -> Result<Vec<usize>, Failure> {
    let plan = HashPlan { columns: Some((*task.keys).clone()), with_row_hash: false, partitions: 1 };
    let hashes = hash_frame(frame, &plan)?.keys;
    let mut starts: Vec<usize> = (0..hashes.len()).filter(|n| *n == 0 || hashes.get(*n) != hashes.get(n - 1)).collect();
    starts.push(hashes.len());
    Ok(starts)
}

/// The rows of all partitions, one after another, each sorted. Each side is asked for all of them at once.
struct Rows<'a> {
    context: &'a Context,
    sides: Vec<SideInput<'a>>,
    order: SortOrder,
    /// Partitions that are still to come.
    left: u32,
    now: Option<Box<dyn Iterator<Item = Result<DataFrame, Failure>> + 'a>>,
    spilled: u64,
}

impl<'a> Rows<'a> {
    fn new(context: &'a Context, task: &'a ReduceTask) -> Self {
        let keys = task.keys.iter().map(|key| SortKey { column: key.name.clone(), descending: false });
        let by = keys.chain(task.then_by.iter().cloned()).collect();
        let (from, to) = task.partitions;
        Self {
            context,
            sides: task.sides.iter().map(|side| SideInput::open(context, side, task.partitions)).collect(),
            order: SortOrder { by, nulls_last: false },
            left: to.saturating_sub(from),
            now: None,
            spilled: 0,
        }
    }

    /// The rows of the next partition.
    fn partition(&mut self) -> Result<Box<dyn Iterator<Item = Result<DataFrame, Failure>> + 'a>, Failure> {
        if self.order.by.is_empty() {
            // Rows without keys lie in one partition, and go on as they come.
            self.left = 0;
            return Ok(Box::new(std::mem::take(&mut self.sides).into_iter().flat_map(SideInput::rest)));
        }
        let mut sort = ExternalSort::new(self.context, self.order.clone(), self.context.budget / 2);
        for side in &mut self.sides {
            for frame in side.partition() {
                sort.push(frame?)?;
            }
        }
        let sorted = sort.finish()?;
        self.spilled += sorted.spilled();
        Ok(Box::new(sorted))
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<DataFrame, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(now) = &mut self.now {
                match now.next() {
                    Some(Ok(frame)) if frame.height() == 0 => continue,
                    Some(item) => return Some(item),
                    None => self.now = None,
                }
            }
            self.left = self.left.checked_sub(1)?;
            match self.partition() {
                Ok(rows) => self.now = Some(rows),
                Err(failure) => {
                    self.left = 0;
                    return Some(Err(failure));
                }
            }
        }
    }
}
