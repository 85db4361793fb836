//! Two datasets meet by the hashes of their keys: what a comparison and a shuffled join share.
//!
//! Hashes and positions are matched first; only columns of the other side that the result shows are then sent, to where the
//! driving side's rows lie, and merged rows are written there in the driving side's order.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::compare::{
    DeliverTask, EmitTask, How, MatchTask, Matching, MergedColumn, PairsPhase, Validate,
};
use shardmill_common::kinds::dedup::{HashColumn, HashPlan};
use shardmill_common::manifest::{Manifest, ShardEntry};
use shardmill_common::schema::DataType;
use shardmill_common::shared::Shared;
use shardmill_common::task::{TaskRange, TaskSpec};
use shardmill_common::unfit::{Role, TypedColumn, Unfit};

use super::dedup::{self, drop_rows, hash_tasks};
use super::plan::{
    Next, READ_AHEAD, ShardAt, StageView, coalesce, each_group, find, groups_read, inputs_of, made_shards, outputs,
    partition_sums, partitions_for, reduce_target, rows_of, task_of, whole,
};
use crate::jobs::outline::{Outline, groups, groups_in, listed, number, read_all};
use crate::jobs::plan::ResolvedJob;

/// Two sides and what becomes of their pairs.
pub struct Pairs<'a> {
    pub left: &'a Manifest,
    pub right: &'a Manifest,
    /// In the types they are compared in, one for one.
    pub left_keys: Vec<HashColumn>,
    pub right_keys: Vec<HashColumn>,
    pub columns: Vec<MergedColumn>,
    /// Columns of the other side that must travel.
    pub payload: Vec<String>,
    pub driver_is_left: bool,
    pub matching: Matching,
    pub how: How,
    pub validate: Validate,
    /// In a comparison: not every column of the right side is a key, so rows are told apart by hashes of their own.
    pub right_has_row_hash: bool,
    /// Rows without a value in a key match each other.
    pub nulls_equal: bool,
    /// Report differing cells instead of merged rows: this many key columns come first.
    pub changes: Option<u32>,
    /// Add the column `_merge`.
    pub indicator: bool,
}

/// The shards of a side, in the groups that end there.
#[derive(Clone, Copy)]
struct Side<'a> {
    shards: &'a [ShardAt],
    ends: &'a [u32],
}

/// How far it has come.
pub enum Progress {
    Next(Next),
    /// The shards of the result, in order.
    Finished(Vec<ShardEntry>),
}

/// Where a column of the left side and one of the right are a key, the types both are brought to.
pub fn key_columns(
    on: &[(String, String)],
    left: &Manifest,
    right: &Manifest,
    numbers_match_text: bool,
) -> Result<(Vec<HashColumn>, Vec<HashColumn>), Unfit> {
    let mut keys = (Vec::new(), Vec::new());
    for (n, (a, b)) in on.iter().enumerate() {
        if on[..n].contains(&(a.clone(), b.clone())) {
            return Err(Unfit::Twice { column: shown(a, b), role: Role::Key });
        }
        let of = |name: &String, side: &Manifest| {
            let field = side.schema.get(name);
            field
                .map(|f| TypedColumn { of: side.reference().to_string(), column: name.clone(), dtype: f.dtype })
                .ok_or_else(|| Unfit::no_column(side.reference(), &side.schema, name, Role::Key))
        };
        let (ours, theirs) = (of(a, left)?, of(b, right)?);
        let (a_type, b_type) = (ours.dtype, theirs.dtype);
        let common = a_type.join(b_type);
        // Numbers meet numbers and dates meet instants; anything else that had to become text would match by accident.
        let by_text = numbers_match_text && (a_type == DataType::Int64 || b_type == DataType::Int64);
        let of_text = a_type == DataType::String || b_type == DataType::String;
        if common == DataType::String && a_type != b_type && !(by_text && of_text) {
            return Err(Unfit::KeyTypes { left: ours, right: theirs });
        }
        keys.0.push(HashColumn { name: a.clone(), dtype: Some(common) });
        keys.1.push(HashColumn { name: b.clone(), dtype: Some(common) });
    }
    Ok(keys)
}

