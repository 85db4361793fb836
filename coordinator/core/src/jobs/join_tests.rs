//! Plans of joins, over inputs that exist on paper only.

use shardmill_common::counters::Counter;
use shardmill_common::ids::{JobId, ObjectId};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::join::TooLarge;
use shardmill_common::manifest::ObjectRef;
use shardmill_common::schema::DataType;
use shardmill_common::task::{PartitionSize, TaskKind, TaskOutput, TaskSpec};
use shardmill_common::time::Timestamp;

use super::*;

fn manifest(name: &str, columns: &[(&str, DataType)], rows: &[u64]) -> Manifest {
    let entry = |rows: &u64| {
        let object = ObjectRef { id: ObjectId::fresh(), bytes: 2 << 20, checksum: String::new() };
        ShardEntry { object, stored_rows: *rows, deletions: None }
    };
    Manifest {
        name: name.parse().unwrap(),
        version: 1,
        schema: Schema::new(columns.iter().map(|(n, t)| Field::new(*n, *t)).collect()),
        shards: rows.iter().map(entry).collect(),
        replicas: 1,
        job: JobId(1),
        created: Timestamp::now(),
    }
}

const LEFT: [(&str, DataType); 3] = [("id", DataType::Int64), ("k", DataType::Int64), ("v", DataType::String)];
const RIGHT: [(&str, DataType); 3] = [("k", DataType::Float64), ("ref", DataType::Int64), ("v", DataType::Date)];

fn spec(on: &[(&str, &str)], how: JoinHow) -> JoinSpec {
    JoinSpec {
        left: "l".parse().unwrap(),
        right: "r".parse().unwrap(),
        output: "o".parse().unwrap(),
        on: on.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        how,
        nulls_equal: false,
        numbers_match_text: false,
        suffixes: ("_x".into(), "_y".into()),
        broadcast_limit: 0,
        replicas: None,
    }
}

fn job(spec: &JoinSpec) -> ResolvedJob {
    let inputs = vec![manifest("l", &LEFT, &[5, 5]), manifest("r", &RIGHT, &[4, 4, 4])];
    ResolvedJob { spec: JobSpec::Join(spec.clone()), inputs, replicas: 1 }
}

fn columns(on: &[(&str, &str)], how: JoinHow) -> Vec<String> {
    let spec = spec(on, how);
    let job = job(&spec);
    let plan = plan(&spec, &job).unwrap();
    plan.pairs.columns.iter().map(|c| format!("{}:{}", c.name, c.dtype)).collect()
}

#[test]
fn columns_are_named_as_pandas_names_them() {
    assert_eq!(columns(&[("k", "k")], JoinHow::Inner), ["id:int64", "k:int64", "v_x:string", "ref:int64", "v_y:date"]);
    assert_eq!(columns(&[("k", "k")], JoinHow::Right)[1], "k:float64");
    assert_eq!(columns(&[("k", "k")], JoinHow::Outer)[1], "k:float64");
    // Under two names both columns stay; another column of one of the names is not the key.
    assert_eq!(
        columns(&[("id", "ref")], JoinHow::Left),
        ["id:int64", "k_x:int64", "v_x:string", "k_y:float64", "ref:int64", "v_y:date"]
    );
    assert_eq!(columns(&[("k", "k")], JoinHow::Semi), ["id:int64", "k:int64", "v:string"]);
}

#[test]
fn what_cannot_be_joined_is_refused() {
    let refused = |on: &[(&str, &str)], suffixes: (&str, &str)| {
        let spec = JoinSpec { suffixes: (suffixes.0.into(), suffixes.1.into()), ..spec(on, JoinHow::Inner) };
        spec.check(&job(&spec)).unwrap_err().to_string()
    };
    for (on, suffixes, parts) in [
        (&[][..], ("_x", "_y"), &["--on", "both have k, v"][..]),
        (&[("x", "k")], ("_x", "_y"), &["l@1 has no column `x`", "id, k, v"]),
        (&[("k", "x")], ("_x", "_y"), &["r@1 has no column `x`", "k, ref, v"]),
        (&[("k", "k"), ("k", "k")], ("_x", "_y"), &["`k` is named twice"]),
        (&[("v", "v")], ("_x", "_y"), &["`v`", "string in l@1", "date in r@1", "cast"]),
        (&[("id", "v")], ("_x", "_y"), &["`id` of l@1 is int64", "`v` of r@1 is date"]),
        (&[("id", "ref")], ("", ""), &["would be named `k`", "--suffixes"]),
    ] {
        let message = refused(on, suffixes);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

fn stage(next: Next, name: &str) -> Vec<TaskSpec> {
    match next {
        Next::Stage(planned) if planned.name == name => planned.tasks,
        other => panic!("{other:?}"),
    }
}

fn view<'a>(name: &'a str, tasks: &'a [TaskSpec], outputs: &'a [TaskOutput]) -> StageView<'a> {
    let tasks = tasks.iter().map(|t| &t.kind).zip(outputs.iter().map(Some)).collect();
    StageView { name, memo: None, seconds: 0.0, tasks }
}

