//! Compaction: groups of small neighbouring shards are written as one each; larger shards stay as they are.

use shardmill_common::counters::Counters;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::compact::{CompactPhase, CompactSpec, CompactTask};
use shardmill_common::schema::Schema;
use shardmill_common::shared::Shared;
use shardmill_common::units::show_bytes;

use super::Planner;
use super::dedup::Progress;
use super::outline::{Outline, number, read_all};
use super::plan::{
    Draft, Next, Publication, ResolvedJob, ShardAt, StageView, each_group, find, groups_up_to, inputs_of, output,
    task_of,
};

/// Neighbours are written together up to so many bytes.
const COMPACT_BYTES: u64 = 8 << 20;
/// A dataset that is added to is compacted if it has so many shards ...
const MANY_SHARDS: usize = 64;
/// ... and would have this many times fewer.
const WORTH_IT: usize = 4;

impl Planner for CompactSpec {
    fn check(&self, _job: &ResolvedJob) -> Result<(), String> {
        Ok(())
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let input = job.inputs.first().ok_or_else(|| Failure::internal("the input is missing"))?;
        match compact_stages(&stored(job), &input.schema, stages)? {
            Progress::Next(next) => Ok(next),
            Progress::Finished(shards) => {
                let shards = shards.into_iter().map(|s| s.entry).collect();
                let draft = Draft { name: self.output.clone(), schema: input.schema.clone(), shards };
                Ok(Next::publish(Publication { drafts: vec![draft], ..Default::default() }))
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

    /// `rows_in` and `rows_out`, which are the same, and how many shards there were and are.
    fn counters<'a>(&self, job: &ResolvedJob, _sum: Counters, _stages: &dyn Fn() -> Vec<StageView<'a>>) -> Counters {
        let rows = job.inputs.iter().map(|m| m.rows()).sum();
        let shards = job.inputs.iter().map(|m| m.shards.len() as u64).sum();
        let mut counters = Counters::default();
        counters.add("rows_in", rows);
        counters.add("rows_out", rows);
        counters.add("shards_in", shards);
        counters.add("shards_out", ends_of(&stored(job)).len() as u64);
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
    shards.len() >= MANY_SHARDS && ends_of(shards).len() * WORTH_IT <= shards.len()
}

/// The stage that compacts these shards; in the end the shards that there are.
pub fn compact_stages(shards: &[ShardAt], schema: &Schema, stages: &[StageView<'_>]) -> Result<Progress, Failure> {
    let ends = ends_of(shards);
    let several = |(_, group): &(usize, &[ShardAt])| group.len() > 1;
    let Some(stage) = find(stages, CompactPhase::Compact) else {
        let schema = Shared::new(schema.clone());
        let task = |(first, group): (usize, &[ShardAt])| {
            task_of(group, CompactTask { inputs: inputs_of(first, group), schema: schema.clone() }, Vec::new())
        };
        let tasks = each_group(shards, &ends).filter(several).map(task).collect::<Vec<_>>();
        if tasks.is_empty() {
            return Ok(Progress::Finished(shards.to_vec()));
        }
        return Ok(Progress::Next(Next::stage(CompactPhase::Compact, tasks, Vec::new())));
    };
    let (mut kept, mut task) = (Vec::with_capacity(ends.len()), 0);
    for group in each_group(shards, &ends) {
        if several(&group) {
            kept.extend(ShardAt::all_made(stage, task, output(stages, stage, task)?));
            task += 1;
        } else {
            kept.extend(group.1.iter().cloned());
        }
    }
    Ok(Progress::Finished(kept))
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
