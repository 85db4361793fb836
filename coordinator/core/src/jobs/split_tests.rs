//! Plans of splits, over inputs that exist on paper only.

use shardmill_common::counters::Counter;
use shardmill_common::ids::{JobId, ObjectId};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::split::{Counts, SplitGroup, SplitSide};
use shardmill_common::manifest::{ObjectRef, ShardEntry};
use shardmill_common::schema::{Field, Schema};
use shardmill_common::task::{TaskKind, TaskOutput, TaskSpec};
use shardmill_common::time::Timestamp;

use super::*;

fn entry(rows: u64) -> ShardEntry {
    let object = ObjectRef { id: ObjectId::fresh(), bytes: 100, checksum: String::new() };
    ShardEntry { object, stored_rows: rows, deletions: None }
}

fn spec(sides: &[(&str, f64)], stratify: Option<&str>) -> SplitSpec {
    SplitSpec {
        input: "orders".parse().unwrap(),
        into: sides.iter().map(|(name, share)| SplitSide { output: name.parse().unwrap(), share: *share }).collect(),
        stratify: stratify.map(str::to_owned),
        seed: 7,
        replicas: None,
    }
}

fn job(spec: &SplitSpec, rows: &[u64]) -> ResolvedJob {
    let field = |name: &str, dtype| Field::new(name, dtype);
    let input = Manifest {
        name: "orders".parse().unwrap(),
        version: 1,
        schema: Schema::new(vec![field("y", DataType::String), field("x", DataType::Float64)]),
        shards: rows.iter().map(|n| entry(*n)).collect(),
        replicas: 1,
        job: JobId(1),
        created: Timestamp::now(),
    };
    ResolvedJob { spec: JobSpec::Split(spec.clone()), inputs: vec![input], replicas: 1 }
}

fn tasks(next: Next, name: &str) -> Vec<TaskSpec> {
    match next {
        Next::Stage(planned) if planned.name == name => planned.tasks,
        other => panic!("{other:?}"),
    }
}

fn groups(tasks: &[TaskSpec]) -> Vec<Vec<SplitGroup>> {
    let of = |task: &TaskSpec| match &task.kind {
        TaskKind::Split(task) => task.groups(),
        other => panic!("{other:?}"),
    };
    tasks.iter().map(of).collect()
}

fn view<'a>(name: &'a str, tasks: &'a [TaskSpec], outputs: &'a [TaskOutput]) -> StageView<'a> {
    let tasks = tasks.iter().map(|t| &t.kind).zip(outputs.iter().map(Some)).collect();
    StageView { name, memo: None, seconds: 0.0, tasks }
}

#[test]
fn mistakes_are_told() {
    for (sides, stratify, part) in [
        (vec![("a", 1.0)], None, "at least two"),
        (vec![("a", 0.5), ("a", 0.5)], None, "two sides are named `a`"),
        (vec![("a", 0.5), ("b", 0.0)], None, "more than 0"),
        (vec![("a", f64::NAN), ("b", 0.5)], None, "more than 0"),
        (vec![("a", 0.7), ("b", 0.2)], None, "these to 0.9"),
        (vec![("a", 0.7), ("b", 0.3)], Some("z"), "no column `z`; its columns are y, x"),
        (vec![("a", 0.7), ("b", 0.3)], Some("x"), "float64"),
    ] {
        let spec = spec(&sides, stratify);
        let error = spec.check(&job(&spec, &[1])).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let thirds = spec(&[("a", 0.1), ("b", 0.2), ("c", 0.7)], Some("y"));
    thirds.check(&job(&thirds, &[1])).unwrap();
}

#[test]
fn one_task_a_side_and_shard() {
    let spec = spec(&[("train", 0.8), ("test", 0.2)], None);
    let job = job(&spec, &[10, 5]);
    let tasks = tasks(spec.next(&job, &[]).unwrap(), "split");
    let group = |first, from, to| SplitGroup { value: None, first, total: 15, from, to };
    assert_eq!(
        groups(&tasks),
        [vec![group(0, 0, 12)], vec![group(10, 0, 12)], vec![group(0, 12, 15)], vec![group(10, 12, 15)]]
    );
    let outputs: Vec<TaskOutput> = [Some(8), Some(4), Some(2), None]
        .iter()
        .map(|n| TaskOutput { shard: n.map(entry), ..Default::default() })
        .collect();
    let stages = || vec![view("split", &tasks, &outputs)];
    let Next::Publish(publication) = spec.next(&job, &stages()).unwrap() else { panic!("nothing is published") };
    let drafts: Vec<_> = publication.drafts.iter().map(|d| (d.name.as_str(), d.shards.len())).collect();
    assert_eq!(drafts, [("train", 2), ("test", 1)]);
    let counters = spec.counters(&job, Counters::default(), &stages);
    assert_eq!(
        (
            counters.get(&Counter::RowsIn),
            counters.get(&Counter::RowsOutTo("train".into())),
            counters.get(&Counter::RowsOutTo("test".into()))
        ),
        (15, 12, 2)
    );
}

#[test]
fn strata_are_counted_first_and_split_each() {
    let spec = spec(&[("train", 0.5), ("test", 0.5)], Some("y"));
    let job = job(&spec, &[4, 3]);
    let counting = tasks(spec.next(&job, &[]).unwrap(), "count");
    assert_eq!(counting.len(), 2);
    let counts = |values: &[(Option<&str>, u64)]| {
        let values = values.iter().map(|(v, n)| (v.map(str::to_owned), *n)).collect();
        TaskOutput::reporting::<CountTask>(&Counts { values, too_many: false }).unwrap()
    };
    let outputs = [counts(&[(None, 1), (Some("a"), 3)]), counts(&[(Some("a"), 2), (Some("b"), 1)])];
    let split = tasks(spec.next(&job, &[view("count", &counting, &outputs)]).unwrap(), "split");
    let group = |value: Option<&str>, first, total, from, to| SplitGroup {
        value: value.map(str::to_owned),
        first,
        total,
        from,
        to,
    };
    let (a, null, b) = (Some("a"), None, Some("b"));
    assert_eq!(
        groups(&split),
        [
            vec![group(null, 0, 1, 0, 1), group(a, 0, 5, 0, 3)],
            vec![group(a, 3, 5, 0, 3), group(b, 0, 1, 0, 1)],
            vec![group(a, 0, 5, 3, 5)],
            vec![group(a, 3, 5, 3, 5)],
        ]
    );
    let mut many = outputs.clone();
    many[1] = TaskOutput::reporting::<CountTask>(&Counts { values: vec![], too_many: true }).unwrap();
    let error = spec.next(&job, &[view("count", &counting, &many)]).unwrap_err().to_string();
    assert!(error.contains("more than 10000"), "{error}");
}

#[test]
fn nothing_is_split_into_nothing() {
    let spec = spec(&[("train", 0.8), ("test", 0.2)], None);
    let job = job(&spec, &[]);
    assert!(tasks(spec.next(&job, &[]).unwrap(), "split").is_empty());
    let Next::Publish(publication) = spec.next(&job, &[view("split", &[], &[])]).unwrap() else {
        panic!("nothing is published")
    };
    assert!(publication.drafts.len() == 2 && publication.drafts.iter().all(|d| d.shards.is_empty()));
}
