//! Plans of users' jobs, over inputs that exist on paper only.

use shardmill_common::counters::Counter;
use shardmill_common::ids::{JobId, ObjectId};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::dedup::HashColumn;
use shardmill_common::kinds::mapreduce::MapInput;
use shardmill_common::kinds::mapreduce::step::Work;
use shardmill_common::manifest::{Manifest, ObjectRef};
use shardmill_common::schema::Field;
use shardmill_common::task::{PartitionSize, TaskKind, TaskOutput};
use shardmill_common::time::Timestamp;

use super::super::plan::Planned;
use super::*;
use crate::jobs::Publication;

fn entry(rows: u64, bytes: u64) -> ShardEntry {
    ShardEntry {
        object: ObjectRef { id: ObjectId::fresh(), bytes, checksum: String::new() },
        stored_rows: rows,
        deletions: None,
    }
}

fn schema(columns: &[(&str, DataType)]) -> Schema {
    Schema::new(columns.iter().map(|(name, dtype)| Field::new(*name, *dtype)).collect())
}

fn clicks() -> Schema {
    schema(&[("user", DataType::String), ("at", DataType::Int64)])
}

fn spec(inputs: &[&str], keys: &[&str], reduce: bool) -> MapReduceSpec {
    let input = |name: &&str| MapInput {
        name: (*name).into(),
        dataset: name.parse().unwrap(),
        map: (!reduce).then(|| Step::Sql("SELECT * FROM input".into())),
    };
    MapReduceSpec {
        output: "out".parse().unwrap(),
        inputs: inputs.iter().map(input).collect(),
        keys: keys.iter().map(|k| (*k).to_owned()).collect(),
        then_by: Vec::new(),
        combine: None,
        reduce: reduce.then(|| Step::Sql("SELECT user FROM input GROUP BY user".into())),
        per_shard: false,
        work: Work::default(),
        replicas: None,
    }
}

fn job(spec: &MapReduceSpec, shards: &[usize], bytes: u64) -> ResolvedJob {
    let manifest = |(input, shards): (&MapInput, &usize)| Manifest {
        name: input.dataset.name.clone(),
        version: 1,
        schema: clicks(),
        shards: (0..*shards).map(|_| entry(10, bytes)).collect(),
        replicas: 1,
        job: JobId(1),
        created: Timestamp::now(),
    };
    let inputs = spec.inputs.iter().zip(shards).map(manifest).collect();
    ResolvedJob { spec: JobSpec::MapReduce(spec.clone()), inputs, replicas: 1 }
}

fn checked(maps: usize) -> TaskOutput {
    let checked = Checked {
        maps: vec![Some(clicks()); maps],
        keys: vec![HashColumn { name: "user".into(), dtype: Some(DataType::String) }],
        output: Some(schema(&[("user", DataType::String)])),
    };
    TaskOutput::reporting::<CheckTask>(&checked).unwrap()
}

/// A stage that is done, and what its tasks put out.
type Done = (Box<Planned>, Vec<TaskOutput>);

/// Plans on from stages that are done; `outputs` says what each task of a new stage puts out.
fn run(
    spec: &MapReduceSpec,
    job: &ResolvedJob,
    outputs: impl Fn(&str, usize) -> TaskOutput,
) -> Result<(Vec<Done>, Box<Publication>), Failure> {
    let mut done: Vec<Done> = Vec::new();
    loop {
        let views: Vec<StageView<'_>> = done
            .iter()
            .map(|(planned, outputs)| StageView {
                name: &planned.name,
                memo: None,
                seconds: 0.0,
                tasks: planned.tasks.iter().map(|t| &t.kind).zip(outputs.iter().map(Some)).collect(),
            })
            .collect();
        match spec.next(job, &views)? {
            Next::Stage(planned) => {
                let made = (0..planned.tasks.len()).map(|n| outputs(&planned.name, n)).collect();
                done.push((planned, made));
            }
            Next::Publish(publication) => return Ok((done, publication)),
            Next::Quiet => panic!("nothing is published"),
        }
    }
}

fn names(done: &[Done]) -> Vec<(&str, usize)> {
    done.iter().map(|(planned, _)| (planned.name.as_str(), planned.tasks.len())).collect()
}

fn shuffle(bytes: &[u64]) -> TaskOutput {
    let sizes = bytes.iter().map(|bytes| PartitionSize { rows: 1, bytes: *bytes }).collect();
    TaskOutput { shuffle: Some(sizes), ..Default::default() }
}

fn shard(columns: &[(&str, DataType)]) -> TaskOutput {
    TaskOutput { shard: Some(entry(3, 10)), schema: Some(schema(columns)), ..Default::default() }
}

#[test]
fn each_side_is_read_from_the_maps_of_its_input() {
    let spec = spec(&["a", "b"], &["user"], true);
    let job = job(&spec, &[2, 3], 1000);
    let out = |stage: &str, _| match stage {
        "check" => checked(2),
        "map" => shuffle(&[5]),
        _ => shard(&[("user", DataType::String)]),
    };
    let (done, publication) = run(&spec, &job, out).unwrap();
    assert_eq!(names(&done), [("check", 1), ("map", 5), ("reduce", 1)]);
    let TaskKind::Reduce(task) = &done[2].0.tasks[0].kind else { panic!("no reduce") };
    let sides: Vec<(&str, u32, u32)> =
        task.sides.iter().map(|s| (s.name.as_str(), s.runs[0].from, s.runs[0].to)).collect();
    assert_eq!(sides, [("a", 0, 2), ("b", 2, 5)]);
    assert_eq!(done[2].0.keeps, [1]);
    assert_eq!(publication.drafts.len(), 1);
    assert_eq!(publication.drafts[0].schema, schema(&[("user", DataType::String)]));
}

