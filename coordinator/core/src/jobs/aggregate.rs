//! Grouping: the states of every shard's groups, into partitions by the hash of the keys; the final rows of every partition;
//! and, where these were several tasks' work, their sorting by the keys.

use shardmill_common::counters::Counters;
use shardmill_common::failure::Failure;
use shardmill_common::manifest::Manifest;
use shardmill_common::mapreduce::{
    AggregateSpec, AggregateTask, MergeGroupsTask, SortKey, SortOrder, aggregated_schema,
};
use shardmill_common::schema::Schema;
use shardmill_common::task::{PartitionSize, TaskKind, TaskRange, TaskSpec};

use super::dedup::Progress;
use super::plan::{
    Draft, Next, Publication, ResolvedJob, ShardAt, StageView, each_group, find, groups_of, inputs_of, made_shards,
    neighbours, outputs, task_of, whole,
};
use super::sort::{bytes_in_memory, sort_stages};

const AGGREGATE: &str = "aggregate";
const GROUPS: &str = "groups";

/// Rows that take up to about so many bytes in memory have their groups in one partition.
const ONE_PARTITION: u64 = 2 << 20;
/// Otherwise so many bytes of rows make a partition: groups of each can be merged in little memory, whatever they hold.
const PARTITION_BYTES: u64 = 8 << 20;
const FEWEST_PARTITIONS: u64 = 16;
const MOST_PARTITIONS: u64 = 1024;
/// Neighbouring partitions are merged by one task up to so many bytes of the shuffle.
const TASK_BYTES: u64 = 16 << 20;

pub fn check(spec: &AggregateSpec, job: &ResolvedJob) -> Result<(), String> {
    let input = job.inputs.first().ok_or("the input is missing")?;
    result_schema(spec, input).map(|_| ())
}

fn result_schema(spec: &AggregateSpec, input: &Manifest) -> Result<Schema, String> {
    aggregated_schema(&spec.by, &spec.aggregates, &input.schema, &input.reference().to_string())
}

pub fn next(spec: &AggregateSpec, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
    let input = job.inputs.first().ok_or_else(|| Failure::internal("the input is missing"))?;
    let schema = result_schema(spec, input).map_err(Failure::bad_input)?;
    let publish = |shards: Vec<ShardAt>| {
        let shards = shards.into_iter().map(|shard| shard.entry).collect();
        let drafts = vec![Draft { name: spec.output.clone(), schema: schema.clone(), shards }];
        Next::Publish(Box::new(Publication { drafts, ..Default::default() }))
    };
    let shards: Vec<ShardAt> = input.shards.iter().filter(|entry| entry.rows() > 0).map(ShardAt::stored).collect();
    if shards.is_empty() && !spec.by.is_empty() {
        return Ok(publish(Vec::new()));
    }
    let partitions = partitions_for(spec, &shards, &input.schema);
    let mut states = TaskRange { stage: 0, from: 0, to: 0 };
    if !shards.is_empty() {
        let Some(stage) = find(stages, AGGREGATE) else {
            return Ok(aggregate_stage(spec, &shards, &input.schema, partitions));
        };
        states = whole(stages, stage);
    }
    let Some(groups) = find(stages, GROUPS) else {
        return groups_stage(spec, input, states, partitions, stages);
    };
    let made = made_shards(groups, stages)?;
    if whole(stages, groups).to == 1 {
        return Ok(publish(made));
    }
    let by = spec.by.iter().map(|column| SortKey { column: column.clone(), descending: false }).collect();
    Ok(match sort_stages(&made, &schema, &SortOrder { by, nulls_last: true }, stages)? {
        Progress::Next(next) => next,
        Progress::Finished(shards) => publish(shards),
    })
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
    let task = |(first, group): (usize, &[ShardAt])| {
        let task = AggregateTask {
            inputs: inputs_of(first, group),
            schema: schema.clone(),
            by: spec.by.clone(),
            aggregates: spec.aggregates.clone(),
            partitions,
        };
        task_of(group, TaskKind::Aggregate(task), Vec::new())
    };
    Next::stage(AGGREGATE, each_group(shards, &ends).map(task).collect(), Vec::new())
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
    let tasks = ranges
        .into_iter()
        .map(|(from, to)| {
            let here = from as usize..to as usize;
            let bytes: u64 = bytes[here.clone()].iter().sum();
            let task = MergeGroupsTask {
                runs,
                partitions: (from, to),
                sizes: sizes[here].to_vec(),
                of,
                schema: input.schema.clone(),
                by: spec.by.clone(),
                aggregates: spec.aggregates.clone(),
                sorted,
                source_name: input.reference().to_string(),
            };
            TaskSpec {
                kind: TaskKind::MergeGroups(task),
                reads: Some(runs).filter(|r| r.to > r.from).into_iter().collect(),
                objects: Vec::new(),
                // What is more than a task's share of the memory is done in passes or on disk.
                memory: bytes.saturating_mul(6).min(256 << 20) + (8 << 20),
            }
        })
        .collect();
    let keeps = if runs.to > runs.from { vec![runs.stage] } else { Vec::new() };
    Ok(Next::stage(GROUPS, tasks, keeps))
}

/// `rows_in` of the input, and `rows_out`, which are the groups: rows that are sorted afterwards are not counted again.
pub fn counters(stages: &[StageView<'_>]) -> Counters {
    let mut counters = Counters::default();
    for (name, counter) in [(AGGREGATE, "rows_in"), (GROUPS, "rows_out")] {
        let outputs = stages.iter().filter(|stage| stage.name == name).flat_map(StageView::outputs);
        counters.add(counter, outputs.map(|output| output.counters.get(counter)).sum());
    }
    counters
}

#[cfg(test)]
#[path = "aggregate_tests.rs"]
mod tests;
