//! Plans of sorts, over inputs that exist on paper only.

use shardmill_common::ids::{JobId, ObjectId};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::sort::SortKey;
use shardmill_common::manifest::{Manifest, ObjectRef, ShardEntry};
use shardmill_common::schema::Field;
use shardmill_common::task::{PartitionSize, ShardRef, TaskKind, TaskOutput};
use shardmill_common::time::Timestamp;

use super::*;
use crate::jobs::Publication;

fn entry(rows: u64, bytes: u64) -> ShardEntry {
    let object = ObjectRef { id: ObjectId::fresh(), bytes, checksum: String::new() };
    ShardEntry { object, stored_rows: rows, deletions: None }
}

fn spec(columns: &[&str]) -> SortSpec {
    let by = columns.iter().map(|c| SortKey { column: (*c).into(), descending: false }).collect();
    SortSpec {
        input: "t".parse().unwrap(),
        output: "u".parse().unwrap(),
        order: SortOrder { by, nulls_last: false },
        replicas: None,
    }
}

fn job(spec: &SortSpec, shards: &[(u64, u64)]) -> ResolvedJob {
    let input = Manifest {
        name: "t".parse().unwrap(),
        version: 1,
        schema: Schema::new(vec![Field::new("s", DataType::String), Field::new("x", DataType::Float64)]),
        shards: shards.iter().map(|(rows, bytes)| entry(*rows, *bytes)).collect(),
        replicas: 1,
        job: JobId(1),
        created: Timestamp::now(),
    };
    ResolvedJob { spec: JobSpec::Sort(spec.clone()), inputs: vec![input], replicas: 1 }
}

/// Runs the stages of a sort on paper: every task puts out what `of` says. Returns their names and what is published.
fn run(shards: &[(u64, u64)], of: impl Fn(&TaskKind) -> TaskOutput) -> (Vec<(String, Vec<TaskSpec>)>, Publication) {
    let spec = spec(&["x", "s"]);
    let job = job(&spec, shards);
    spec.check(&job).unwrap();
    let rows: u64 = shards.iter().map(|(rows, _)| rows).sum();
    let mut done: Vec<(String, Vec<TaskSpec>, Vec<TaskOutput>)> = Vec::new();
    loop {
        let views: Vec<StageView<'_>> = done
            .iter()
            .map(|(name, tasks, outputs)| StageView {
                name,
                memo: None,
                seconds: 0.0,
                tasks: tasks.iter().map(|t| &t.kind).zip(outputs.iter().map(Some)).collect(),
            })
            .collect();
        match spec.next(&job, &views).unwrap() {
            Next::Stage(planned) => {
                let mut outputs: Vec<TaskOutput> = planned.tasks.iter().map(|t| of(&t.kind)).collect();
                let made: u64 = outputs.iter().flat_map(TaskOutput::shards).map(ShardEntry::rows).sum();
                if let Some(last) = outputs.iter_mut().filter_map(|output| output.more.last_mut()).next_back() {
                    // All rows come out again.
                    last.stored_rows = last.stored_rows + rows - made;
                }
                done.push((planned.name, planned.tasks, outputs));
            }
            Next::Publish(publication) => {
                return (done.into_iter().map(|(name, tasks, _)| (name, tasks)).collect(), *publication);
            }
            Next::Quiet => panic!("a sort publishes"),
        }
    }
}

fn shuffled(partitions: u32) -> TaskOutput {
    let size = |n: u32| PartitionSize { rows: u64::from(n % 3), bytes: u64::from(n % 3) * 100 };
    TaskOutput { shuffle: Some((0..partitions).map(size).collect()), ..Default::default() }
}

