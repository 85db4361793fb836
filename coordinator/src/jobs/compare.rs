//! Comparison: pandas' `left.merge(right.drop_duplicates(), on, how, indicator=True)` in the order of the driving side.
//!
//! Hashes and positions are matched first; only columns of the other side that the result shows are then sent, to where the
//! driving side's rows lie. The driving side is the left one, except for `how = right`.

use shardmill_common::failure::Failure;
use shardmill_common::manifest::Manifest;
use shardmill_common::schema::{DataType, Schema};
use shardmill_common::spec::{CompareSpec, How, Validate};
use shardmill_common::task::{
    DeliverTask, EmitTask, HashColumn, HashPlan, HashTask, MatchTask, MergedColumn, TaskKind, TaskRange, TaskSpec,
};

use super::plan::{
    Draft, Next, Publication, ResolvedJob, ShardAt, StageView, coalesce, find, output, partitions_for, reduce_target,
    whole,
};

const HASH: &str = "hash";
const MATCH: &str = "match";
const DELIVER: &str = "deliver";
const MERGE: &str = "merge";

/// What follows from the spec and the two schemas.
struct Plan<'a> {
    left: &'a Manifest,
    right: &'a Manifest,
    keys: Vec<HashColumn>,
    columns: Vec<MergedColumn>,
    driver_is_left: bool,
    /// Every column of the right side is a key.
    keys_are_rows: bool,
    /// Columns of the other side that must travel.
    payload: Vec<String>,
}

pub fn check(spec: &CompareSpec, job: &ResolvedJob) -> Result<(), String> {
    plan(spec, job).map(|_| ())
}

fn plan<'a>(spec: &CompareSpec, job: &'a ResolvedJob) -> Result<Plan<'a>, String> {
    let [left, right] = job.inputs.as_slice() else { return Err("a comparison has two inputs".into()) };
    let keys = key_columns(spec, left, right)?;
    let driver_is_left = spec.how != How::Right || spec.changes;
    let is_key = |name: &str| keys.iter().any(|k| k.name == name);
    let columns = if spec.changes {
        changed_columns(&keys, left, right)?
    } else {
        merged_columns(spec, &keys, left, right, driver_is_left)?
    };
    let payload = columns
        .iter()
        .filter(|c| !c.other.as_deref().is_some_and(is_key) || c.driver.is_none())
        .filter_map(|c| c.other.clone())
        .filter(|name| !is_key(name))
        .collect();
    let keys_are_rows = right.schema.names().all(is_key);
    Ok(Plan { left, right, keys, columns, driver_is_left, keys_are_rows, payload })
}

/// The key columns with the type both sides are brought to.
fn key_columns(spec: &CompareSpec, left: &Manifest, right: &Manifest) -> Result<Vec<HashColumn>, String> {
    let (l, r) = (left.reference(), right.reference());
    let names: Vec<String> = match &spec.on {
        Some(on) if on.is_empty() => return Err("no key column is named".into()),
        Some(on) => on.clone(),
        None => left.schema.names().filter(|n| right.schema.get(n).is_some()).map(str::to_owned).collect(),
    };
    if names.is_empty() {
        return Err(format!(
            "{l} and {r} share no column: {l} has {}; {r} has {}",
            left.schema.names_joined(),
            right.schema.names_joined()
        ));
    }
    let mut keys = Vec::new();
    for (n, name) in names.iter().enumerate() {
        if names[..n].contains(name) {
            return Err(format!("the key column `{name}` is named twice"));
        }
        let missing = |which, schema: &Schema| {
            format!("{which} has no column `{name}`; its columns are {}", schema.names_joined())
        };
        let a = left.schema.get(name).ok_or_else(|| missing(&l, &left.schema))?.dtype;
        let b = right.schema.get(name).ok_or_else(|| missing(&r, &right.schema))?.dtype;
        let common = a.join(b);
        // Numbers meet numbers and dates meet instants; anything else that had to become text would match by accident.
        if common == DataType::String && a != b {
            return Err(format!(
                "the key column `{name}` is {a} in {l} and {b} in {r}: cast one of them first (shardmill clean, rule `cast`)"
            ));
        }
        keys.push(HashColumn { name: name.clone(), dtype: Some(common) });
    }
    Ok(keys)
}

