//! A user's own map and reduce: check, map, (combine), reduce, (conform).

mod check;
mod stages;

pub use check::check;

use shardmill_common::failure::Failure;
use shardmill_common::manifest::{Manifest, ShardEntry};
use shardmill_common::mapreduce::{CheckTask, Checked, ConformTask, MapOutput, MapReduceSpec, MapTask, Step};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::task::{ShardRef, TaskKind, TaskOutput, TaskRange, TaskSpec};

use self::stages::{combine_stage, reduce_stage, side_schemas};
use super::plan::{
    Draft, Next, Publication, ResolvedJob, ShardAt, StageView, find, frame_memory, joined_schema, made_shards, output,
    outputs, rejects_schema, whole,
};

const CHECK: &str = "check";
const MAP: &str = "map";
const COMBINE: &str = "combine";
const REDUCE: &str = "reduce";
const CONFORM: &str = "conform";

/// Bytes of a partition in memory, as far as the inputs' files tell before anything ran.
const PARTITION_BYTES: u64 = 32 << 20;
const MOST_PARTITIONS: u64 = 1024;
/// How much larger rows are in memory than in a shard's file, roughly.
const IN_MEMORY: u64 = 4;
/// Maps of a global group whose rows are combined into one.
const FAN_IN: usize = 16;
/// A sample of a step with a sandbox of its own needs this much besides its rows.
const CHECK_MEMORY: u64 = 32 << 20;

pub fn next(spec: &MapReduceSpec, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
    let Some(check) = find(stages, CHECK) else { return Ok(check_stage(spec, job)) };
    let checked: Checked = serde_json::from_value(output(stages, check, 0)?.result.clone().unwrap_or_default())
        .map_err(|e| Failure::internal(format!("the result of the check: {e}")))?;
    let Some(map) = find(stages, MAP) else { return Ok(map_stage(spec, job, &checked)) };
    few_enough_skipped(spec, stages)?;
    let made = match &spec.reduce {
        None => map,
        Some(step) => match find(stages, REDUCE) {
            Some(reduce) => reduce,
            None => return reduce_or_combine(spec, job, &checked, step, map, stages),
        },
    };
    let outputs = outputs(stages, whole(stages, made))?;
    let schema = output_schema(&checked, &outputs);
    let mut shards = made_shards(made, stages)?;
    shards.retain(|shard| shard.entry.rows() > 0);
    // A program may find other columns in every part of its input.
    let differs = |shard: &ShardAt| match shard.shard {
        ShardRef::Made { task, .. } => {
            outputs.get(task as usize).and_then(|o| o.schema.as_ref()).is_some_and(|s| *s != schema)
        }
        ShardRef::Stored(_) => false,
    };
    let differing: Vec<usize> = (0..shards.len()).filter(|n| shards.get(*n).is_some_and(differs)).collect();
    let mut entries: Vec<ShardEntry> = shards.iter().map(|shard| shard.entry.clone()).collect();
    match find(stages, CONFORM) {
        None if differing.is_empty() => {}
        None => {
            let tasks = differing.iter().filter_map(|n| {
                let task = ConformTask { input: shards.get(*n)?.input(*n), schema: schema.clone() };
                Some(shards.get(*n)?.task(TaskKind::Conform(task), Vec::new()))
            });
            return Ok(Next::stage(CONFORM, tasks.collect(), Vec::new()));
        }
        Some(stage) => {
            for ((s, t), n) in whole(stages, stage).tasks().zip(differing) {
                let shard = output(stages, s, t)?.shard.clone();
                entries[n] = shard.ok_or_else(|| Failure::internal("a conform task put out no shard"))?;
            }
        }
    }
    let mut drafts = vec![Draft { name: spec.output.clone(), schema, shards: entries }];
    let rejects: Vec<ShardEntry> =
        stages.iter().flat_map(StageView::outputs).filter_map(|o| o.rejects.clone()).collect();
    if !rejects.is_empty() {
        drafts.push(Draft { name: spec.output.rejects(), schema: rejects_schema(), shards: rejects });
    }
    Ok(Next::Publish(Box::new(Publication { drafts, ..Default::default() })))
}

/// What the output's columns are: known before, or what its tasks made together.
fn output_schema(checked: &Checked, outputs: &[&TaskOutput]) -> Schema {
    let made = joined_schema(outputs.iter().copied());
    let schema = if made.is_empty() { checked.output.clone().unwrap_or_default() } else { made };
    if schema.is_empty() {
        // A program that found nothing to say of columns that only it knows.
        return Schema::new(vec![Field::new("line", DataType::String)]);
    }
    schema.published()
}

