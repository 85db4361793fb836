//! Grouping: the states of every shard's groups, into partitions by the hash of the keys; the final rows of every partition;
//! and, where these were several tasks' work, their sorting by the keys.

use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::aggregate::{
    AggregatePhase, AggregateSpec, AggregateTask, MergeGroupsTask, aggregated_schema,
};
use shardmill_common::kinds::sort::{SortKey, SortOrder};
use shardmill_common::manifest::Manifest;
use shardmill_common::schema::Schema;
use shardmill_common::shared::Shared;
use shardmill_common::task::{PartitionSize, PartitionSizes, TaskRange, TaskSpec};
use shardmill_common::unfit::Unfit;

use super::dedup::Progress;
use super::plan::{
    Draft, Next, READ_AHEAD, ResolvedJob, ShardAt, StageView, each_group, find, groups_of, inputs_of, made_shards,
    neighbours, outputs, task_of, whole,
};
use super::sort::{bytes_in_memory, sort_stages};
use crate::jobs::Planner;
use crate::jobs::outline::{Outline, groups, listed, read_all};

/// Rows that take up to about so many bytes in memory have their groups in one partition.
const ONE_PARTITION: u64 = 2 << 20;
/// Otherwise so many bytes of rows make a partition: groups of each can be merged in little memory, whatever they hold.
const PARTITION_BYTES: u64 = 8 << 20;
const FEWEST_PARTITIONS: u64 = 16;
const MOST_PARTITIONS: u64 = 1024;
/// Neighbouring partitions are merged by one task up to so many bytes of the shuffle.
const TASK_BYTES: u64 = 16 << 20;

impl Planner for AggregateSpec {
    fn check(&self, job: &ResolvedJob) -> Result<(), Unfit> {
        let input = job.input()?;
        result_schema(self, input).map(|_| ())
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let input = job.input()?;
        let schema = result_schema(self, input).map_err(Failure::bad_input)?;
        let publish = |shards: Vec<ShardAt>| {
            let shards = shards.into_iter().map(|shard| shard.entry).collect();
            Next::versions(vec![Draft { name: self.output.clone(), schema: schema.clone(), shards }])
        };
        let shards: Vec<ShardAt> = input.shards.iter().filter(|entry| entry.rows() > 0).map(ShardAt::stored).collect();
        if shards.is_empty() && !self.by.is_empty() {
            return Ok(publish(Vec::new()));
        }
        let partitions = partitions_for(self, &shards, &input.schema);
        let mut states = TaskRange { stage: 0, from: 0, to: 0 };
        if !shards.is_empty() {
            let Some(stage) = find(stages, AggregatePhase::Aggregate) else {
                return Ok(aggregate_stage(self, &shards, &input.schema, partitions));
            };
            states = whole(stages, stage);
        }
        let Some(groups) = find(stages, AggregatePhase::Groups) else {
            return groups_stage(self, input, states, partitions, stages);
        };
        let made = made_shards(groups, stages)?;
        if whole(stages, groups).to == 1 {
            return Ok(publish(made));
        }
        let by = self.by.iter().map(|column| SortKey { column: column.clone(), descending: false }).collect();
        Ok(match sort_stages(&made, &schema, &SortOrder { by, nulls_last: true }, stages)? {
            Progress::Next(next) => next,
            Progress::Finished(shards) => publish(shards),
        })
    }

    /// `rows_in` of the input, and `rows_out`, which are the groups: rows that are sorted afterwards are not counted again.
    fn counters<'a>(&self, _job: &ResolvedJob, _sum: Counters, stages: &dyn Fn() -> Vec<StageView<'a>>) -> Counters {
        let stages = stages();
        let mut counters = Counters::default();
        let counted = [(AggregatePhase::Aggregate, Counter::RowsIn), (AggregatePhase::Groups, Counter::RowsOut)];
        for (phase, counter) in counted {
            let outputs = stages.iter().filter(|stage| stage.is(phase)).flat_map(StageView::outputs);
            let sum = outputs.map(|output| output.counters.get(&counter)).sum();
            counters.add(counter, sum);
        }
        counters
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        let names: Vec<String> = self.aggregates.iter().map(|a| a.name.clone()).collect();
        let names = listed(&names);
        let by = if self.by.is_empty() { "over all rows".to_owned() } else { format!("by {}", listed(&self.by)) };
        outline.stage(
            AggregatePhase::Aggregate,
            groups(job),
            format!("compute parts of {names} {by} in each shard of {}", read_all(job)),
        );
        outline.later(AggregatePhase::Groups, "put the parts of each group together");
        if !self.by.is_empty() {
            outline.note(format!("every shard's groups are computed before the shuffle; the result is sorted {by}"));
        }
        Some(outline)
    }
}

