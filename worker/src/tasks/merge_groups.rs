//! The final aggregates of some partitions. What does not fit the budget at once is done partition by partition, and a
//! partition of too many groups in passes, each over the groups whose hashes end alike.

use polars::prelude::{Column, DataFrame};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::aggregate::MergeGroupsTask;
use shardmill_common::kinds::dedup::HashColumn;
use shardmill_common::kinds::sort::{SortKey, SortOrder};
use shardmill_common::task::{PartitionSize, TaskOutput};

use super::raw::row_as_json;
use super::{Context, ShardSink};
use crate::aggregate::{
    Accumulator, DistinctCounter, Groups, Layout, OfShares, Output, Overflow, Quantiles, Source, key_name, state_name,
};
use crate::shuffle::frames;
use crate::spill::ExternalSort;

pub fn run(context: &Context, task: &MergeGroupsTask) -> Result<TaskOutput, Failure> {
    let layout = Layout::new(&task.by, &task.aggregates, &task.schema)?;
    let mut output = TaskOutput::default();
    let mut sink = ShardSink::new(context);
    let mut put = |frame: DataFrame| if frame.height() > 0 { sink.push(frame) } else { Ok(()) };
    if task.sorted && !task.by.is_empty() {
        let by = task.by.iter().map(|column| SortKey { column: column.clone(), descending: false }).collect();
        let mut sort = ExternalSort::new(context, SortOrder { by, nulls_last: true }, context.budget);
        for batch in batches(task, &layout, context.budget / 2) {
            sort.push(batch.run(context, task, &layout, &mut output)?)?;
        }
        let sorted = sort.finish()?;
        output.spilled += sorted.spilled();
        for frame in sorted {
            put(frame?)?;
        }
    } else {
        for batch in batches(task, &layout, context.budget / 2) {
            put(batch.run(context, task, &layout, &mut output)?)?;
        }
    }
    sink.finish(&mut output)?;
    Ok(output)
}

/// Groups that are merged at once: those of some partitions, or in a pass those whose hashes end in `pass`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Batch {
    partitions: (u32, u32),
    pass: u32,
    /// A power of two.
    passes: u32,
}

/// Neighbouring partitions together as long as their states fit into `room` bytes.
fn batches(task: &MergeGroupsTask, layout: &Layout, room: u64) -> Vec<Batch> {
    // Compressed states, decoded and merged; a number, a hash and a slot of each state for every group.
    let group = 64 + 48 * layout.states.len() as u64;
    let needed = |size: &PartitionSize| size.bytes.saturating_mul(5).saturating_add(size.rows.saturating_mul(group));
    let (from, to) = task.partitions;
    if task.by.is_empty() {
        // There is nothing to tell passes apart by, and no need to.
        return vec![Batch { partitions: (from, to), pass: 0, passes: 1 }];
    }
    let mut batches: Vec<Batch> = Vec::new();
    let mut held = 0;
    for partition in from..to {
        let needed = task.sizes.0.get(partition as usize).map_or(0, needed);
        match batches.last_mut() {
            Some(batch) if batch.passes == 1 && held + needed <= room => {
                batch.partitions.1 = partition + 1;
                held += needed;
            }
            _ => {
                let passes = needed.div_ceil(room.max(1)).clamp(1, 1 << 16).next_power_of_two() as u32;
                let of = |pass| Batch { partitions: (partition, partition + 1), pass, passes };
                batches.extend((0..passes).map(of));
                held = needed;
            }
        }
    }
    batches
}

impl Batch {
    /// The final rows of these groups, in the order in which the groups first came.
    fn run(
        self,
        context: &Context,
        task: &MergeGroupsTask,
        layout: &Layout,
        output: &mut TaskOutput,
    ) -> Result<DataFrame, Failure> {
        let keys = (0..layout.keys.len()).map(|n| HashColumn { name: key_name(n), dtype: None }).collect();
        let mut groups = Groups::new(keys, 1);
        let mut states =
            layout.states.iter().map(|state| state.accumulator()).collect::<Result<Vec<Accumulator>, Failure>>()?;
        // For each partition of each shard, what its groups are numbered here.
        let mut renumber: Vec<Vec<Option<u32>>> = Vec::new();
        for frame in self.table(context, task, 0) {
            let mut numbers = Vec::new();
            for frame in frame? {
                numbers.extend(self.merge(&mut groups, &mut states, layout, &frame?)?);
            }
            renumber.push(numbers);
        }
        states.iter_mut().try_for_each(|state| state.grow(groups.len()))?;

        // What is left of the budget when the states have their half.
        let room = context.budget / 4;
        let mut counts = Vec::with_capacity(layout.distinct.len());
        for n in 0..layout.distinct.len() {
            let mut counter = DistinctCounter::new(context, groups.len(), room);
            for (frames, of) in self.table(context, task, 1 + n).zip(&renumber) {
                for frame in frames? {
                    counter.push(&frame?, of)?;
                }
            }
            let (found, spilled) = counter.finish()?;
            output.spilled += spilled;
            counts.push(found);
        }
        let mut quantiles = Vec::with_capacity(layout.values.len());
        for (n, (_, tally)) in layout.values.iter().enumerate() {
            let shares = shares(layout, n);
            let mut values = Quantiles::new(context, states[*tally].tally(), shares, room);
            for (frames, of) in self.table(context, task, 1 + layout.distinct.len() + n).zip(&renumber) {
                for frame in frames? {
                    values.push(&frame?, of)?;
                }
            }
            let (found, spilled) = values.finish()?;
            output.spilled += spilled;
            quantiles.push(found);
        }
        drop(renumber);
        let keys = groups.keys()?;
        let mut columns: Vec<Column> = Vec::with_capacity(layout.keys.len() + layout.outputs.len());
        for (column, key) in keys.columns().iter().zip(&layout.keys) {
            columns.push(column.clone().with_name(key.name.as_str().into()));
        }
        if groups.len() == 0 {
            return Ok(DataFrame::empty());
        }
        let keys = columns.clone();
        for out in &layout.outputs {
            columns.push(result(out, layout, &states, &counts, &mut quantiles, groups.len())?.map_err(|overflow| {
                let column = task.aggregates.iter().find(|a| a.name == out.name).and_then(|a| a.column.as_deref());
                too_large(&overflow, column.unwrap_or_default(), &keys, &task.source_name)
            })?);
        }
        DataFrame::new(groups.len(), columns).map_err(Failure::internal)
    }