fn merged_columns(
    spec: &CompareSpec,
    keys: &[HashColumn],
    left: &Manifest,
    right: &Manifest,
    driver_is_left: bool,
) -> Result<Vec<MergedColumn>, String> {
    let key = |name: &str| keys.iter().find(|k| k.name == name);
    let mut columns: Vec<MergedColumn> = Vec::new();
    for field in &left.schema.fields {
        if let Some(key) = key(&field.name) {
            columns.push(MergedColumn {
                name: field.name.clone(),
                dtype: key.dtype.unwrap_or(field.dtype),
                driver: Some(field.name.clone()),
                other: Some(field.name.clone()),
            });
            continue;
        }
        let clash = right.schema.get(&field.name).is_some();
        let name = if clash { format!("{}{}", field.name, spec.suffixes.0) } else { field.name.clone() };
        let source = Some(field.name.clone());
        let (driver, other) = if driver_is_left { (source, None) } else { (None, source) };
        columns.push(MergedColumn { name, dtype: field.dtype, driver, other });
    }
    for field in right.schema.fields.iter().filter(|f| key(&f.name).is_none()) {
        let clash = left.schema.get(&field.name).is_some();
        let name = if clash { format!("{}{}", field.name, spec.suffixes.1) } else { field.name.clone() };
        let source = Some(field.name.clone());
        let (driver, other) = if driver_is_left { (None, source) } else { (source, None) };
        columns.push(MergedColumn { name, dtype: field.dtype, driver, other });
    }
    for (n, column) in columns.iter().enumerate() {
        if column.name == "_merge" {
            return Err("an input has a column `_merge`, which is the name of the indicator: rename it first".into());
        }
        if columns[..n].iter().any(|c| c.name == column.name) {
            return Err(format!(
                "two columns of the result would be named `{}`: choose other --suffixes (they are `{}` and `{}`)",
                column.name, spec.suffixes.0, spec.suffixes.1
            ));
        }
    }
    Ok(columns)
}

/// Keys, then the other shared columns, each with the type both sides are compared in.
fn changed_columns(keys: &[HashColumn], left: &Manifest, right: &Manifest) -> Result<Vec<MergedColumn>, String> {
    let both = |name: &str, dtype| MergedColumn {
        name: name.to_owned(),
        dtype,
        driver: Some(name.to_owned()),
        other: Some(name.to_owned()),
    };
    let mut columns: Vec<MergedColumn> =
        keys.iter().map(|k| both(&k.name, k.dtype.unwrap_or(DataType::String))).collect();
    for reserved in ["column", "left", "right"] {
        if keys.iter().any(|k| k.name == reserved) {
            return Err(format!("the key column `{reserved}` has the name of a column of the report: rename it first"));
        }
    }
    for field in left.schema.fields.iter().filter(|f| !keys.iter().any(|k| k.name == f.name)) {
        if let Some(theirs) = right.schema.get(&field.name) {
            columns.push(both(&field.name, field.dtype.join(theirs.dtype)));
        }
    }
    if columns.len() == keys.len() {
        return Err("the two sides share no column besides the keys: there is nothing that could have changed".into());
    }
    Ok(columns)
}

pub fn next(spec: &CompareSpec, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
    let plan = plan(spec, job).map_err(Failure::bad_input)?;
    let left: Vec<ShardAt> = plan.left.shards.iter().map(ShardAt::stored).collect();
    let right: Vec<ShardAt> = plan.right.shards.iter().map(ShardAt::stored).collect();
    let Some(hash) = find(stages, HASH) else { return Ok(hash_stage(&plan, &left, &right)) };
    let (l, r) = (left.len() as u32, right.len() as u32);
    let left_hashes = TaskRange { stage: hash, from: 0, to: l };
    let right_hashes = TaskRange { stage: hash, from: l, to: l + r };
    let Some(matching) = find(stages, MATCH) else {
        return match_stage(spec, &plan, (left_hashes, right_hashes), stages);
    };
    let matches = whole(stages, matching);
    let (driver, other) = if plan.driver_is_left { (&left, &right) } else { (&right, &left) };
    let (driver_schema, other_schema) = if plan.driver_is_left {
        (&plan.left.schema, &plan.right.schema)
    } else {
        (&plan.right.schema, &plan.left.schema)
    };
    let d = driver.len() as u32;
    let o = other.len() as u32;
    let mut delivered = None;
    if !plan.payload.is_empty() {
        let Some(deliver) = find(stages, DELIVER) else {
            let tasks = other
                .iter()
                .enumerate()
                .map(|(n, shard)| {
                    let task = DeliverTask {
                        input: shard.input(n),
                        schema: other_schema.clone(),
                        columns: plan.payload.clone(),
                        matches,
                        partition: d + o + n as u32,
                        targets: d,
                    };
                    shard.task(TaskKind::Deliver(task), vec![matches])
                })
                .collect();
            return Ok(Next::stage(DELIVER, tasks, vec![matching]));
        };
        delivered = Some(whole(stages, deliver));
    }
    let Some(merge) = find(stages, MERGE) else {
        let emit = |n: usize, shard: &ShardAt, is_driver: bool| {
            let task = EmitTask {
                input: shard.input(n),
                schema: if is_driver { driver_schema.clone() } else { other_schema.clone() },
                columns: plan.columns.clone(),
                is_driver,
                driver_is_left: plan.driver_is_left,
                matches,
                partition: if is_driver { n as u32 } else { d + n as u32 },
                delivered: delivered.filter(|_| is_driver),
                changes: spec.changes.then_some(plan.keys.len() as u32),
            };
            let mut reads = vec![matches];
            reads.extend(delivered.filter(|_| is_driver));
            let mut task = shard.task(TaskKind::Emit(task), reads);
            task.memory = task.memory.saturating_mul(2);
            task
        };
        let mut tasks: Vec<TaskSpec> = driver.iter().enumerate().map(|(n, s)| emit(n, s, true)).collect();
        if spec.how == How::Outer && !spec.changes {
            tasks.extend(other.iter().enumerate().map(|(n, s)| emit(n, s, false)));
        }
        let mut keeps = vec![matching];
        keeps.extend(delivered.map(|d| d.stage));
        return Ok(Next::stage(MERGE, tasks, keeps));
    };
    let shards = whole(stages, merge)
        .tasks()
        .map(|(s, t)| Ok(output(stages, s, t)?.shard.clone()))
        .collect::<Result<Vec<_>, Failure>>()?;
    let draft = Draft {
        name: spec.output.clone(),
        schema: output_schema(&plan, spec),
        shards: shards.into_iter().flatten().filter(|s| s.rows() > 0).collect(),
    };
    Ok(Next::Publish(Box::new(Publication { drafts: vec![draft], ..Default::default() })))
}

