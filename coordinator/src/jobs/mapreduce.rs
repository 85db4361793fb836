//! A user's own map and reduce: check, map, (combine), reduce, (conform).

mod check;

pub use check::check;

use shardmill_common::failure::Failure;
use shardmill_common::manifest::{Manifest, ShardEntry};
use shardmill_common::mapreduce::{
    CheckTask, Checked, CombineTask, ConformTask, MapOutput, MapReduceSpec, MapTask, ReduceSide, ReduceTask, Step,
    common_keys, side_schema,
};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::task::{HashColumn, ShardInput, ShardRef, TaskKind, TaskOutput, TaskRange, TaskSpec};

use super::plan::{
    Draft, Next, Publication, ResolvedJob, ShardAt, StageView, find, frame_memory, joined_schema, output,
    rejects_schema, whole,
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
    let outputs = whole(stages, made).tasks().map(|(s, t)| output(stages, s, t)).collect::<Result<Vec<_>, _>>()?;
    let schema = output_schema(&checked, &outputs);
    let shards: Vec<ShardAt> = (0u32..)
        .zip(&outputs)
        .flat_map(|(task, output)| ShardAt::all_made(made, task, output))
        .filter(|shard| shard.entry.rows() > 0)
        .collect();
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
    let sample = |manifest: &Manifest| {
        let shard = manifest.shards.iter().find(|shard| shard.rows() > 0)?;
        Some(ShardAt::stored(shard).input(0))
    };
    let samples: Vec<Option<ShardInput>> = job.inputs.iter().map(sample).collect();
    let entries: Vec<&ShardEntry> =
        job.inputs.iter().filter_map(|m| m.shards.iter().find(|shard| shard.rows() > 0)).collect();
    let task =
        CheckTask { spec: spec.clone(), schemas: job.inputs.iter().map(|m| m.schema.clone()).collect(), samples };
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

struct Sides {
    keys: Vec<HashColumn>,
    schemas: Vec<Schema>,
}

/// The inputs' rows as a reduce sees them: as the check found, or, where only a run could tell, as the maps put them out.
fn side_schemas(
    spec: &MapReduceSpec,
    checked: &Checked,
    runs: &[TaskRange],
    stages: &[StageView<'_>],
) -> Result<Sides, Failure> {
    let mut maps = Vec::with_capacity(runs.len());
    for (n, range) in runs.iter().enumerate() {
        if let Some(known) = checked.maps.get(n).cloned().flatten() {
            maps.push(known);
            continue;
        }
        let outputs = range.tasks().map(|(s, t)| output(stages, s, t)).collect::<Result<Vec<_>, _>>()?;
        one_type_of_key(spec, n, &outputs)?;
        let mut schema = joined_schema(outputs.into_iter());
        if schema.is_empty() {
            // No rows came from there, so its keys can be anything.
            schema = Schema::new(spec.keys.iter().map(|k| Field::new(k.as_str(), DataType::Null)).collect());
        }
        maps.push(schema);
    }
    let named: Vec<(&str, &Schema)> = spec.inputs.iter().map(|i| i.name.as_str()).zip(&maps).collect();
    let keys = common_keys(&spec.keys, &named).map_err(Failure::bad_input)?;
    if checked.keys.iter().any(|key| key.dtype.is_none()) {
        // They were hashed as they came, so they must have come in one type.
        for key in &keys {
            let differs = |schema: &&Schema| {
                schema.get(&key.name).is_some_and(|f| f.dtype != DataType::Null && Some(f.dtype) != key.dtype)
            };
            if maps.iter().any(|schema| differs(&schema)) {
                return Err(Failure::bad_input(format!(
                    "the key column `{}` has different types in the inputs; declare what the map programs write with --map-columns",
                    key.name
                )));
            }
        }
    }
    let schemas = maps.iter().map(|schema| side_schema(schema, &keys)).collect();
    Ok(Sides { keys, schemas })
}

fn one_type_of_key(spec: &MapReduceSpec, input: usize, outputs: &[&TaskOutput]) -> Result<(), Failure> {
    for key in &spec.keys {
        let mut types: Vec<DataType> = outputs
            .iter()
            .filter_map(|o| Some(o.schema.as_ref()?.get(key)?.dtype))
            .filter(|dtype| *dtype != DataType::Null)
            .collect();
        types.sort_unstable();
        types.dedup();
        if let [first, second, ..] = types[..] {
            return Err(Failure::bad_input(format!(
                "the map of {} writes the key column `{key}` as {first} in one shard and as {second} in another; declare it with --map-columns",
                spec.inputs.get(input).map_or("", |i| &i.name)
            )));
        }
    }
    Ok(())
}

fn combine_stage(statement: &str, schema: &Schema, last: TaskRange, stages: &[StageView<'_>]) -> Result<Next, Failure> {
    let parts: Vec<(u32, u32)> = last.tasks().collect();
    let tasks = parts
        .chunks(FAN_IN)
        .map(|chunk| {
            let runs = TaskRange::gather(chunk.iter().copied());
            let task = CombineTask { runs: runs.clone(), schema: schema.clone(), statement: statement.to_owned() };
            let bytes = runs.iter().map(|range| shuffled(*range, stages)).sum::<Result<u64, _>>()?;
            Ok(TaskSpec {
                kind: TaskKind::Combine(task),
                reads: runs,
                objects: Vec::new(),
                memory: shuffle_memory(bytes),
            })
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(Next::stage(COMBINE, tasks, vec![last.stage]))
}

fn shuffled(range: TaskRange, stages: &[StageView<'_>]) -> Result<u64, Failure> {
    range.tasks().map(|(s, t)| Ok(output(stages, s, t)?.shuffle.iter().flatten().map(|p| p.bytes).sum::<u64>())).sum()
}

/// Memory for rows that take so many bytes in the shuffle, where they are compressed.
fn shuffle_memory(bytes: u64) -> u64 {
    bytes.saturating_mul(8).saturating_add(16 << 20)
}

fn reduce_stage(
    spec: &MapReduceSpec,
    step: &Step,
    produces: Option<&Schema>,
    sides: &Sides,
    runs: &[TaskRange],
    stages: &[StageView<'_>],
) -> Result<Next, Failure> {
    let outputs = runs
        .iter()
        .flat_map(|range| range.tasks())
        .map(|(s, t)| output(stages, s, t))
        .collect::<Result<Vec<_>, _>>()?;
    let of = outputs.iter().filter_map(|o| o.shuffle.as_ref()).map(Vec::len).max().unwrap_or(1).max(1) as u32;
    let mut bytes = vec![0u64; of as usize];
    for output in outputs {
        for (sum, size) in bytes.iter_mut().zip(output.shuffle.iter().flatten()) {
            *sum += size.bytes;
        }
    }
    let tables: Vec<ReduceSide> = spec
        .inputs
        .iter()
        .zip(runs)
        .zip(&sides.schemas)
        .map(|((input, runs), schema)| ReduceSide {
            name: input.name.clone(),
            runs: vec![*runs],
            schema: schema.clone(),
        })
        .collect();
    let tasks = neighbours(&bytes)
        .into_iter()
        .map(|(from, to)| {
            let task = ReduceTask {
                sides: tables.clone(),
                partitions: (from, to),
                of,
                keys: sides.keys.clone(),
                then_by: spec.then_by.clone(),
                step: step.clone(),
                produces: produces.cloned(),
                work: spec.work.clone(),
            };
            // Partitions are reduced one after another.
            let largest = bytes[from as usize..to as usize].iter().copied().max().unwrap_or(0);
            TaskSpec {
                kind: TaskKind::Reduce(Box::new(task)),
                reads: runs.to_vec(),
                objects: spec.work.files.iter().map(|f| f.object.id).collect(),
                memory: shuffle_memory(largest),
            }
        })
        .collect();
    let mut keeps: Vec<u32> = runs.iter().map(|range| range.stage).collect();
    keeps.dedup();
    Ok(Next::stage(REDUCE, tasks, keeps))
}

/// Groups partitions into tasks by the bytes that were seen, neighbours together.
fn neighbours(bytes: &[u64]) -> Vec<(u32, u32)> {
    let target = (bytes.iter().sum::<u64>() / 8).clamp(2 << 20, 32 << 20);
    let mut groups = Vec::new();
    let (mut from, mut sum) = (0, 0);
    for (partition, n) in (0u32..).zip(bytes) {
        if sum > 0 && sum + n > target {
            groups.push((from, partition));
            (from, sum) = (partition, 0);
        }
        sum += n;
    }
    groups.push((from, bytes.len() as u32));
    groups
}

#[cfg(test)]
mod tests;
