//! Sorting: a sample of the keys, the bounds that cut it into equal shares, every row to its range, each range sorted. What
//! one task can sort at once is sorted by one task.
//!
//! A bound is a key and a position in the dataset: rows that all have the same key are cut too, and keep their order.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::sort::{
    BoundsTask, MergeTask, RangeTask, SampleTask, SortOrder, SortPhase, SortSpec, Unsorted,
};
use shardmill_common::phase::Phase;
use shardmill_common::schema::{DataType, Schema};
use shardmill_common::shared::Shared;
use shardmill_common::task::{TaskRange, TaskSpec};
use shardmill_common::unfit::{Role, Unfit};

use super::dedup::Progress;
use super::plan::{
    Draft, Next, READ_AHEAD, ResolvedJob, ShardAt, StageView, each_group, find, frame_memory, groups_of, inputs_of,
    made_shards, outputs, partition_sums, rows_of, task_of, whole,
};
use crate::jobs::Planner;
use crate::jobs::outline::{Outline, groups, listed, read_all};

/// Rows that take up to about so many bytes in memory are sorted by one task.
const ONE_TASK: u64 = 24 << 20;
/// A range is to take about so many bytes in memory.
const RANGE_BYTES: u64 = 64 << 20;
/// More than a machine's slots, so that none idles while the last range is sorted.
const FEWEST_RANGES: u64 = 8;
const MOST_RANGES: u64 = 1024;
/// Keys sampled in the whole dataset, and their bytes.
const SAMPLES: u64 = 1 << 16;
const SAMPLE_BYTES: u64 = 64 << 20;

impl Planner for SortSpec {
    fn check(&self, job: &ResolvedJob) -> Result<(), Unfit> {
        let input = job.input()?;
        check_order(&self.order, &input.schema, &input.reference().to_string())
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let input = job.input()?;
        let shards: Vec<ShardAt> = input.shards.iter().map(ShardAt::stored).collect();
        match sort_stages(&shards, &input.schema, &self.order, stages)? {
            Progress::Next(next) => Ok(next),
            Progress::Finished(shards) => {
                let shards = shards.into_iter().map(|s| s.entry).collect();
                Ok(Next::versions(vec![Draft { name: self.output.clone(), schema: input.schema.clone(), shards }]))
            }
        }
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        let order = shown(&self.order);
        if matches!(self.next(job, &[]), Ok(Next::Stage(planned)) if planned.name == SortPhase::Sort.name()) {
            outline.stage(SortPhase::Sort, 1, format!("sort {} by {order}", read_all(job)));
            outline.note("one task sorts it all: it is small");
            return Some(outline);
        }
        outline.stage(
            SortPhase::Sample,
            groups(job),
            format!("take a sample of the keys ({order}) of {}", read_all(job)),
        );
        outline.stage(SortPhase::Bounds, 1, "cut the keys into ranges of equal share; a key that repeats is cut too");
        outline.stage(SortPhase::Range, groups(job), format!("send every row of {} to its range", read_all(job)));
        outline.later(SortPhase::Merge, "sort each range; what does not fit in memory is spilled and merged");
        Some(outline)
    }
}

/// Columns to sort by must be there, and be named once.
pub fn check_order(order: &SortOrder, schema: &Schema, what: &str) -> Result<(), Unfit> {
    if order.by.is_empty() {
        return Err(Unfit::NoneNamed(Role::SortKey));
    }
    for (n, key) in order.by.iter().enumerate() {
        if schema.get(&key.column).is_none() {
            return Err(Unfit::no_column(what, schema, &key.column, Role::SortKey));
        }
        if order.by[..n].iter().any(|other| other.column == key.column) {
            return Err(Unfit::Twice { column: key.column.clone(), role: Role::SortKey });
        }
    }
    Ok(())
}

