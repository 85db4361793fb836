//! Compaction: groups of small neighbouring shards are written as one each; larger shards stay as they are. A kind of job, and
//! the end of any other that wrote many small ones.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeFrom;

use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::Failure;
use shardmill_common::ids::ObjectId;
use shardmill_common::kinds::compact::{CompactPhase, CompactSpec, CompactTask};
use shardmill_common::manifest::{ShardEntry, ShardIdentity};
use shardmill_common::schema::Schema;
use shardmill_common::shared::Shared;
use shardmill_common::task::{TaskKind, TaskSpec};
use shardmill_common::units::show_bytes;

use super::Planner;
use super::dedup::Progress;
use super::outline::{Outline, number, read_all};
use super::plan::{
    Draft, Next, Publication, ResolvedJob, ShardAt, StageView, each_group, find, groups_up_to, inputs_of, output,
    rows_of, task_of,
};

/// Neighbours are written together up to so many bytes.
const COMPACT_BYTES: u64 = 8 << 20;
/// A dataset that is added to is compacted if it has so many shards ...
const MANY_SHARDS: usize = 64;
/// ... and would have this many times fewer.
const WORTH_IT: usize = 4;
/// What a job has just written is written once more only where its shards are smaller than what tasks read together anyway.
const OUTPUTS_WORTH_IT: usize = 16;

impl Planner for CompactSpec {
    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let input = job.input()?;
        match compact_stages(&stored(job), &input.schema, stages)? {
            Progress::Next(next) => Ok(next),
            Progress::Finished(shards) => {
                let shards = shards.into_iter().map(|s| s.entry).collect();
                let draft = Draft { name: self.output.clone(), schema: input.schema.clone(), shards };
                Ok(Next::versions(vec![draft]))
            }
        }
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        let shards = stored(job);
        let ends = ends_of(&shards);
        let tasks = each_group(&shards, &ends).filter(|(_, group)| group.len() > 1).count();
        let most = show_bytes(COMPACT_BYTES);
        let does = format!("write small neighbouring shards of {} as one, up to {most} each", read_all(job));
        outline.stage(CompactPhase::Compact, tasks, does);
        outline.note(format!("{} become {}", number(shards.len(), "shard"), ends.len()));
        Some(outline)
    }

    fn compacts(&self) -> bool {
        false
    }

    /// `rows_in` and `rows_out`, which are the same, and how many shards there were and are.
    fn counters<'a>(&self, job: &ResolvedJob, _sum: Counters, stages: &dyn Fn() -> Vec<StageView<'a>>) -> Counters {
        let (shards, schema) = (stored(job), job.inputs.first().map(|input| &input.schema));
        let done = schema.and_then(|schema| compact_stages(&shards, schema, &stages()).ok());
        let shards_out = match done {
            Some(Progress::Finished(shards)) => shards.len() as u64,
            Some(Progress::Next(_)) | None => ends_of(&shards).len() as u64,
        };
        let rows = job.inputs.iter().map(|m| m.rows()).sum();
        let shards = job.inputs.iter().map(|m| m.shards.len() as u64).sum();
        let mut counters = Counters::default();
        counters.add(Counter::RowsIn, rows);
        counters.add(Counter::RowsOut, rows);
        counters.add(Counter::ShardsIn, shards);
        counters.add(Counter::ShardsOut, shards_out);
        counters
    }
}

/// The input's shards that have rows.
fn stored(job: &ResolvedJob) -> Vec<ShardAt> {
    job.inputs.iter().flat_map(|m| &m.shards).filter(|entry| entry.rows() > 0).map(ShardAt::stored).collect()
}

fn ends_of(shards: &[ShardAt]) -> Vec<u32> {
    groups_up_to(shards, COMPACT_BYTES)
}

/// Whether there are so many small ones among these shards that whoever adds to them had better compact them.
pub fn is_worth_it(shards: &[ShardAt]) -> bool {
    has_times_too_many(shards, WORTH_IT)
}

fn has_times_too_many(shards: &[ShardAt], times: usize) -> bool {
    shards.len() >= MANY_SHARDS && ends_of(shards).len() * times <= shards.len()
}

