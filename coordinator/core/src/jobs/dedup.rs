//! Deduplication: hash every row where it lies, find duplicates among the hashes, drop the losers by deletion vectors.

use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::{
    DedupPhase, DedupSpec, DropTask, DuplicatesTask, HashColumn, HashPlan, HashTask, Keep,
};
use shardmill_common::phase::Phase;
use shardmill_common::schema::Schema;
use shardmill_common::shared::Shared;
use shardmill_common::task::{TaskRange, TaskSpec};
use shardmill_common::unfit::{Role, Unfit};

use super::plan::{
    Draft, Next, READ_AHEAD, ResolvedJob, ShardAt, StageView, coalesce, each_group, find, groups_of, groups_read,
    inputs_of, output, outputs, partition_sums, partitions_for, reduce_target, rows_of, task_of, whole,
};
use crate::jobs::Planner;
use crate::jobs::outline::{Outline, groups, listed, number, read_all};

impl Planner for DedupSpec {
    fn check(&self, job: &ResolvedJob) -> Result<(), Unfit> {
        let input = job.input()?;
        check_keys(self.options.keys.as_deref(), &input.schema, &input.reference().to_string())
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let input = job.input()?;
        let shards: Vec<ShardAt> = input.shards.iter().map(ShardAt::stored).collect();
        let Some(hash_stage) = find(stages, DedupPhase::Hash) else {
            return Ok(hash_stage(&shards, &input.schema, self.options.keys.as_deref(), Vec::new()));
        };
        let hash = whole(stages, hash_stage);
        let hashes: Vec<(u32, u32)> = hash.tasks().collect();
        match drop_duplicates(&shards, &groups_read(stages, hash), &hashes, &input.schema, self.options.keep, stages)? {
            Progress::Next(next) => Ok(next),
            Progress::Finished(shards) => {
                let shards = shards.into_iter().map(|s| s.entry).filter(|e| e.rows() > 0).collect();
                Ok(Next::versions(vec![Draft { name: self.output.clone(), schema: input.schema.clone(), shards }]))
            }
        }
    }

    /// `rows_in` from the hash stage, `duplicates` from the find stage, `rows_out` what is between.
    /// From the counters of all tasks together.
    fn counters<'a>(&self, _job: &ResolvedJob, sum: Counters, _stages: &dyn Fn() -> Vec<StageView<'a>>) -> Counters {
        let mut counters = Counters::default();
        counters.add(Counter::RowsIn, sum.get(&Counter::RowsIn));
        counters.add(Counter::Duplicates, sum.get(&Counter::Duplicates));
        counters.add(Counter::RowsOut, sum.get(&Counter::RowsIn).saturating_sub(sum.get(&Counter::Duplicates)));
        counters
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        let rows = job.inputs.iter().map(|m| m.rows()).sum();
        let by = match &self.options.keys {
            None => "whole rows".to_owned(),
            Some(keys) => format!("the columns {}", listed(keys)),
        };
        outline.stage(
            DedupPhase::Hash,
            groups(job),
            format!(
                "hash {by} of {}; hashes and positions go to {}",
                read_all(job),
                number(partitions_for(rows) as usize, "partition")
            ),
        );
        let keep = match self.options.keep {
            Keep::First => "but the first",
            Keep::Last => "but the last",
            Keep::None => "and keep none of them",
        };
        outline.later(DedupPhase::Find, format!("find rows with equal hashes, all {keep}"));
        outline.later(
            DedupPhase::Drop,
            "mark them as dropped in the shards that have any; the other shards stay as they are",
        );
        Some(outline)
    }
}

/// Keys must be columns, named once.
pub fn check_keys(keys: Option<&[String]>, schema: &Schema, what: &str) -> Result<(), Unfit> {
    let Some(keys) = keys else { return Ok(()) };
    if keys.is_empty() {
        return Err(Unfit::NoneNamed(Role::Key));
    }
    for (n, key) in keys.iter().enumerate() {
        if schema.get(key).is_none() {
            return Err(Unfit::no_column(what, schema, key, Role::Key));
        }
        if keys[..n].contains(key) {
            return Err(Unfit::Twice { column: key.clone(), role: Role::Key });
        }
    }
    Ok(())
}

/// The columns that tell rows apart, with the types they have in the whole dataset.
pub fn hash_columns(keys: Option<&[String]>, schema: &Schema) -> Vec<HashColumn> {
    let of = |name: &str| HashColumn { name: name.to_owned(), dtype: schema.get(name).map(|f| f.dtype) };
    match keys {
        Some(keys) => keys.iter().map(|k| of(k)).collect(),
        None => schema.names().map(of).collect(),
    }
}