fn few_enough_skipped(spec: &MapReduceSpec, stages: &[StageView<'_>]) -> Result<(), Failure> {
    let skipped: u64 = stages.iter().flat_map(StageView::outputs).map(|o| o.counters.get("skipped")).sum();
    if skipped <= spec.work.skip_bad {
        return Ok(());
    }
    Err(Failure::bad_input(format!(
        "{skipped} records were skipped because a step fails on them, and --skip-bad allows {}",
        spec.work.skip_bad
    )))
}

fn check_stage(spec: &MapReduceSpec, job: &ResolvedJob) -> Next {
    let first = |manifest: &Manifest| manifest.shards.iter().find(|shard| shard.rows() > 0).map(ShardAt::stored);
    let shards: Vec<Option<ShardAt>> = job.inputs.iter().map(first).collect();
    let entries: Vec<&ShardEntry> = shards.iter().flatten().map(|shard| &shard.entry).collect();
    let task = CheckTask {
        spec: spec.clone(),
        schemas: job.inputs.iter().map(|m| m.schema.clone()).collect(),
        samples: shards.iter().map(|shard| Some(shard.as_ref()?.input(0))).collect(),
    };
    let spec = TaskSpec {
        kind: TaskKind::Check(Box::new(task)),
        reads: Vec::new(),
        objects: entries.iter().flat_map(|e| e.objects().map(|o| o.id)).collect(),
        memory: entries.iter().map(|e| frame_memory(e.object.bytes)).max().unwrap_or(0) + CHECK_MEMORY,
    };
    Next::stage(CHECK, vec![spec], Vec::new())
}

/// Partitions of the shuffle: a question of the inputs alone, so that the result does not depend on the cluster.
fn partitions(spec: &MapReduceSpec, job: &ResolvedJob) -> u32 {
    if spec.keys.is_empty() {
        return 1;
    }
    let bytes: u64 = job.inputs.iter().flat_map(|m| &m.shards).map(|s| s.object.bytes).sum::<u64>() * IN_MEMORY;
    bytes.div_ceil(PARTITION_BYTES).clamp(1, MOST_PARTITIONS).next_power_of_two() as u32
}

fn map_stage(spec: &MapReduceSpec, job: &ResolvedJob, checked: &Checked) -> Next {
    let output = match &spec.reduce {
        None => MapOutput::Shards,
        Some(_) => MapOutput::Shuffle {
            keys: checked.keys.clone(),
            partitions: partitions(spec, job),
            combine: spec.combine.clone(),
        },
    };
    let mut tasks = Vec::new();
    for (n, (input, manifest)) in spec.inputs.iter().zip(&job.inputs).enumerate() {
        let mut first_row = 0;
        for (ordinal, entry) in manifest.shards.iter().enumerate() {
            let shard = ShardAt::stored(entry);
            let task = MapTask {
                input: shard.input(ordinal),
                schema: manifest.schema.clone(),
                step: input.map.clone(),
                output: output.clone(),
                produces: checked.maps.get(n).cloned().flatten(),
                work: spec.work.clone(),
                source_name: manifest.reference().to_string(),
                first_row,
            };
            first_row += entry.rows();
            let mut task = shard.task(TaskKind::Map(Box::new(task)), Vec::new());
            task.objects.extend(spec.work.files.iter().map(|f| f.object.id));
            tasks.push(task);
        }
    }
    Next::stage(MAP, tasks, Vec::new())
}

/// The tasks whose shuffle files hold each input's rows.
fn map_runs(job: &ResolvedJob, map: u32) -> Vec<TaskRange> {
    let mut from = 0;
    let run = |manifest: &Manifest| {
        let to = from + manifest.shards.len() as u32;
        let range = TaskRange { stage: map, from, to };
        from = to;
        range
    };
    job.inputs.iter().map(run).collect()
}

fn reduce_or_combine(
    spec: &MapReduceSpec,
    job: &ResolvedJob,
    checked: &Checked,
    step: &Step,
    map: u32,
    stages: &[StageView<'_>],
) -> Result<Next, Failure> {
    let runs = map_runs(job, map);
    let sides = side_schemas(spec, checked, &runs, stages)?;
    let produces = checked.output.as_ref();
    if let (true, Some(statement), [schema]) = (spec.keys.is_empty(), &spec.combine, &sides.schemas[..]) {
        let last = find(stages, COMBINE).map_or(runs[0], |stage| whole(stages, stage));
        if (last.to - last.from) as usize > FAN_IN {
            return combine_stage(statement, schema, last, stages);
        }
        return reduce_stage(spec, step, produces, &sides, &[last], stages);
    }
    reduce_stage(spec, step, produces, &sides, &runs, stages)
}

#[cfg(test)]
mod tests;