fn result_schema(spec: &AggregateSpec, input: &Manifest) -> Result<Schema, Unfit> {
    aggregated_schema(&spec.by, &spec.aggregates, &input.schema, &input.reference().to_string())
}

/// From the input alone, so that sums are added in the same order whatever the cluster looks like.
fn partitions_for(spec: &AggregateSpec, shards: &[ShardAt], schema: &Schema) -> u32 {
    let bytes = bytes_in_memory(shards, schema);
    if spec.by.is_empty() || bytes <= ONE_PARTITION {
        return 1;
    }
    (bytes / PARTITION_BYTES).clamp(FEWEST_PARTITIONS, MOST_PARTITIONS).next_power_of_two() as u32
}

fn aggregate_stage(spec: &AggregateSpec, shards: &[ShardAt], schema: &Schema, partitions: u32) -> Next {
    let ends = groups_of(shards);
    let schema = Shared::new(schema.clone());
    let (by, aggregates) = (Shared::new(spec.by.clone()), Shared::new(spec.aggregates.clone()));
    let task = |(first, group): (usize, &[ShardAt])| {
        let inputs = inputs_of(first, group);
        let (schema, by, aggregates) = (schema.clone(), by.clone(), aggregates.clone());
        task_of(group, AggregateTask { inputs, schema, by, aggregates, partitions }, Vec::new())
    };
    Next::stage(AggregatePhase::Aggregate, each_group(shards, &ends).map(task).collect(), Vec::new())
}

fn groups_stage(
    spec: &AggregateSpec,
    input: &Manifest,
    runs: TaskRange,
    of: u32,
    stages: &[StageView<'_>],
) -> Result<Next, Failure> {
    // Of each partition: its states, and everything in it.
    let mut sizes = vec![PartitionSize::default(); of as usize];
    let mut bytes = vec![0u64; of as usize];
    for output in outputs(stages, runs)? {
        for (n, size) in output.shuffle.iter().flatten().enumerate() {
            let partition = n % of as usize;
            bytes[partition] += size.bytes;
            if n < of as usize {
                sizes[partition].bytes += size.bytes;
                sizes[partition].rows += size.rows;
            }
        }
    }
    let ranges = neighbours(&bytes, TASK_BYTES);
    let sorted = ranges.len() == 1;
    let sizes = Shared::new(PartitionSizes(sizes));
    let schema = Shared::new(input.schema.clone());
    let (by, aggregates) = (Shared::new(spec.by.clone()), Shared::new(spec.aggregates.clone()));
    let tasks = ranges
        .into_iter()
        .map(|(from, to)| {
            let bytes: u64 = bytes[from as usize..to as usize].iter().sum();
            let task = MergeGroupsTask {
                runs,
                partitions: (from, to),
                sizes: sizes.clone(),
                of,
                schema: schema.clone(),
                by: by.clone(),
                aggregates: aggregates.clone(),
                sorted,
                source_name: input.reference().to_string(),
            };
            TaskSpec {
                kind: task.into(),
                reads: Some(runs).filter(|r| r.to > r.from).into_iter().collect(),
                objects: Vec::new(),
                // What is more than a task's share of the memory is done in passes or on disk.
                memory: bytes.saturating_mul(6).min(256 << 20) + READ_AHEAD,
            }
        })
        .collect();
    let keeps = if runs.to > runs.from { vec![runs.stage] } else { Vec::new() };
    Ok(Next::stage(AggregatePhase::Groups, tasks, keeps))
}

#[cfg(test)]
#[path = "aggregate_tests.rs"]
mod tests;
