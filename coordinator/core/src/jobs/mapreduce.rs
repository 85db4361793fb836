//! A user's own map and reduce: check, map, (combine), reduce, (conform).

mod check;
mod stages;

use shardmill_common::counters::Counter;
use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::kinds::mapreduce::step::Step;
use shardmill_common::kinds::mapreduce::{CheckTask, Checked, MapOutput, MapReducePhase, MapReduceSpec, MapTask};
use shardmill_common::manifest::{Manifest, ShardEntry};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::shared::Shared;
use shardmill_common::task::{ShardRef, TaskRange, TaskSpec};
use shardmill_common::unfit::Unfit;

use self::stages::{combine_stage, reduce_stage, side_schemas};
use super::compact::{rewrite, rewritten};
use super::plan::{
    Draft, Next, ResolvedJob, ShardAt, StageView, find, frame_memory, joined_schema, made_shards, output, whole,
};
use crate::command::Facts;
use crate::core::Core;
use crate::jobs::Planner;
use crate::jobs::outline::{Outline, listed, read, shards};

const NO_PROGRAMS: &str = "no worker that is alive runs programs of users: start workers with --allow-programs";

/// Bytes of a partition in memory, as far as the inputs' files tell before anything ran.
const PARTITION_BYTES: u64 = 32 << 20;
const MOST_PARTITIONS: u64 = 1024;
/// How much larger rows are in memory than in a shard's file, roughly.
const IN_MEMORY: u64 = 4;
/// Maps of a global group whose rows are combined into one.
const FAN_IN: usize = 16;
/// A sample of a step with a sandbox of its own needs this much besides its rows.
const CHECK_MEMORY: u64 = 32 << 20;

impl Planner for MapReduceSpec {
    fn resolve(&mut self, core: &Core, _facts: &Facts) -> Result<(), Refusal> {
        if self.runs_programs() && !core.scheduler.workers().any(|w| w.is_alive() && w.allow_programs) {
            return Err(Refusal::Unavailable(NO_PROGRAMS.into()));
        }
        Ok(())
    }

    fn check(&self, job: &ResolvedJob) -> Result<(), Unfit> {
        Ok(check::check(self, job)?)
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let Some(check) = find(stages, MapReducePhase::Check) else { return Ok(check_stage(self, job)) };
        let checked = output(stages, check, 0)?.report::<CheckTask>()?;
        let Some(map) = find(stages, MapReducePhase::Map) else { return Ok(map_stage(self, job, &checked)) };
        few_enough_skipped(self, stages)?;
        let made = match &self.reduce {
            None => map,
            Some(step) => match find(stages, MapReducePhase::Reduce) {
                Some(reduce) => reduce,
                None => return reduce_or_combine(self, job, &checked, step, map, stages),
            },
        };
        let schemas: Vec<Option<&Schema>> =
            stages.get(made as usize).map_or_else(Vec::new, |view| view.schemas().collect());
        let schema = output_schema(&checked, &schemas);
        let mut shards = made_shards(made, stages)?;
        shards.retain(|shard| shard.entry.rows() > 0);
        // A program may find other columns in every part of its input.
        let differs = |shard: &ShardAt| match shard.shard {
            ShardRef::Made { task, .. } => schemas.get(task as usize).copied().flatten().is_some_and(|s| *s != schema),
            ShardRef::Stored(_) => false,
        };
        let each = || shards.iter().enumerate().map(|(n, shard)| (n, std::slice::from_ref(shard)));
        let differ = |(_, group): &(usize, &[ShardAt])| group.iter().any(differs);
        let shards = match find(stages, MapReducePhase::Conform) {
            Some(stage) => rewritten(each(), differ, stage, &mut 0, stages)?
                // A program that was run again wrote other rows than those that were read.
                .ok_or_else(|| Failure::internal("a step gave other rows when it was repeated: start the job again"))?,
            None => match rewrite(each().filter(differ), &schema) {
                tasks if tasks.is_empty() => shards,
                tasks => return Ok(Next::stage(MapReducePhase::Conform, tasks, Vec::new())),
            },
        };
        let rejects = stages.iter().flat_map(StageView::outputs).filter_map(|o| o.rejects.clone());
        let draft =
            Draft { name: self.output.clone(), schema, shards: shards.into_iter().map(|shard| shard.entry).collect() };
        Ok(Next::versions(draft.and_rejects(rejects)))
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        let tried = if self.combine.is_some() { "; try the combiner on a sample" } else { "" };
        outline.stage(MapReducePhase::Check, 1, format!("resolve every statement against the columns it sees{tried}"));
        let inputs: Vec<String> = self
            .inputs
            .iter()
            .zip(&job.inputs)
            .map(|(input, manifest)| match &input.map {
                None => format!("{} as they are", read(manifest)),
                Some(map) => format!("{} by {}", read(manifest), shown(map)),
            })
            .collect();
        let (keys, combined) = (listed(&self.keys), if self.combine.is_some() { ", combined" } else { "" });
        let goes = match (&self.reduce, self.keys.is_empty()) {
            (None, _) => "written in order".to_owned(),
            (Some(_), true) => format!("sent to one partition{combined}"),
            (Some(_), false) => format!("sent to partitions by the hash of {keys}{combined}"),
        };
        outline.stage(MapReducePhase::Map, shards(job), format!("map {}; the rows are {goes}", inputs.join(", ")));
        let Some(reduce) = &self.reduce else { return Some(outline) };
        if self.combine.is_some() && self.keys.is_empty() {
            outline.later(
                MapReducePhase::Combine,
                "combine the rows of several maps into fewer, again and again, until one task can take them",
            );
        }
        let by = if self.keys.is_empty() { "all rows together".to_owned() } else { format!("the rows by {keys}") };
        outline.later(MapReducePhase::Reduce, format!("reduce {by} by {}", shown(reduce)));
        match (&self.combine, reduce) {
            (Some(_), _) => outline.note("the combiner runs over the rows of every map before the shuffle"),
            (None, Step::Sql(_)) => outline.note("no combiner: all rows of the maps are shuffled"),
            (None, Step::Program(_)) => {}
        }
        Some(outline)
    }
}