/// The stages that sort these shards; in the end the sorted ones. Rows of equal keys keep the order of the shards.
pub fn sort_stages(
    shards: &[ShardAt],
    schema: &Schema,
    order: &SortOrder,
    stages: &[StageView<'_>],
) -> Result<Progress, Failure> {
    let shards: Vec<ShardAt> = shards.iter().filter(|s| s.entry.rows() > 0).cloned().collect();
    if shards.is_empty() {
        return Ok(Progress::Finished(Vec::new()));
    }
    let bytes = bytes_in_memory(&shards, schema);
    if bytes <= ONE_TASK {
        return Ok(match find(stages, SortPhase::Sort) {
            None => Progress::Next(one_task(&shards, schema, order)),
            Some(stage) => finished(&shards, stage, stages)?,
        });
    }
    let partitions = bytes.div_ceil(RANGE_BYTES).clamp(FEWEST_RANGES, MOST_RANGES) as u32;
    let Some(sample) = find(stages, SortPhase::Sample) else {
        return Ok(Progress::Next(sample_stage(&shards, schema, order)));
    };
    let Some(bounds) = find(stages, SortPhase::Bounds) else {
        let samples = whole(stages, sample);
        let kind = BoundsTask { samples, partitions }.into();
        let task = TaskSpec { kind, reads: vec![samples], objects: Vec::new(), memory: 64 << 20 };
        return Ok(Progress::Next(Next::stage(SortPhase::Bounds, vec![task], vec![sample])));
    };
    let Some(range) = find(stages, SortPhase::Range) else {
        let bounds = whole(stages, bounds);
        let (schema, order) = (Shared::new(schema.clone()), Shared::new(order.clone()));
        let task = |(first, group): (usize, &[ShardAt])| {
            let (inputs, schema, order) = (inputs_of(first, group), schema.clone(), order.clone());
            task_of(group, RangeTask { inputs, schema, order, bounds, partitions }, vec![bounds])
        };
        let tasks = each_group(&shards, &groups_of(&shards)).map(task).collect();
        return Ok(Progress::Next(Next::stage(SortPhase::Range, tasks, vec![bounds.stage])));
    };
    let Some(merge) = find(stages, SortPhase::Merge) else {
        return Ok(Progress::Next(merge_stage(schema, order, whole(stages, range), partitions, stages)?));
    };
    finished(&shards, merge, stages)
}

/// The sorted shards. A task that made what was sorted may have left other shards when it was run again, of which some were read
/// before and some after: then rows are missing, or there twice.
fn finished(shards: &[ShardAt], stage: u32, stages: &[StageView<'_>]) -> Result<Progress, Failure> {
    let sorted = made_shards(stage, stages)?;
    let (were, are) = (rows_of(shards), rows_of(&sorted));
    if were != are {
        return Err(Failure::internal(format!(
            "{were} rows were to be sorted, and there are {are}: what was to be sorted changed meanwhile; start the job again"
        )));
    }
    Ok(Progress::Finished(sorted))
}

/// What the rows of these shards take in memory, from what is known without looking into them.
pub fn bytes_in_memory(shards: &[ShardAt], schema: &Schema) -> u64 {
    let width = |dtype| if dtype == DataType::String { 24 } else { 8 };
    let row: u64 = schema.fields.iter().map(|f| width(f.dtype)).sum();
    let of = |shard: &ShardAt| shard.entry.rows().saturating_mul(row).max(shard.entry.object.bytes.saturating_mul(2));
    shards.iter().map(of).fold(0, u64::saturating_add)
}

fn one_task(shards: &[ShardAt], schema: &Schema, order: &SortOrder) -> Next {
    let inputs = shards.iter().enumerate().map(|(n, shard)| shard.input(n)).collect();
    let (schema, order) = (Shared::new(schema.clone()), Shared::new(order.clone()));
    let task = MergeTask { rows: Unsorted::Shards(inputs), schema, order };
    let mut task = task_of(shards, task, Vec::new());
    task.reads = TaskRange::gather(task.reads.iter().flat_map(|range| range.tasks()));
    task.memory = frame_memory(shards.iter().map(|shard| shard.entry.object.bytes).sum());
    Next::stage(SortPhase::Sort, vec![task], Vec::new())
}

fn sample_stage(shards: &[ShardAt], schema: &Schema, order: &SortOrder) -> Next {
    let rows = rows_of(shards);
    let step = rows.div_ceil(SAMPLES).max(1);
    // Counted over the whole dataset, so that many small shards are not all sampled at their first row.
    let mut first = step / 2;
    let ends = groups_of(shards);
    let bytes = (SAMPLE_BYTES / ends.len().max(1) as u64).max(16 << 10);
    let mut tasks = Vec::with_capacity(ends.len());
    let (schema, order) = (Shared::new(schema.clone()), Shared::new(order.clone()));
    for (n, group) in each_group(shards, &ends) {
        let (inputs, schema, order) = (inputs_of(n, group), schema.clone(), order.clone());
        tasks.push(task_of(group, SampleTask { inputs, schema, order, first, step, bytes }, Vec::new()));
        let rows = rows_of(group);
        let taken = rows.saturating_sub(first).div_ceil(step);
        first = first + taken * step - rows;
    }
    Next::stage(SortPhase::Sample, tasks, Vec::new())
}

fn merge_stage(
    schema: &Schema,
    order: &SortOrder,
    runs: TaskRange,
    partitions: u32,
    stages: &[StageView<'_>],
) -> Result<Next, Failure> {
    let bytes = partition_sums(outputs(stages, runs)?, partitions as usize, |size| size.bytes);
    let (schema, order) = (Shared::new(schema.clone()), Shared::new(order.clone()));
    let task = |(partition, bytes): (u32, &u64)| {
        let rows = Unsorted::Range { runs, partition };
        let kind = MergeTask { rows, schema: schema.clone(), order: order.clone() }.into();
        // What is more than a task's share of the memory is sorted on disk.
        let memory = bytes.saturating_mul(6).min(4 * RANGE_BYTES) + READ_AHEAD;
        TaskSpec { kind, reads: vec![runs], objects: Vec::new(), memory }
    };
    let tasks = (0u32..).zip(&bytes).filter(|(_, bytes)| **bytes > 0).map(task).collect();
    Ok(Next::stage(SortPhase::Merge, tasks, vec![runs.stage]))
}

fn shown(order: &SortOrder) -> String {
    let key = |k: &shardmill_common::kinds::sort::SortKey| {
        if k.descending { format!("{} (descending)", k.column) } else { k.column.clone() }
    };
    let keys: Vec<String> = order.by.iter().map(key).collect();
    format!("{}, rows without a value {}", listed(&keys), if order.nulls_last { "last" } else { "first" })
}

#[cfg(test)]
#[path = "sort_tests.rs"]
mod tests;