#[test]
fn partitions_follow_from_bytes_and_tasks_take_neighbours() {
    let spec = spec(&["a"], &["user"], true);
    let job = job(&spec, &[4], 16 << 20);
    assert_eq!(partitions(&spec, &job), 8);
    let mib = |n: u64| n << 20;
    let sizes = [mib(3), mib(3), mib(9), mib(1), 0, mib(1), mib(1), mib(1)];
    let out = |stage: &str, _| match stage {
        "check" => checked(1),
        "map" => shuffle(&sizes),
        _ => TaskOutput::default(),
    };
    let (done, _) = run(&spec, &job, out).unwrap();
    let taken: Vec<(u32, u32)> = done[2]
        .0
        .tasks
        .iter()
        .map(|t| match &t.kind {
            TaskKind::Reduce(task) => task.partitions,
            other => panic!("{other:?}"),
        })
        .collect();
    // Four maps of these sizes: 76 MiB, of which a task takes an eighth or one partition.
    assert_eq!(taken, [(0, 1), (1, 2), (2, 3), (3, 6), (6, 8)]);
}

#[test]
fn a_global_group_is_combined_in_a_tree() {
    let mut spec = spec(&["a"], &[], true);
    spec.combine = Some("SELECT user FROM input".into());
    let job = job(&spec, &[40], 16 << 20);
    let out = |stage: &str, _| match stage {
        "check" => checked(1),
        "map" | "combine" => shuffle(&[7]),
        _ => shard(&[("user", DataType::String)]),
    };
    let (done, _) = run(&spec, &job, out).unwrap();
    assert_eq!(names(&done), [("check", 1), ("map", 40), ("combine", 3), ("reduce", 1)]);
    let TaskKind::Reduce(task) = &done[3].0.tasks[0].kind else { panic!("no reduce") };
    assert_eq!(task.sides[0].runs, [TaskRange { stage: 2, from: 0, to: 3 }]);
    let read: u32 = done[2].0.tasks.iter().flat_map(|t| &t.reads).map(|r| r.to - r.from).sum();
    assert_eq!(read, 40, "every map is combined once");
}

#[test]
fn shards_of_other_columns_are_brought_to_the_common_ones() {
    let spec = spec(&["a"], &[], false);
    let job = job(&spec, &[3], 10);
    let unknown = Checked { maps: vec![None], keys: Vec::new(), output: None };
    let out = |stage: &str, n: usize| match (stage, n) {
        ("check", _) => TaskOutput::reporting::<CheckTask>(&unknown).unwrap(),
        ("map", 1) => shard(&[("n", DataType::Int64)]),
        ("map", _) => shard(&[("n", DataType::Float64)]),
        _ => shard(&[("n", DataType::Float64)]),
    };
    let (done, publication) = run(&spec, &job, out).unwrap();
    assert_eq!(names(&done), [("check", 1), ("map", 3), ("conform", 1)]);
    let made = |n: usize, task: usize| done[n].1[task].shard.as_ref().unwrap().object.id;
    let published: Vec<ObjectId> = publication.drafts[0].shards.iter().map(|s| s.object.id).collect();
    assert_eq!(published, [made(1, 0), made(2, 0), made(1, 2)], "the order of the dataset is kept");
}

#[test]
fn skipped_records_are_limited_in_the_whole_job_and_published() {
    let mut spec = spec(&["a"], &[], false);
    spec.work.skip_bad = 3;
    let job = job(&spec, &[2], 10);
    let skipping = |n: u64| {
        move |stage: &str, _| match stage {
            "check" => checked(1),
            _ => {
                let mut output = shard(&[("user", DataType::String)]);
                output.rejects = Some(entry(n, 10));
                output.counters.add(Counter::Skipped, n);
                output
            }
        }
    };
    let (_, publication) = run(&spec, &job, skipping(1)).unwrap();
    let drafts: Vec<(&str, usize)> = publication.drafts.iter().map(|d| (d.name.as_str(), d.shards.len())).collect();
    assert_eq!(drafts, [("out", 2), ("out.rejects", 2)]);
    let error = run(&spec, &job, skipping(2)).err().unwrap().to_string();
    assert!(error.contains("4 records") && error.contains("--skip-bad allows 3"), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let told = |change: &dyn Fn(&mut MapReduceSpec)| {
        let mut spec = spec(&["a", "b"], &["user"], true);
        change(&mut spec);
        let job = job(&spec, &[1, 1], 10);
        spec.check(&job).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert_eq!(told(&|_| {}), "");
    assert!(told(&|s| s.inputs.clear()).contains("--input"));
    assert!(told(&|s| s.inputs[1].name = "a".into()).contains("two inputs have the name `a`"));
    assert!(told(&|s| s.inputs[1].name = "x y".into()).contains("cannot name a table"));
    assert!(told(&|s| s.keys.push("user".into())).contains("twice"));
    assert!(told(&|s| s.keys.push("nope".into())).contains("`nope` is not among the rows of a"));
    assert!(told(&|s| s.combine = Some("SELECT 1".into())).contains("one input"));
    assert!(told(&|s| s.reduce = None).contains("--reduce"));
    let key = shardmill_common::kinds::sort::SortKey { column: "at".into(), descending: false };
    assert!(told(&|s| s.then_by = vec![key.clone()]).contains("--then-by"));
}