/// What the output's columns are: known before, or what its tasks made together.
fn output_schema(checked: &Checked, schemas: &[Option<&Schema>]) -> Schema {
    let made = joined_schema(schemas.iter().copied().flatten());
    let schema = if made.is_empty() { checked.output.clone().unwrap_or_default() } else { made };
    if schema.is_empty() {
        // A program that found nothing to say of columns that only it knows.
        return Schema::new(vec![Field::new("line", DataType::String)]);
    }
    schema.published()
}

fn few_enough_skipped(spec: &MapReduceSpec, stages: &[StageView<'_>]) -> Result<(), Failure> {
    let skipped: u64 = stages.iter().flat_map(StageView::outputs).map(|o| o.counters.get(&Counter::Skipped)).sum();
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
        spec: Shared::new(spec.clone()),
        schemas: Shared::new(job.inputs.iter().map(|m| m.schema.clone()).collect()),
        samples: Shared::new(shards.iter().map(|shard| Some(shard.as_ref()?.input(0))).collect()),
    };
    let spec = TaskSpec {
        kind: task.into(),
        reads: Vec::new(),
        objects: entries.iter().flat_map(|e| e.objects().map(|o| o.id)).collect(),
        memory: entries.iter().map(|e| frame_memory(e.object.bytes)).max().unwrap_or(0) + CHECK_MEMORY,
    };
    Next::stage(MapReducePhase::Check, vec![spec], Vec::new())
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
    let (output, work) = (Shared::new(output), Shared::new(spec.work.clone()));
    let mut tasks = Vec::new();
    for (n, (input, manifest)) in spec.inputs.iter().zip(&job.inputs).enumerate() {
        let (schema, step) = (Shared::new(manifest.schema.clone()), input.map.clone().map(Shared::new));
        let produces = checked.maps.get(n).cloned().flatten().map(Shared::new);
        let mut first_row = 0;
        for (ordinal, entry) in manifest.shards.iter().enumerate() {
            let shard = ShardAt::stored(entry);
            let task = MapTask {
                input: shard.input(ordinal),
                schema: schema.clone(),
                step: step.clone(),
                output: output.clone(),
                produces: produces.clone(),
                work: work.clone(),
                source_name: manifest.reference().to_string(),
                first_row,
            };
            first_row += entry.rows();
            let mut task = shard.task(task, Vec::new());
            task.objects.extend(spec.work.files.iter().map(|f| f.object.id));
            tasks.push(task);
        }
    }
    Next::stage(MapReducePhase::Map, tasks, Vec::new())
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
        let last = find(stages, MapReducePhase::Combine).map_or(runs[0], |stage| whole(stages, stage));
        if (last.to - last.from) as usize > FAN_IN {
            return combine_stage(statement, schema, last, stages);
        }
        return reduce_stage(spec, step, produces, &sides, &[last], stages);
    }
    reduce_stage(spec, step, produces, &sides, &runs, stages)
}

/// What a step runs, short enough for a line.
fn shown(step: &Step) -> String {
    const SHOWN: usize = 60;
    let (what, text) = match step {
        Step::Sql(statement) => ("SQL", statement.split_whitespace().collect::<Vec<_>>().join(" ")),
        Step::Program(program) => ("the program", program.command.clone()),
    };
    let cut: String = text.chars().take(SHOWN).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{what} `{cut}{dots}`")
}

#[cfg(test)]
mod tests;
