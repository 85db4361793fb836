//! Joining: pandas' `left.merge(right, on, how)`, and SQL's semi and anti join, in the order of the driving side (the left
//! one, except for `how = right`).
//!
//! A small other side is sent to where the driving one lies and looked up there. Two large sides are shuffled, as hashes
//! and positions, and meet as in a comparison. Both ways give the same rows in the same order.

use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::compare::{How, Matching, MergedColumn, Validate};
use shardmill_common::kinds::dedup::HashColumn;
use shardmill_common::kinds::join::{JoinHow, JoinPhase, JoinSpec, LookupTask};
use shardmill_common::manifest::{Manifest, ShardEntry};
use shardmill_common::name::DatasetRef;
use shardmill_common::schema::{Field, Schema};
use shardmill_common::shared::Shared;
use shardmill_common::unfit::{OwnUnfit, Unfit};
use shardmill_common::units::show_bytes;

use super::pairs::{Pairs, Progress, check_names, key_columns, shuffled};
use super::plan::{
    Draft, Next, ResolvedJob, ShardAt, StageView, each_group, find, frame_memory, groups_of, inputs_of, output,
    task_of, whole,
};
use crate::jobs::Planner;
use crate::jobs::outline::{Outline, groups_in};

/// What follows from the spec and the two datasets.
pub struct Plan<'a> {
    pub pairs: Pairs<'a>,
    /// The side that is not driving is small enough to be sent to every shard of the one that is.
    pub broadcast: bool,
}

impl Planner for JoinSpec {
    fn check(&self, job: &ResolvedJob) -> Result<(), Unfit> {
        plan(self, job).map(|_| ())
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let plan = plan(self, job).map_err(Failure::bad_input)?;
        if plan.broadcast {
            match looked_up(self, &plan.pairs, stages)? {
                LookedUp::Next(next) => return Ok(next),
                LookedUp::Finished(shards) => return Ok(publish(self, &plan.pairs, shards)),
                LookedUp::TooLarge => {}
            }
        }
        Ok(match plan.pairs.next(stages)? {
            Progress::Next(next) => next,
            Progress::Finished(shards) => publish(self, &plan.pairs, shards),
        })
    }

    /// `rows_in` of both sides, `rows_out`, and where merged rows are made the pairs and the rows of a side alone; the same
    /// whichever way was taken.
    fn counters<'a>(&self, job: &ResolvedJob, mut sum: Counters, stages: &dyn Fn() -> Vec<StageView<'a>>) -> Counters {
        if plan(self, job).is_ok_and(|plan| plan.broadcast) {
            // Workers with less memory than others may have found too large what these looked up: the rows were made twice.
            for view in stages().iter().filter(|view| view.is(JoinPhase::LookUp)) {
                if view.outputs().any(|o| o.result.is_some()) {
                    view.outputs().for_each(|o| sum.take_away(&o.counters));
                }
            }
        }
        let mut counters = Counters::default();
        counters.add(Counter::RowsIn, job.inputs.iter().map(Manifest::rows).sum());
        let rows_out = match self.how {
            JoinHow::Semi | JoinHow::Anti => {
                job.inputs.first().map_or(0, Manifest::rows).saturating_sub(sum.get(&Counter::RowsDropped))
            }
            _ => sum.get(&Counter::RowsOut),
        };
        counters.add(Counter::RowsOut, rows_out);
        let shown: &[Counter] = match self.how {
            JoinHow::Inner => &[Counter::Both],
            JoinHow::Left => &[Counter::Both, Counter::LeftOnly],
            JoinHow::Right => &[Counter::Both, Counter::RightOnly],
            JoinHow::Outer => &[Counter::Both, Counter::LeftOnly, Counter::RightOnly],
            JoinHow::Semi | JoinHow::Anti => &[],
        };
        for counter in shown {
            counters.add(counter.clone(), sum.get(counter));
        }
        counters
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        let Ok(plan) = plan(self, job) else { return Some(outline) };
        let pairs = &plan.pairs;
        let (driver, other) = if pairs.driver_is_left { (pairs.left, pairs.right) } else { (pairs.right, pairs.left) };
        let (limit, size) = (show_bytes(self.broadcast_limit), show_bytes(other.bytes()));
        if plan.broadcast {
            let what = match self.how {
                JoinHow::Semi => "drop those without a partner where they lie",
                JoinHow::Anti => "drop those with a partner where they lie",
                _ => "write the joined rows",
            };
            outline.stage(
                JoinPhase::LookUp,
                groups_in(driver),
                format!(
                    "look the rows of each shard of {} up in the whole of {} and {what}",
                    driver.reference(),
                    other.reference()
                ),
            );
            outline.note(format!(
                "{} is broadcast: it has {size}, and up to {limit} are (--broadcast-limit); a worker without the memory for it has \
                 the sides shuffled instead",
                other.reference()
            ));
            return Some(outline);
        }
        shuffled(pairs, job, &mut outline, "write the joined rows");
        outline.note(if self.how == JoinHow::Outer {
            "both sides are shuffled: rows that only one side has are found by looking at all of both".to_owned()
        } else {
            format!(
                "both sides are shuffled: {} has {size}, more than the {limit} up to which it would be broadcast \
                 (--broadcast-limit)",
                other.reference()
            )
        });
        Some(outline)
    }
}