    /// The partitions of a table, those of one partition's shards one after another.
    fn table<'a>(
        self,
        context: &'a Context,
        task: &'a MergeGroupsTask,
        table: usize,
    ) -> impl Iterator<Item = Result<Frames<'a>, Failure>> {
        let (from, to) = self.partitions;
        let seen = move |frame: Result<DataFrame, Failure>| {
            // Every pass reads everything; rows are counted once.
            if let Some(frame) = frame.as_ref().ok().filter(|_| self.pass == 0) {
                context.advance(frame.height() as u64, 0);
            }
            frame
        };
        let first = table as u32 * task.of;
        let pieces = context.shuffle(&[task.runs], first + from, first + to);
        pieces.map(move |data| Ok(Box::new(frames(data?).map(seen)) as Frames<'a>))
    }

    /// Merges a shard's states; returns what its groups are numbered here, of those that belong to this pass.
    fn merge(
        self,
        groups: &mut Groups,
        states: &mut [Accumulator],
        layout: &Layout,
        frame: &DataFrame,
    ) -> Result<Vec<Option<u32>>, Failure> {
        let mask = u128::from(self.passes - 1);
        let numbers = groups.ids_where(frame, frame.height(), |hash| hash & mask == u128::from(self.pass))?;
        let ours: Vec<u32> = numbers.iter().copied().flatten().collect();
        let some;
        let frame = if ours.len() == frame.height() {
            frame
        } else {
            let mask = numbers.iter().map(Option::is_some).collect();
            some = frame.filter(&mask).map_err(Failure::internal)?;
            &some
        };
        for (n, (accumulator, _)) in states.iter_mut().zip(&layout.states).enumerate() {
            accumulator.grow(groups.len())?;
            accumulator.merge(frame, &state_name(n), &ours)?;
        }
        Ok(numbers)
    }
}

type Frames<'a> = Box<dyn Iterator<Item = Result<DataFrame, Failure>> + 'a>;

/// The shares that are asked for of a column's values.
fn shares(layout: &Layout, table: usize) -> Vec<f64> {
    let of = |out: &Output| match out.source {
        Source::Quantile(t, share) if t == table => Some(share),
        _ => None,
    };
    layout.outputs.iter().filter_map(of).collect()
}

fn result(
    out: &Output,
    layout: &Layout,
    states: &[Accumulator],
    counts: &[Vec<i64>],
    quantiles: &mut [OfShares],
    groups: usize,
) -> Result<Result<Column, Overflow>, Failure> {
    let name = out.name.as_str().into();
    match out.source {
        Source::State(n) => states[n].finish(out.function, &out.name, out.dtype),
        Source::Distinct(n) => Ok(Ok(Column::new(name, &counts[n]))),
        Source::Quantile(table, _) => {
            // They come in the order in which they are asked for.
            let found = quantiles.get_mut(table).filter(|q| !q.is_empty()).map(|q| q.remove(0));
            let found = found.ok_or_else(|| Failure::internal("a quantile is missing"))?;
            debug_assert_eq!((found.len(), layout.values.len() > table), (groups, true));
            Ok(Ok(Column::new(name, found)))
        }
    }
}

fn too_large(overflow: &Overflow, column: &str, keys: &[Column], source: &str) -> Failure {
    let group = match DataFrame::new(keys.first().map_or(0, Column::len), keys.to_vec()) {
        Ok(keys) if keys.width() > 0 => format!("the group {}", row_as_json(&keys, overflow.group)),
        _ => "all rows".to_owned(),
    };
    let what = match overflow.sum {
        Some(sum) => format!("is {sum}, which int64 cannot hold"),
        None => "has more than 38 digits".to_owned(),
    };
    Failure::bad_input(format!(
        "{source}: the sum of column `{column}` over {group} {what}: cast the column to float64 first (shardmill clean, rule `cast`)"
    ))
}

#[cfg(test)]
#[path = "merge_groups_tests.rs"]
mod tests;
