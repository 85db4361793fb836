//! The stages after the maps: what goes into a reduce, and how it is cut into tasks.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::HashColumn;
use shardmill_common::kinds::mapreduce::step::Step;
use shardmill_common::kinds::mapreduce::{
    Checked, CombineTask, MapReducePhase, MapReduceSpec, ReduceSide, ReduceTask, common_keys, side_schema,
};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::shared::Shared;
use shardmill_common::task::{TaskOutput, TaskRange, TaskSpec};

use super::FAN_IN;
use crate::jobs::plan::{Next, READ_AHEAD, StageView, joined_schema, neighbours, outputs, partition_sums};

/// A reduce task takes an eighth of what there is, within these bytes of the shuffle.
const LEAST_TASK_BYTES: u64 = 2 << 20;
const MOST_TASK_BYTES: u64 = 32 << 20;

/// The inputs as a reduce sees them.
pub struct Sides {
    pub keys: Vec<HashColumn>,
    pub schemas: Vec<Schema>,
}

/// The inputs' rows as a reduce sees them: as the check found, or, where only a run could tell, as the maps put them out.
pub fn side_schemas(
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
        let made = outputs(stages, *range)?;
        one_type_of_key(spec, n, &made)?;
        let mut schema = joined_schema(made.iter().filter_map(|o| o.schema.as_ref()));
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

/// Combines the rows of the only partition of some tasks, a few tasks at a time.
pub fn combine_stage(
    statement: &str,
    schema: &Schema,
    last: TaskRange,
    stages: &[StageView<'_>],
) -> Result<Next, Failure> {
    let parts: Vec<(u32, u32)> = last.tasks().collect();
    let (schema, statement) = (Shared::new(schema.clone()), Shared::new(statement.to_owned()));
    let tasks = parts
        .chunks(FAN_IN)
        .map(|chunk| {
            let runs = TaskRange::gather(chunk.iter().copied());
            let task = CombineTask { runs: runs.clone(), schema: schema.clone(), statement: statement.clone() };
            let bytes = runs.iter().map(|range| shuffled(*range, stages)).sum::<Result<u64, _>>()?;
            Ok(TaskSpec { kind: task.into(), reads: runs, objects: Vec::new(), memory: shuffle_memory(bytes) })
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(Next::stage(MapReducePhase::Combine, tasks, vec![last.stage]))
}

fn shuffled(range: TaskRange, stages: &[StageView<'_>]) -> Result<u64, Failure> {
    Ok(outputs(stages, range)?.iter().flat_map(|o| o.shuffle.iter().flatten()).map(|p| p.bytes).sum())
}

/// Memory for rows that take so many bytes in the shuffle, where they are compressed.
fn shuffle_memory(bytes: u64) -> u64 {
    bytes.saturating_mul(8).saturating_add(READ_AHEAD)
}

/// Reduces the partitions that these tasks of every input wrote.
pub fn reduce_stage(
    spec: &MapReduceSpec,
    step: &Step,
    produces: Option<&Schema>,
    sides: &Sides,
    runs: &[TaskRange],
    stages: &[StageView<'_>],
) -> Result<Next, Failure> {
    let mut made: Vec<&TaskOutput> = Vec::new();
    for range in runs {
        made.extend(outputs(stages, *range)?);
    }
    let of = made.iter().filter_map(|o| o.shuffle.as_ref()).map(Vec::len).max().unwrap_or(1).max(1) as u32;
    let bytes = partition_sums(made, of as usize, |size| size.bytes);
    let target = (bytes.iter().sum::<u64>() / 8).clamp(LEAST_TASK_BYTES, MOST_TASK_BYTES);
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
    let (tables, keys, then_by) =
        (Shared::new(tables), Shared::new(sides.keys.clone()), Shared::new(spec.then_by.clone()));
    let (step, work) = (Shared::new(step.clone()), Shared::new(spec.work.clone()));
    let produces = produces.cloned().map(Shared::new);
    let tasks = neighbours(&bytes, target)
        .into_iter()
        .map(|(from, to)| {
            let task = ReduceTask {
                sides: tables.clone(),
                partitions: (from, to),
                of,
                keys: keys.clone(),
                then_by: then_by.clone(),
                step: step.clone(),
                produces: produces.clone(),
                work: work.clone(),
            };
            // Partitions are reduced one after another.
            let largest = bytes[from as usize..to as usize].iter().copied().max().unwrap_or(0);
            TaskSpec {
                kind: task.into(),
                reads: runs.to_vec(),
                objects: spec.work.files.iter().map(|f| f.object.id).collect(),
                memory: shuffle_memory(largest),
            }
        })
        .collect();
    let mut keeps: Vec<u32> = runs.iter().map(|range| range.stage).collect();
    keeps.dedup();
    Ok(Next::stage(MapReducePhase::Reduce, tasks, keeps))
}