fn outputs(kind: &TaskKind) -> TaskOutput {
    match kind {
        TaskKind::Sample(_) | TaskKind::Bounds(_) => shuffled(1),
        TaskKind::Range(task) => shuffled(task.partitions),
        TaskKind::Merge(_) => TaskOutput { shard: Some(entry(1, 1)), more: vec![entry(2, 1)], ..Default::default() },
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_small_is_one_task_and_what_is_empty_is_none() {
    let (stages, published) = run(&[(1, 500), (0, 90), (2, 700)], outputs);
    let [(name, tasks)] = stages.as_slice() else { panic!("{stages:?}") };
    assert_eq!((name.as_str(), tasks.len(), tasks[0].objects.len()), ("sort", 1, 2));
    assert_eq!(published.drafts[0].shards.iter().map(ShardEntry::rows).collect::<Vec<_>>(), [1, 2]);
    for shards in [&[][..], &[(0, 100)][..]] {
        let (stages, published) = run(shards, outputs);
        assert!(stages.is_empty() && published.drafts[0].shards.is_empty());
        assert_eq!(published.drafts[0].schema.names_joined(), "s, x");
    }
}

#[test]
fn what_is_large_goes_by_ranges() {
    let (stages, published) = run(&[(400_000, 30 << 20); 20], outputs);
    let names: Vec<(&str, usize)> = stages.iter().map(|(name, tasks)| (name.as_str(), tasks.len())).collect();
    // 1.2 GB in memory: 19 ranges, of which every third is empty.
    assert_eq!(names, [("sample", 20), ("bounds", 1), ("range", 20), ("merge", 12)]);
    assert_eq!(published.drafts[0].shards.len(), 24);
    let (_, ranges) = &stages[2];
    for (n, task) in ranges.iter().enumerate() {
        let TaskKind::Range(range) = &task.kind else { panic!("{task:?}") };
        assert_eq!((range.inputs[0].ordinal as usize, range.bounds, range.partitions), (n, TaskRange::one(1, 0), 19));
        assert!(matches!(range.inputs[0].shard, ShardRef::Stored(_)) && task.reads == [TaskRange::one(1, 0)]);
    }
    let merged: Vec<u32> = stages[3]
        .1
        .iter()
        .map(|task| match &task.kind {
            TaskKind::Merge(MergeTask { rows: Unsorted::Range { partition, .. }, .. }) => *partition,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(merged, [1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17]);
}

#[test]
fn rows_that_went_missing_meanwhile_fail_the_job() {
    let spec = spec(&["x"]);
    let job = job(&spec, &[(1, 500), (3, 700)]);
    let Next::Stage(planned) = spec.next(&job, &[]).unwrap() else { panic!("nothing to do") };
    let next = |rows| {
        let output = TaskOutput { shard: Some(entry(rows, 1)), ..Default::default() };
        let tasks = vec![(&planned.tasks[0].kind, Some(&output))];
        spec.next(&job, &[StageView { name: "sort", memo: None, seconds: 0.0, tasks }]).map(|_| ())
    };
    next(4).unwrap();
    for rows in [3, 5] {
        let told = next(rows).unwrap_err().to_string();
        assert!(told.contains(&format!("4 rows were to be sorted, and there are {rows}")), "{told}");
    }
}

#[test]
fn samples_are_evenly_spread_over_all_rows() {
    let shards = [(150_000, 60 << 20), (3, 100), (1, 100), (200_000, 60 << 20), (17, 200), (100_000, 60 << 20)];
    let (stages, _) = run(&shards, outputs);
    // The two small ones that follow each other are sampled together.
    let shards = [150_000, 4, 200_000, 17, 100_000];
    let mut taken = Vec::new();
    let mut before = 0;
    for (task, rows) in stages[0].1.iter().zip(shards) {
        let TaskKind::Sample(sample) = &task.kind else { panic!("{task:?}") };
        taken.extend((sample.first..rows).step_by(sample.step as usize).map(|row| before + row));
        before += rows;
    }
    assert!(taken.len() > 50_000 && taken.windows(2).all(|pair| pair[1] - pair[0] == 7), "{}", taken.len());
}

#[test]
fn columns_are_checked_before_anything_runs() {
    let refused = |columns: &[&str]| {
        let spec = spec(columns);
        spec.check(&job(&spec, &[(1, 1)])).unwrap_err().to_string()
    };
    assert_eq!(refused(&["x", "z"]), "t@1 has no column `z`; its columns are s, x");
    assert!(refused(&["x", "s", "x"]).contains("`x` to sort by is named twice"));
    assert!(refused(&[]).contains("no column"));
}