fn sizes(rows: &[u64]) -> TaskOutput {
    let shuffle = rows.iter().map(|rows| PartitionSize { rows: *rows, bytes: *rows }).collect();
    TaskOutput { shuffle: Some(shuffle), ..Default::default() }
}

#[test]
fn a_semi_join_touches_only_shards_that_lose_some_rows() {
    let spec = spec(&[("k", "k")], JoinHow::Semi);
    let job = job(&spec);
    let hash = stage(spec.next(&job, &[]).unwrap(), "hash");
    assert_eq!(hash.len(), 5);
    let hashed: Vec<TaskOutput> = hash.iter().map(|_| sizes(&[5])).collect();
    let matching = stage(spec.next(&job, &[view("hash", &hash, &hashed)]).unwrap(), "match");
    let publish = |dropped: &[u64]| {
        let found = [sizes(dropped)];
        let views = [view("hash", &hash, &hashed), view("match", &matching, &found)];
        match spec.next(&job, &views).unwrap() {
            Next::Publish(publication) => Ok(publication.drafts[0].shards.clone()),
            other => Err(stage(other, "drop rows").len()),
        }
    };
    assert_eq!(publish(&[0, 0]).unwrap(), job.inputs[0].shards);
    assert_eq!(publish(&[5, 0]).unwrap(), job.inputs[0].shards[1..]);
    assert_eq!(publish(&[5, 2]), Err(1));
}

#[test]
fn sides_are_shuffled_where_a_worker_cannot_hold_the_small_one() {
    let spec = JoinSpec { broadcast_limit: 8 << 20, ..spec(&[("k", "k")], JoinHow::Left) };
    let job = job(&spec);
    let lookups = stage(spec.next(&job, &[]).unwrap(), "look up");
    assert_eq!(lookups.len(), 2);
    assert!(lookups.iter().all(|t| t.objects.len() == 4 && matches!(t.kind, TaskKind::Lookup(_))));
    let made = || {
        let mut output = TaskOutput { shard: Some(job.inputs[0].shards[0].clone()), ..Default::default() };
        output.counters.add(Counter::RowsOut, 5);
        output
    };
    let done = [made(), made()];
    assert!(matches!(spec.next(&job, &[view("look up", &lookups, &done)]).unwrap(), Next::Publish(_)));
    let too_large = [made(), made().and_reports::<LookupTask>(&TooLarge { needs: 2, has: 1 }).unwrap()];
    let hash = stage(spec.next(&job, &[view("look up", &lookups, &too_large)]).unwrap(), "hash");
    assert_eq!(hash.len(), 5);
    let counted = |outputs: &[TaskOutput]| {
        let mut sum = Counters::default();
        outputs.iter().for_each(|o| sum.merge(&o.counters));
        spec.counters(&job, sum, &|| vec![view("look up", &lookups, outputs)]).get(&Counter::RowsOut)
    };
    assert_eq!((counted(&done), counted(&too_large)), (10, 0));
}

#[test]
fn whole_numbers_match_their_text_only_where_that_is_wanted() {
    let keys = |on: (&str, &str), numbers_match_text: bool| {
        let spec = JoinSpec { numbers_match_text, ..spec(&[on], JoinHow::Left) };
        let job = job(&spec);
        let pairs = plan(&spec, &job).map(|p| (p.pairs.left_keys[0].dtype, p.pairs.right_keys[0].dtype));
        pairs.map_err(|e| e.to_string())
    };
    assert!(keys(("v", "ref"), false).unwrap_err().contains("cast one of them"));
    assert_eq!(keys(("v", "ref"), true), Ok((Some(DataType::String), Some(DataType::String))));
    // The text of a float is not what anybody wrote.
    assert!(keys(("v", "k"), true).unwrap_err().contains("cast one of them"));
    assert!(keys(("id", "v"), true).unwrap_err().contains("cast one of them"));
}