/// A stage that hashes these shards.
pub fn hash_stage(shards: &[ShardAt], schema: &Schema, keys: Option<&[String]>, keeps: Vec<u32>) -> Next {
    let rows = rows_of(shards);
    let plan =
        HashPlan { columns: Some(hash_columns(keys, schema)), with_row_hash: false, partitions: partitions_for(rows) };
    Next::stage(DedupPhase::Hash, hash_tasks(shards, schema, &plan, None), keeps)
}

/// The tasks that hash these shards.
pub fn hash_tasks(shards: &[ShardAt], schema: &Schema, plan: &HashPlan, nulls_apart: Option<u32>) -> Vec<TaskSpec> {
    let ends = groups_of(shards);
    let (schema, plan) = (Shared::new(schema.clone()), Shared::new(plan.clone()));
    let task = |(number, (first, group)): (u32, (usize, &[ShardAt]))| {
        let (inputs, schema, plan) = (inputs_of(first, group), schema.clone(), plan.clone());
        task_of(group, HashTask { inputs, group: number, schema, plan, nulls_apart }, Vec::new())
    };
    (0u32..).zip(each_group(shards, &ends)).map(task).collect()
}

/// How far the dropping of duplicates has come.
pub enum Progress {
    Next(Next),
    Finished(Vec<ShardAt>),
}

/// The stages after hashing: `hashes` are the tasks that hashed `shards`, one for each of the groups that end at `ends`.
pub fn drop_duplicates(
    shards: &[ShardAt],
    ends: &[u32],
    hashes: &[(u32, u32)],
    schema: &Schema,
    keep: Keep,
    stages: &[StageView<'_>],
) -> Result<Progress, Failure> {
    let Some(found) = find(stages, DedupPhase::Find) else {
        return Ok(Progress::Next(find_stage(hashes, keep, stages)?));
    };
    drop_rows(DedupPhase::Drop, shards, ends, schema, whole(stages, found), stages)
}

/// The stage of this phase, which drops the rows that `found` put out, a partition for each group of shards. Shards that lose nothing
/// stay as they are, and those that lose everything are left out.
pub fn drop_rows(
    phase: impl Phase,
    shards: &[ShardAt],
    ends: &[u32],
    schema: &Schema,
    found: TaskRange,
    stages: &[StageView<'_>],
) -> Result<Progress, Failure> {
    let dropped = partition_sums(outputs(stages, found)?, ends.len(), |size| size.rows);
    // Of each group: what is dropped, and its shards.
    let groups: Vec<(u64, usize, &[ShardAt])> =
        dropped.into_iter().zip(each_group(shards, ends)).map(|(n, (first, group))| (n, first, group)).collect();
    let is_touched = |(dropped, _, group): &(u64, usize, &[ShardAt])| *dropped > 0 && *dropped < rows_of(group);
    let stage = find(stages, phase);
    if stage.is_none() && groups.iter().any(is_touched) {
        let schema = Shared::new(schema.clone());
        let tasks = (0u32..).zip(&groups).filter(|(_, group)| is_touched(group)).map(|(n, (_, first, group))| {
            let (inputs, schema) = (inputs_of(*first, group), schema.clone());
            task_of(group, DropTask { inputs, schema, found, partition: n }, vec![found])
        });
        return Ok(Progress::Next(Next::stage(phase, tasks.collect(), vec![found.stage])));
    }
    let mut kept: Vec<ShardAt> = Vec::new();
    let mut task = 0;
    for group in &groups {
        if let Some(stage) = stage.filter(|_| is_touched(group)) {
            kept.extend(ShardAt::all_made(stage, task, output(stages, stage, task)?));
            task += 1;
        } else if group.0 == 0 {
            kept.extend(group.2.iter().cloned());
        }
    }
    Ok(Progress::Finished(kept))
}

fn find_stage(hashes: &[(u32, u32)], keep: Keep, stages: &[StageView<'_>]) -> Result<Next, Failure> {
    let outputs: Vec<_> = hashes.iter().map(|(s, t)| output(stages, *s, *t)).collect::<Result<_, _>>()?;
    let partitions = outputs.first().and_then(|o| o.shuffle.as_ref()).map_or(1, Vec::len) as u32;
    let total: u64 = outputs.iter().flat_map(|o| o.shuffle.iter().flatten()).map(|p| p.rows).sum();
    let ranges = TaskRange::gather(hashes.iter().copied());
    let hashed = Shared::new(ranges.clone());
    let tasks = coalesce(outputs.into_iter(), partitions, reduce_target(total))
        .into_iter()
        .map(|(from, to, rows)| TaskSpec {
            kind: DuplicatesTask { hashes: hashed.clone(), partitions: (from, to), keep }.into(),
            reads: ranges.clone(),
            objects: Vec::new(),
            memory: rows * 80 + READ_AHEAD,
        })
        .collect();
    let mut keeps: Vec<u32> = hashes.iter().map(|(s, _)| *s).collect();
    keeps.dedup();
    Ok(Next::stage(DedupPhase::Find, tasks, keeps))
}