pub fn plan<'a>(spec: &JoinSpec, job: &'a ResolvedJob) -> Result<Plan<'a>, Unfit> {
    let [left, right] = job.inputs.as_slice() else {
        return Err(Unfit::Inputs { kind: "a join", wanted: 2, found: job.inputs.len() });
    };
    if spec.on.is_empty() {
        return Err(NoKey::of(left, right).into());
    }
    let (left_keys, right_keys) = key_columns(&spec.on, left, right, spec.numbers_match_text)?;
    let driver_is_left = spec.how != JoinHow::Right;
    let columns = match spec.how {
        JoinHow::Semi | JoinHow::Anti => own_columns(&left.schema),
        _ => merged_columns(spec, &left_keys, left, right)?,
    };
    let payload = columns.iter().filter(|c| c.driver.is_none()).filter_map(|c| c.other.clone()).collect();
    let (matching, how) = match spec.how {
        JoinHow::Inner => (Matching::Join, How::Inner),
        JoinHow::Left => (Matching::Join, How::Left),
        JoinHow::Right => (Matching::Join, How::Right),
        JoinHow::Outer => (Matching::Join, How::Outer),
        JoinHow::Semi => (Matching::Semi, How::Left),
        JoinHow::Anti => (Matching::Anti, How::Left),
    };
    let other = if driver_is_left { right } else { left };
    Ok(Plan {
        // The rows that only the other side has are known only when every shard of the driving one was looked at.
        broadcast: spec.how != JoinHow::Outer && other.bytes() <= spec.broadcast_limit,
        pairs: Pairs {
            left,
            right,
            left_keys,
            right_keys,
            columns,
            payload,
            driver_is_left,
            matching,
            how,
            validate: Validate::ManyToMany,
            right_has_row_hash: false,
            nulls_equal: spec.nulls_equal,
            changes: None,
            indicator: false,
        },
    })
}

/// A join of which nothing says by what.
#[derive(Debug, thiserror::Error)]
enum NoKey {
    #[error("name the key columns with --on LEFT=RIGHT: {left} has {left_columns}; {right} has {right_columns}")]
    NothingShared { left: DatasetRef, left_columns: String, right: DatasetRef, right_columns: String },
    #[error("name the key columns with --on: {left} and {right} both have {shared}")]
    Shared { left: DatasetRef, right: DatasetRef, shared: String },
}

impl OwnUnfit for NoKey {}

impl NoKey {
    fn of(left: &Manifest, right: &Manifest) -> Self {
        let shared: Vec<&str> = left.schema.names().filter(|n| right.schema.get(n).is_some()).collect();
        let (shared, l, r) = (shared.join(", "), &left.schema, &right.schema);
        let (left, right) = (left.reference(), right.reference());
        if shared.is_empty() {
            NoKey::NothingShared { left, left_columns: l.names_joined(), right, right_columns: r.names_joined() }
        } else {
            NoKey::Shared { left, right, shared }
        }
    }
}

fn own_columns(schema: &Schema) -> Vec<MergedColumn> {
    let own =
        |f: &Field| MergedColumn { name: f.name.clone(), dtype: f.dtype, driver: Some(f.name.clone()), other: None };
    schema.fields.iter().map(own).collect()
}