fn shown(left: &str, right: &str) -> String {
    if left == right { left.to_owned() } else { format!("{left}={right}") }
}

/// Refuses a result in which two columns would have one name.
pub fn check_names(columns: &[MergedColumn], suffixes: &(String, String)) -> Result<(), Unfit> {
    for (n, column) in columns.iter().enumerate() {
        if columns[..n].iter().any(|c| c.name == column.name) {
            let (left, right) = suffixes.clone();
            return Err(Unfit::Suffixes { column: column.name.clone(), left, right });
        }
    }
    Ok(())
}

impl Pairs<'_> {
    fn rows(&self) -> u64 {
        self.left.rows() + self.right.rows()
    }

    pub fn partitions(&self) -> u32 {
        partitions_for(self.rows())
    }

    /// The next stage, or the shards that came out.
    pub fn next(&self, stages: &[StageView<'_>]) -> Result<Progress, Failure> {
        let left: Vec<ShardAt> = self.left.shards.iter().map(ShardAt::stored).collect();
        let right: Vec<ShardAt> = self.right.shards.iter().map(ShardAt::stored).collect();
        let Some(hash) = find(stages, PairsPhase::Hash) else {
            return Ok(Progress::Next(self.hash_stage(&left, &right)));
        };
        let (left_ends, right_ends) = sides_read(left.len() as u32, stages, whole(stages, hash));
        let (l, r) = (left_ends.len() as u32, right_ends.len() as u32);
        let left_hashes = TaskRange { stage: hash, from: 0, to: l };
        let right_hashes = TaskRange { stage: hash, from: l, to: l + r };
        let Some(matching) = find(stages, PairsPhase::Match) else {
            let first_rows = (first_rows(&left, &left_ends), first_rows(&right, &right_ends));
            return self.match_stage((left_hashes, right_hashes), first_rows, stages).map(Progress::Next);
        };
        let matches = whole(stages, matching);
        if matches!(self.matching, Matching::Semi | Matching::Anti) {
            return Ok(match drop_rows(PairsPhase::Drop, &left, &left_ends, &self.left.schema, matches, stages)? {
                dedup::Progress::Next(next) => Progress::Next(next),
                dedup::Progress::Finished(kept) => {
                    Progress::Finished(kept.into_iter().map(|s| s.entry).filter(|s| s.rows() > 0).collect())
                }
            });
        }
        let (left, right) = (Side { shards: &left, ends: &left_ends }, Side { shards: &right, ends: &right_ends });
        let (driver, other) = if self.driver_is_left { (left, right) } else { (right, left) };
        let mut delivered = None;
        if !self.payload.is_empty() {
            let Some(deliver) = find(stages, PairsPhase::Deliver) else {
                return Ok(Progress::Next(self.deliver_stage(driver.ends.len(), other, matches)));
            };
            delivered = Some(whole(stages, deliver));
        }
        let Some(merge) = find(stages, PairsPhase::Merge) else {
            return self.merge_stage(driver, other, matches, delivered, stages).map(Progress::Next);
        };
        let made = made_shards(merge, stages)?;
        Ok(Progress::Finished(made.into_iter().map(|s| s.entry).filter(|s| s.rows() > 0).collect()))
    }

    fn hash_stage(&self, left: &[ShardAt], right: &[ShardAt]) -> Next {
        let partitions = self.partitions();
        let hash = |side: u32, shards: &[ShardAt]| {
            let (keys, schema) = match side {
                0 => (&self.left_keys, &self.left.schema),
                _ => (&self.right_keys, &self.right.schema),
            };
            let with_row_hash = side == 1 && self.right_has_row_hash;
            let plan = HashPlan { columns: Some(keys.clone()), with_row_hash, partitions };
            hash_tasks(shards, schema, &plan, (!self.nulls_equal).then_some(side))
        };
        let mut tasks = hash(0, left);
        tasks.extend(hash(1, right));
        Next::stage(PairsPhase::Hash, tasks, Vec::new())
    }

    fn match_stage(
        &self,
        (left, right): (TaskRange, TaskRange),
        (left_first_rows, right_first_rows): (Vec<u64>, Vec<u64>),
        stages: &[StageView<'_>],
    ) -> Result<Next, Failure> {
        let (of_left, of_right) = (outputs(stages, left)?, outputs(stages, right)?);
        let reads: Vec<TaskRange> = [left, right].into_iter().filter(|r| r.to > r.from).collect();
        let (left_first_rows, right_first_rows) = (Shared::new(left_first_rows), Shared::new(right_first_rows));
        let tasks = coalesce(of_left.into_iter().chain(of_right), self.partitions(), reduce_target(self.rows()))
            .into_iter()
            .map(|(from, to, rows)| TaskSpec {
                kind: MatchTask {
                    left,
                    right,
                    partitions: (from, to),
                    matching: self.matching,
                    how: self.how,
                    validate: self.validate,
                    right_has_row_hash: self.right_has_row_hash,
                    deliver: !self.payload.is_empty(),
                    left_first_rows: left_first_rows.clone(),
                    right_first_rows: right_first_rows.clone(),
                }
                .into(),
                reads: reads.clone(),
                objects: Vec::new(),
                memory: rows * 120 + READ_AHEAD,
            })
            .collect();
        Ok(Next::stage(PairsPhase::Match, tasks, vec![left.stage]))
    }

    fn deliver_stage(&self, drivers: usize, other: Side<'_>, matches: TaskRange) -> Next {
        let schema = if self.driver_is_left { &self.right.schema } else { &self.left.schema };
        let (schema, columns) = (Shared::new(schema.clone()), Shared::new(self.payload.clone()));
        let task = |(n, (first, group)): (usize, (usize, &[ShardAt]))| {
            let task = DeliverTask {
                inputs: inputs_of(first, group),
                schema: schema.clone(),
                columns: columns.clone(),
                matches,
                partition: (drivers + other.ends.len() + n) as u32,
                targets: drivers as u32,
            };
            task_of(group, task, vec![matches])
        };
        let tasks = each_group(other.shards, other.ends).enumerate().map(task).collect();
        Next::stage(PairsPhase::Deliver, tasks, vec![matches.stage])
    }

    fn merge_stage(
        &self,
        driver: Side<'_>,
        other: Side<'_>,
        matches: TaskRange,
        delivered: Option<TaskRange>,
        stages: &[StageView<'_>],
    ) -> Result<Next, Failure> {
        let (driver_schema, other_schema) = match self.driver_is_left {
            true => (&self.left.schema, &self.right.schema),
            false => (&self.right.schema, &self.left.schema),
        };
        let (driver_schema, other_schema) = (Shared::new(driver_schema.clone()), Shared::new(other_schema.clone()));
        let columns = Shared::new(self.columns.clone());
        let sent = delivered.map_or(Ok(Vec::new()), |range| outputs(stages, range))?;
        let arrived = partition_sums(sent, driver.ends.len(), |size| size.bytes);
        let emit = |n: usize, (first, group): (usize, &[ShardAt]), is_driver: bool| {
            let task = EmitTask {
                inputs: inputs_of(first, group),
                group: n as u32,
                schema: if is_driver { driver_schema.clone() } else { other_schema.clone() },
                columns: columns.clone(),
                is_driver,
                driver_is_left: self.driver_is_left,
                matches,
                partition: (if is_driver { n } else { driver.ends.len() + n }) as u32,
                delivered: delivered.filter(|_| is_driver),
                changes: self.changes,
                indicator: self.indicator,
            };
            let mut reads = vec![matches];
            reads.extend(delivered.filter(|_| is_driver));
            let mut task = task_of(group, task, reads);
            // What was delivered is compressed; a task that cannot hold it works in passes.
            let arrived = arrived.get(n).copied().filter(|_| is_driver).unwrap_or(0);
            task.memory = task.memory.saturating_mul(2).saturating_add(arrived.saturating_mul(4).min(1 << 30));
            task
        };
        let groups = |side: Side<'_>, is_driver: bool| -> Vec<TaskSpec> {
            each_group(side.shards, side.ends).enumerate().map(|(n, group)| emit(n, group, is_driver)).collect()
        };
        let mut tasks = groups(driver, true);
        if self.how == How::Outer && self.changes.is_none() {
            tasks.extend(groups(other, false));
        }
        let mut keeps = vec![matches.stage];
        keeps.extend(delivered.map(|d| d.stage));
        Ok(Next::stage(PairsPhase::Merge, tasks, keeps))
    }
}

/// Where the groups of each side end, of which the left one has so many shards; the tasks over it come first.
fn sides_read(left: u32, stages: &[StageView<'_>], hash: TaskRange) -> (Vec<u32>, Vec<u32>) {
    let (of_left, of_right): (Vec<u32>, Vec<u32>) = groups_read(stages, hash).into_iter().partition(|end| *end <= left);
    (of_left, of_right.into_iter().map(|end| end - left).collect())
}

/// Rows before each group.
fn first_rows(shards: &[ShardAt], ends: &[u32]) -> Vec<u64> {
    let before = |sum: &mut u64, (_, group): (usize, &[ShardAt])| {
        let first = *sum;
        *sum += rows_of(group);
        Some(first)
    };
    each_group(shards, ends).scan(0, before).collect()
}

/// The plan of a shuffle in words; `does` says what is done with the pairs.
pub fn shuffled(pairs: &Pairs<'_>, job: &ResolvedJob, outline: &mut Outline, does: &str) {
    let names = |keys: &[shardmill_common::kinds::dedup::HashColumn]| {
        let names: Vec<String> = keys.iter().map(|k| k.name.clone()).collect();
        listed(&names)
    };
    let (left, right) = (names(&pairs.left_keys), names(&pairs.right_keys));
    let keys = if left == right { left } else { format!("{left} of the left and {right} of the right side") };
    let partitions = number(pairs.partitions() as usize, "partition");
    outline.stage(
        PairsPhase::Hash,
        groups(job),
        format!("hash the keys ({keys}) of {}; hashes and positions go to {partitions}", read_all(job)),
    );
    match pairs.matching {
        Matching::Semi | Matching::Anti => {
            let which = if pairs.matching == Matching::Semi { "without" } else { "with" };
            outline.later(PairsPhase::Match, format!("find the left rows {which} a partner"));
            outline.later(
                PairsPhase::Drop,
                "mark them as dropped in the shards that have any; the other shards stay as they are",
            );
        }
        Matching::Join | Matching::Comparison => {
            let (driver, other) =
                if pairs.driver_is_left { (pairs.left, pairs.right) } else { (pairs.right, pairs.left) };
            outline.later(PairsPhase::Match, "find the rows with equal keys");
            if !pairs.payload.is_empty() {
                outline.stage(
                    PairsPhase::Deliver,
                    groups_in(other),
                    format!(
                        "send {} of the rows of {} that have partners to where these lie",
                        number(pairs.payload.len(), "column"),
                        other.reference()
                    ),
                );
            }
            let both = pairs.how == shardmill_common::kinds::compare::How::Outer && pairs.changes.is_none();
            let tasks = groups_in(driver) + if both { groups_in(other) } else { 0 };
            outline.stage(PairsPhase::Merge, tasks, format!("{does}, in the order of {}", driver.reference()));
        }
    }
}
