//! Plans of aggregates, over inputs that exist on paper only.

use shardmill_common::counters::Counter;
use shardmill_common::ids::{JobId, ObjectId};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::aggregate::{Aggregate, Function};
use shardmill_common::manifest::{ObjectRef, ShardEntry};
use shardmill_common::schema::{DataType, Field};
use shardmill_common::task::{TaskKind, TaskOutput};
use shardmill_common::time::Timestamp;

use super::*;
use crate::jobs::Publication;

fn entry(rows: u64, bytes: u64) -> ShardEntry {
    let object = ObjectRef { id: ObjectId::fresh(), bytes, checksum: String::new() };
    ShardEntry { object, stored_rows: rows, deletions: None }
}

fn spec(by: &[&str]) -> AggregateSpec {
    let aggregate = |name: &str, function, column: Option<&str>| Aggregate {
        name: name.into(),
        function,
        column: column.map(str::to_owned),
    };
    AggregateSpec {
        input: "t".parse().unwrap(),
        output: "u".parse().unwrap(),
        by: by.iter().map(|b| (*b).to_owned()).collect(),
        aggregates: vec![
            aggregate("n", Function::Count, None),
            aggregate("mean", Function::Mean, Some("x")),
            aggregate("different", Function::Distinct, Some("x")),
        ],
        replicas: None,
    }
}

fn job(spec: &AggregateSpec, shards: &[(u64, u64)]) -> ResolvedJob {
    let input = Manifest {
        name: "t".parse().unwrap(),
        version: 1,
        schema: Schema::new(vec![Field::new("s", DataType::String), Field::new("x", DataType::Float64)]),
        shards: shards.iter().map(|(rows, bytes)| entry(*rows, *bytes)).collect(),
        replicas: 1,
        job: JobId(1),
        created: Timestamp::now(),
    };
    ResolvedJob { spec: JobSpec::Aggregate(spec.clone()), inputs: vec![input], replicas: 1 }
}

type Stage = (String, Vec<TaskSpec>, Vec<TaskOutput>);

fn views_of(done: &[Stage]) -> Vec<StageView<'_>> {
    fn view((name, tasks, outputs): &Stage) -> StageView<'_> {
        let tasks = tasks.iter().map(|t| &t.kind).zip(outputs.iter().map(Some)).collect();
        StageView { name, memo: None, seconds: 0.0, tasks }
    }
    done.iter().map(view).collect()
}

/// Runs the stages on paper: every partition of every table of every shard has `bytes`.
fn run(by: &[&str], shards: &[(u64, u64)], bytes: u64) -> (Vec<(String, Vec<TaskSpec>)>, Publication, Counters) {
    let spec = spec(by);
    let job = job(&spec, shards);
    spec.check(&job).unwrap();
    let mut done: Vec<Stage> = Vec::new();
    loop {
        let views = views_of(&done);
        match spec.next(&job, &views).unwrap() {
            Next::Stage(planned) => {
                let outputs = planned.tasks.iter().map(|t| output_of(&t.kind, bytes)).collect();
                done.push((planned.name, planned.tasks, outputs));
            }
            Next::Publish(publication) => {
                let counters = spec.counters(&job, Counters::default(), &|| views_of(&done));
                return (done.into_iter().map(|(name, tasks, _)| (name, tasks)).collect(), *publication, counters);
            }
            Next::Quiet => panic!("an aggregate publishes"),
        }
    }
}

fn output_of(kind: &TaskKind, bytes: u64) -> TaskOutput {
    let mut output = TaskOutput::default();
    match kind {
        TaskKind::Aggregate(task) => {
            output.counters.add(Counter::RowsIn, 100);
            output.shuffle = Some(vec![PartitionSize { rows: 1, bytes }; 2 * task.partitions as usize]);
        }
        TaskKind::MergeGroups(_) | TaskKind::Merge(_) => {
            output.counters.add(Counter::RowsIn, 7);
            output.counters.add(Counter::RowsOut, 7);
            let rows = if matches!(kind, TaskKind::Merge(_)) { 64 * 7 } else { 7 };
            output.shard = Some(entry(rows, 10));
        }
        other => panic!("{other:?}"),
    }
    output
}

fn names(stages: &[(String, Vec<TaskSpec>)]) -> Vec<(&str, usize)> {
    stages.iter().map(|(name, tasks)| (name.as_str(), tasks.len())).collect()
}

#[test]
fn few_groups_are_one_task_and_need_no_sort() {
    let (stages, published, counters) = run(&["s"], &[(500, 9_000), (0, 50), (400, 9_000)], 1_000);
    // Small shards are read by one task.
    assert_eq!(names(&stages), [("aggregate", 1), ("groups", 1)]);
    assert_eq!((counters.get(&Counter::RowsIn), counters.get(&Counter::RowsOut)), (100, 7));
    let TaskKind::MergeGroups(task) = &stages[1].1[0].kind else { panic!("{stages:?}") };
    assert_eq!((task.of, task.partitions, task.sorted), (1, (0, 1), true));
    assert_eq!(task.sizes.0, [PartitionSize { rows: 1, bytes: 1_000 }]);
    assert_eq!(published.drafts[0].schema.names_joined(), "s, n, mean, different");
    assert_eq!(published.drafts[0].shards.len(), 1);
}

#[test]
fn many_groups_are_several_tasks_and_sorted_afterwards() {
    let (stages, published, counters) = run(&["s"], &[(1_000_000, 20 << 20); 8], 1 << 20);
    // 320 MB in memory, 64 partitions, 16 MB each.
    assert_eq!(names(&stages), [("aggregate", 8), ("groups", 64), ("sort", 1)]);
    assert_eq!((counters.get(&Counter::RowsIn), counters.get(&Counter::RowsOut)), (800, 64 * 7));
    let mut covered = 0;
    for task in &stages[1].1 {
        let TaskKind::MergeGroups(task) = &task.kind else { panic!("{task:?}") };
        assert!(!task.sorted && task.of == 64 && task.partitions.0 == covered && task.runs.to == 8);
        covered = task.partitions.1;
    }
    assert_eq!(covered, 64);
    assert!(stages[2].1[0].reads.iter().map(|r| (r.stage, r.from, r.to)).eq([(1, 0, 64)]));
    assert_eq!(published.drafts[0].shards.len(), 1);
}

#[test]
fn everything_is_one_group_and_nothing_too() {
    let (stages, published, _) = run(&[], &[(1_000_000, 60 << 20); 8], 1 << 30);
    assert_eq!(names(&stages), [("aggregate", 8), ("groups", 1)]);
    assert_eq!(published.drafts[0].shards.len(), 1);
    let (stages, published, counters) = run(&[], &[(0, 10)], 0);
    assert_eq!(names(&stages), [("groups", 1)]);
    assert!(stages[0].1[0].reads.is_empty());
    assert_eq!((published.drafts[0].shards.len(), counters.get(&Counter::RowsIn)), (1, 0));
    let (stages, published, _) = run(&["s"], &[], 0);
    assert!(stages.is_empty() && published.drafts[0].shards.is_empty());
    assert_eq!(published.drafts[0].schema.names_joined(), "s, n, mean, different");
}

#[test]
fn neighbours_are_merged_together_up_to_a_size() {
    let mb = 1 << 20;
    assert_eq!(neighbours(&[5 * mb, 5 * mb, 20 * mb, 0, mb], TASK_BYTES), [(0, 2), (2, 3), (3, 5)]);
    assert_eq!(neighbours(&[0, 0, 0], TASK_BYTES), [(0, 3)]);
}