/// The stage that compacts these shards; in the end the shards that there are.
pub fn compact_stages(shards: &[ShardAt], schema: &Schema, stages: &[StageView<'_>]) -> Result<Progress, Failure> {
    let Some(stage) = find(stages, CompactPhase::Compact) else {
        let tasks = compact_tasks(shards, schema);
        if tasks.is_empty() {
            return Ok(Progress::Finished(shards.to_vec()));
        }
        return Ok(Progress::Next(Next::stage(CompactPhase::Compact, tasks, Vec::new())));
    };
    let compacted = compacted(shards, stage, &mut (0..), stages)?;
    Ok(Progress::Finished(compacted.unwrap_or_else(|| shards.to_vec())))
}

fn is_several((_, group): &(usize, &[ShardAt])) -> bool {
    group.len() > 1
}

/// A task for each group of several.
fn compact_tasks(shards: &[ShardAt], schema: &Schema) -> Vec<TaskSpec> {
    let (ends, schema) = (ends_of(shards), Shared::new(schema.clone()));
    let task = |(first, group): (usize, &[ShardAt])| {
        task_of(group, CompactTask { inputs: inputs_of(first, group), schema: schema.clone() }, Vec::new())
    };
    each_group(shards, &ends).filter(is_several).map(task).collect()
}

/// What these shards have become by the next of the tasks of `stage`. `None` where these are not the shards that its tasks were
/// planned for: a task that was run again may have left others.
fn compacted(
    shards: &[ShardAt],
    stage: u32,
    tasks: &mut RangeFrom<u32>,
    stages: &[StageView<'_>],
) -> Result<Option<Vec<ShardAt>>, Failure> {
    let ends = ends_of(shards);
    let mut kept = Vec::with_capacity(ends.len());
    for (first, group) in each_group(shards, &ends) {
        let Some(task) = is_several(&(first, group)).then(|| tasks.next()).flatten() else {
            kept.extend(group.iter().cloned());
            continue;
        };
        let planned = stages.get(stage as usize).and_then(|view| view.tasks.get(task as usize));
        let fits = |kind: &TaskKind| matches!(kind, TaskKind::Compact(task) if task.inputs == inputs_of(first, group));
        if !planned.is_some_and(|(kind, _)| fits(kind)) {
            return Ok(None);
        }
        let made: Vec<ShardAt> = ShardAt::all_made(stage, task, output(stages, stage, task)?).collect();
        if rows_of(&made) != rows_of(group) {
            return Ok(None);
        }
        kept.extend(made);
    }
    Ok(Some(kept))
}

/// Puts together what a job wrote as many small shards, before it is published: a filter that leaves little of each shard, a map
/// over small ones.
pub fn compacts_first(mut publication: Box<Publication>, stages: &[StageView<'_>]) -> Result<Next, Failure> {
    if publication.drafts.iter().all(|draft| draft.shards.len() < MANY_SHARDS) {
        return Ok(Next::Publish(publication));
    }
    let made = Made::by(stages);
    let stage = find(stages, CompactPhase::Outputs);
    let (mut planned, mut done, mut compact) = (Vec::new(), 0.., Vec::new());
    for draft in &publication.drafts {
        let shards: Vec<ShardAt> = draft.shards.iter().map(|entry| made.find(entry)).collect();
        let written = shards.iter().filter(|shard| made.wrote.contains(&shard.entry.object.id)).count();
        let mut entries = draft.shards.clone();
        if written >= MANY_SHARDS && has_times_too_many(&shards, OUTPUTS_WORTH_IT) {
            match stage {
                None => planned.extend(compact_tasks(&shards, &draft.schema)),
                Some(stage) => match compacted(&shards, stage, &mut done, stages)? {
                    Some(shards) => entries = shards.into_iter().map(|shard| shard.entry).collect(),
                    // What was written small is published as it is: no row depends on what was planned for others.
                    None => return Ok(Next::Publish(publication)),
                },
            }
        }
        compact.push(entries);
    }
    if !planned.is_empty() {
        return Ok(Next::stage(CompactPhase::Outputs, planned, Vec::new()));
    }
    for (draft, shards) in publication.drafts.iter_mut().zip(compact) {
        draft.shards = shards;
    }
    Ok(Next::Publish(publication))
}

/// What the tasks of a job left.
struct Made {
    shards: BTreeMap<ShardIdentity, ShardAt>,
    /// Those objects of them that are new, and neither copies nor shards that only lost rows.
    wrote: BTreeSet<ObjectId>,
}

impl Made {
    fn by(stages: &[StageView<'_>]) -> Self {
        let mut made = Self { shards: BTreeMap::new(), wrote: BTreeSet::new() };
        for (stage, view) in (0u32..).zip(stages) {
            for (task, (_, output)) in (0u32..).zip(&view.tasks) {
                let Some(output) = output else { continue };
                for shard in ShardAt::all_made(stage, task, output) {
                    let object = shard.entry.object.id;
                    made.wrote.extend(output.wrote.iter().map(|wrote| wrote.id).filter(|wrote| *wrote == object));
                    made.shards.insert(shard.entry.identity(), shard);
                }
            }
        }
        made
    }

    /// Where a shard that is to be published is.
    fn find(&self, entry: &ShardEntry) -> ShardAt {
        self.shards.get(&entry.identity()).cloned().unwrap_or_else(|| ShardAt::stored(entry))
    }
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