/// The left side's columns, then the right's but for keys of the same name, which are one column with the left's.
fn merged_columns(
    spec: &JoinSpec,
    keys: &[HashColumn],
    left: &Manifest,
    right: &Manifest,
) -> Result<Vec<MergedColumn>, Unfit> {
    let driver_is_left = spec.how != JoinHow::Right;
    let is_shared_key = |name: &str| spec.on.iter().any(|(l, r)| l == name && r == name);
    let clashes =
        |name: &str| !is_shared_key(name) && left.schema.get(name).is_some() && right.schema.get(name).is_some();
    let of_side = |field: &Field, is_left: bool| {
        let suffix = if is_left { &spec.suffixes.0 } else { &spec.suffixes.1 };
        let name = if clashes(&field.name) { format!("{}{suffix}", field.name) } else { field.name.clone() };
        let source = Some(field.name.clone());
        let (driver, other) = if is_left == driver_is_left { (source, None) } else { (None, source) };
        MergedColumn { name, dtype: field.dtype, driver, other }
    };
    let of_key = |field: &Field| {
        let theirs = right.schema.get(&field.name).map_or(field.dtype, |f| f.dtype);
        let common = keys.iter().find(|k| k.name == field.name).and_then(|k| k.dtype);
        let dtype = match spec.how {
            // Values of both sides are in it.
            JoinHow::Outer => common.unwrap_or(field.dtype),
            JoinHow::Right => theirs,
            _ => field.dtype,
        };
        let source = Some(field.name.clone());
        MergedColumn { name: field.name.clone(), dtype, driver: source.clone(), other: source }
    };
    let left_columns =
        left.schema.fields.iter().map(|f| if is_shared_key(&f.name) { of_key(f) } else { of_side(f, true) });
    let right_columns = right.schema.fields.iter().filter(|f| !is_shared_key(&f.name)).map(|f| of_side(f, false));
    let columns: Vec<MergedColumn> = left_columns.chain(right_columns).collect();
    check_names(&columns, &spec.suffixes)?;
    Ok(columns)
}

fn publish(spec: &JoinSpec, pairs: &Pairs<'_>, shards: Vec<ShardEntry>) -> Next {
    let fields = pairs.columns.iter().map(|c| Field::new(c.name.clone(), c.dtype)).collect();
    let draft = Draft { name: spec.output.clone(), schema: Schema::new(fields).published(), shards };
    Next::versions(vec![draft])
}

/// How far looking up has come.
enum LookedUp {
    Next(Next),
    /// The shards of the result, in order.
    Finished(Vec<ShardEntry>),
    /// A worker has too little memory for the small side.
    TooLarge,
}

fn looked_up(spec: &JoinSpec, pairs: &Pairs<'_>, stages: &[StageView<'_>]) -> Result<LookedUp, Failure> {
    let Some(stage) = find(stages, JoinPhase::LookUp) else {
        let next = lookup_stage(spec, pairs);
        return Ok(next.map_or(LookedUp::Finished(Vec::new()), LookedUp::Next));
    };
    let mut shards = Vec::new();
    for (stage, task) in whole(stages, stage).tasks() {
        let output = output(stages, stage, task)?;
        if output.result.is_some() {
            return Ok(LookedUp::TooLarge);
        }
        shards.extend(output.shards().filter(|s| s.rows() > 0).cloned());
    }
    Ok(LookedUp::Finished(shards))
}

/// A task for each group of small shards of the driving side, and for each large one, if it has any.
fn lookup_stage(spec: &JoinSpec, pairs: &Pairs<'_>) -> Option<Next> {
    let sides = [(pairs.left, &pairs.left_keys), (pairs.right, &pairs.right_keys)];
    let [(driver, keys), (other, other_keys)] = if pairs.driver_is_left { sides } else { [sides[1], sides[0]] };
    let others: Vec<ShardAt> = other.shards.iter().map(ShardAt::stored).collect();
    let drivers: Vec<ShardAt> = driver.shards.iter().map(ShardAt::stored).collect();
    if drivers.is_empty() {
        return None;
    }
    let task = LookupTask {
        inputs: Vec::new(),
        schema: Shared::new(driver.schema.clone()),
        others: Shared::new(others.iter().enumerate().map(|(n, s)| s.input(n)).collect()),
        other_schema: Shared::new(other.schema.clone()),
        keys: Shared::new(keys.clone()),
        other_keys: Shared::new(other_keys.clone()),
        how: spec.how,
        nulls_equal: spec.nulls_equal,
        driver_is_left: pairs.driver_is_left,
        columns: Shared::new(pairs.columns.clone()),
    };
    let (other_objects, other_memory) =
        (other.objects().map(|o| o.id).collect::<Vec<_>>(), frame_memory(other.bytes()));
    let ends = groups_of(&drivers);
    let tasks = each_group(&drivers, &ends).map(|(first, group)| {
        let mut task = task_of(group, LookupTask { inputs: inputs_of(first, group), ..task.clone() }, Vec::new());
        task.objects.extend(&other_objects);
        task.memory = task.memory.saturating_mul(2).saturating_add(other_memory);
        task
    });
    Some(Next::stage(JoinPhase::LookUp, tasks.collect(), Vec::new()))
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
