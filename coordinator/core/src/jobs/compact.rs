//! Compaction: groups of small neighbouring shards are written as one each; larger shards stay as they are. A kind of job, and
//! the end of any other that wrote many small ones.

use std::collections::{BTreeMap, BTreeSet};

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
        match compact_stages(&stored(job), &input.schema, &BTreeSet::new(), stages)? {
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
        let (shards, stages) = (stored(job), &stages());
        let done = find(stages, CompactPhase::Compact)
            .and_then(|stage| compacted(&shards, is_several, stage, &mut 0, stages).ok());
        // As planned, until it is known.
        let shards_out = done.flatten().map_or_else(|| ends_of(&shards).len(), |shards| shards.len()) as u64;
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

/// The stage that compacts these shards; in the end the shards that there are. Those with these objects are written anew whether
/// or not there are others to put them together with.
pub fn compact_stages(
    shards: &[ShardAt],
    schema: &Schema,
    anew: &BTreeSet<ObjectId>,
    stages: &[StageView<'_>],
) -> Result<Progress, Failure> {
    let is = |group: &Group<'_>| is_several(group) || group.1.iter().any(|at| anew.contains(&at.entry.object.id));
    let Some(stage) = find(stages, CompactPhase::Compact) else {
        let tasks = compact_tasks(shards, is, schema);
        if tasks.is_empty() {
            return Ok(Progress::Finished(shards.to_vec()));
        }
        return Ok(Progress::Next(Next::stage(CompactPhase::Compact, tasks, Vec::new())));
    };
    let compacted = compacted(shards, is, stage, &mut 0, stages)?;
    Ok(Progress::Finished(compacted.unwrap_or_else(|| shards.to_vec())))
}

/// Neighbouring shards, and the number of the first.
type Group<'a> = (usize, &'a [ShardAt]);

fn is_several((_, group): &Group<'_>) -> bool {
    group.len() > 1
}

/// A task for each group that is written anew.
fn compact_tasks(shards: &[ShardAt], is: impl Fn(&Group<'_>) -> bool, schema: &Schema) -> Vec<TaskSpec> {
    rewrite(each_group(shards, &ends_of(shards)).filter(is), schema)
}

/// A task for each of these groups, which writes its rows anew, in this schema.
pub fn rewrite<'a>(groups: impl Iterator<Item = Group<'a>>, schema: &Schema) -> Vec<TaskSpec> {
    let schema = Shared::new(schema.clone());
    let task = |(first, group): Group<'a>| {
        task_of(group, CompactTask { inputs: inputs_of(first, group), schema: schema.clone() }, Vec::new())
    };
    groups.map(task).collect()
}

/// What these shards have become by the tasks of `stage` from `next` on; see [`rewritten`].
fn compacted(
    shards: &[ShardAt],
    is: impl Fn(&Group<'_>) -> bool,
    stage: u32,
    next: &mut u32,
    stages: &[StageView<'_>],
) -> Result<Option<Vec<ShardAt>>, Failure> {
    rewritten(each_group(shards, &ends_of(shards)), is, stage, next, stages)
}

/// What these groups have become: those of which `is` says so were written anew by the tasks of `stage` from `next` on. `None`
/// where these are not the shards that the tasks were planned for, or not their rows: a task that was run again may have left
/// others.
pub fn rewritten<'a>(
    groups: impl Iterator<Item = Group<'a>>,
    is: impl Fn(&Group<'a>) -> bool,
    stage: u32,
    next: &mut u32,
    stages: &[StageView<'_>],
) -> Result<Option<Vec<ShardAt>>, Failure> {
    let tasks = stages.get(stage as usize).map_or(&[][..], |view| &view.tasks);
    let mut kept = Vec::new();
    for (first, group) in groups {
        if !is(&(first, group)) {
            kept.extend_from_slice(group);
            continue;
        }
        let task = *next;
        *next += 1;
        let Some((TaskKind::Compact(planned), _)) = tasks.get(task as usize) else { return Ok(None) };
        let made: Vec<ShardAt> = ShardAt::all_made(stage, task, output(stages, stage, task)?).collect();
        if planned.inputs != inputs_of(first, group) || rows_of(&made) != rows_of(group) {
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
    let scattered: Vec<Option<Vec<ShardAt>>> = publication.drafts.iter().map(|draft| made.scattered(draft)).collect();
    let Some(stage) = find(stages, CompactPhase::Outputs) else {
        let each = publication.drafts.iter().zip(&scattered);
        let planned =
            each.filter_map(|(draft, shards)| Some(compact_tasks(shards.as_ref()?, is_several, &draft.schema)));
        let planned: Vec<TaskSpec> = planned.flatten().collect();
        return Ok(match planned.is_empty() {
            true => Next::Publish(publication),
            false => Next::stage(CompactPhase::Outputs, planned, Vec::new()),
        });
    };
    let (mut next, mut done) = (0, Vec::new());
    for shards in scattered {
        let Some(shards) = shards else {
            done.push(None);
            continue;
        };
        // What was written small is published as it is: no row depends on what was planned for others.
        let Some(shards) = compacted(&shards, is_several, stage, &mut next, stages)? else {
            return Ok(Next::Publish(publication));
        };
        done.push(Some(shards));
    }
    for (draft, shards) in publication.drafts.iter_mut().zip(done) {
        if let Some(shards) = shards {
            draft.shards = shards.into_iter().map(|shard| shard.entry).collect();
        }
    }
    Ok(Next::Publish(publication))
}

/// The shards that the tasks of a job left, each with whether it is new: neither a copy nor a shard that only lost rows.
struct Made(BTreeMap<ShardIdentity, (ShardAt, bool)>);

impl Made {
    fn by(stages: &[StageView<'_>]) -> Self {
        let mut shards = BTreeMap::new();
        for (stage, view) in (0u32..).zip(stages) {
            for (task, (_, output)) in (0u32..).zip(&view.tasks) {
                let Some(output) = output else { continue };
                for shard in ShardAt::all_made(stage, task, output) {
                    let is_new = output.wrote.iter().any(|wrote| wrote.id == shard.entry.object.id);
                    shards.insert(shard.entry.identity(), (shard, is_new));
                }
            }
        }
        Self(shards)
    }

    /// Where the shards of a draft are, if there are many small new ones among them.
    fn scattered(&self, draft: &Draft) -> Option<Vec<ShardAt>> {
        let find = |entry: &ShardEntry| match self.0.get(&entry.identity()) {
            Some((shard, is_new)) => (shard.clone(), *is_new),
            None => (ShardAt::stored(entry), false),
        };
        let found: Vec<(ShardAt, bool)> = draft.shards.iter().map(find).collect();
        let written = found.iter().filter(|(_, is_new)| *is_new).count();
        let shards: Vec<ShardAt> = found.into_iter().map(|(shard, _)| shard).collect();
        (written >= MANY_SHARDS && has_times_too_many(&shards, OUTPUTS_WORTH_IT)).then_some(shards)
    }
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