fn output_schema(plan: &Plan<'_>, spec: &CompareSpec) -> Schema {
    use shardmill_common::schema::Field;
    let fields = plan.columns.iter().map(|c| Field::new(c.name.clone(), c.dtype));
    let mut schema = if spec.changes {
        let mut fields: Vec<Field> = fields.take(plan.keys.len()).collect();
        fields.extend(["column", "left", "right"].map(|n| Field::new(n, DataType::String)));
        Schema::new(fields)
    } else {
        Schema::new(fields.collect())
    };
    if !spec.changes {
        schema.fields.push(Field::new("_merge", DataType::String));
    }
    schema.published()
}

fn hash_stage(plan: &Plan<'_>, left: &[ShardAt], right: &[ShardAt]) -> Next {
    let rows = plan.left.rows() + plan.right.rows();
    let hash = |shard: &ShardAt, n: usize, schema: &Schema, with_row_hash: bool| {
        let hash = HashPlan { columns: Some(plan.keys.clone()), with_row_hash, partitions: partitions_for(rows) };
        let task = HashTask { input: shard.input(n), schema: schema.clone(), plan: hash };
        shard.task(TaskKind::Hash(task), Vec::new())
    };
    let mut tasks: Vec<TaskSpec> = left.iter().enumerate().map(|(n, s)| hash(s, n, &plan.left.schema, false)).collect();
    tasks.extend(right.iter().enumerate().map(|(n, s)| hash(s, n, &plan.right.schema, !plan.keys_are_rows)));
    Next::stage(HASH, tasks, Vec::new())
}

fn first_rows(manifest: &Manifest) -> Vec<u64> {
    let mut sum = 0;
    manifest
        .shards
        .iter()
        .map(|s| {
            let first = sum;
            sum += s.rows();
            first
        })
        .collect()
}

fn match_stage(
    spec: &CompareSpec,
    plan: &Plan<'_>,
    (left, right): (TaskRange, TaskRange),
    stages: &[StageView<'_>],
) -> Result<Next, Failure> {
    let outputs =
        left.tasks().chain(right.tasks()).map(|(s, t)| output(stages, s, t)).collect::<Result<Vec<_>, _>>()?;
    let rows = plan.left.rows() + plan.right.rows();
    let reads: Vec<TaskRange> = [left, right].into_iter().filter(|r| r.to > r.from).collect();
    let (how, validate) = if spec.changes {
        // Rows only one side has are counted; keys that repeat have no one partner to be compared with.
        (How::Outer, Validate::OneToOne)
    } else {
        (spec.how, spec.validate)
    };
    let tasks = coalesce(outputs.into_iter(), partitions_for(rows), reduce_target(rows))
        .into_iter()
        .map(|(from, to, rows)| TaskSpec {
            kind: TaskKind::Match(MatchTask {
                left,
                right,
                partitions: (from, to),
                how,
                validate,
                right_has_row_hash: !plan.keys_are_rows,
                deliver: !plan.payload.is_empty(),
                left_first_rows: first_rows(plan.left),
                right_first_rows: first_rows(plan.right),
            }),
            reads: reads.clone(),
            objects: Vec::new(),
            memory: rows * 120 + (4 << 20),
        })
        .collect();
    Ok(Next::stage(MATCH, tasks, vec![left.stage]))
}
