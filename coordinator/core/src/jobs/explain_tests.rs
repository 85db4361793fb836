//! Plans in words agree with the plans that would run.

use shardmill_common::ids::{JobId, ObjectId};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::compact::CompactSpec;
use shardmill_common::kinds::compare::{CompareSpec, How, Validate};
use shardmill_common::kinds::dedup::{DedupOptions, DedupSpec};
use shardmill_common::kinds::join::{JoinHow, JoinSpec};
use shardmill_common::kinds::split::{SplitSide, SplitSpec};
use shardmill_common::manifest::{Manifest, ObjectRef, ShardEntry};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::time::Timestamp;

use super::*;

fn manifest(name: &str, shards: usize, bytes: u64) -> Manifest {
    let entry = || {
        let object = ObjectRef { id: ObjectId::fresh(), bytes, checksum: String::new() };
        ShardEntry { object, stored_rows: 10, deletions: None }
    };
    Manifest {
        name: name.parse().unwrap(),
        version: 1,
        schema: Schema::new(vec![Field::new("k", DataType::Int64), Field::new("v", DataType::String)]),
        shards: (0..shards).map(|_| entry()).collect(),
        replicas: 1,
        job: JobId(1),
        created: Timestamp::now(),
    }
}

fn plan(spec: JobSpec, inputs: Vec<Manifest>) -> Explanation {
    explain(&ResolvedJob { spec, inputs, replicas: 1 }).unwrap()
}

fn stages(plan: &Explanation) -> Vec<(&str, Option<u64>)> {
    assert!(plan.stages.iter().all(|s| !s.does.is_empty()), "{:?}", plan.stages);
    plan.stages.iter().map(|s| (s.name.as_str(), s.tasks)).collect()
}

fn joining(how: JoinHow, broadcast_limit: u64) -> JobSpec {
    JobSpec::Join(JoinSpec {
        left: "a".parse().unwrap(),
        right: "b".parse().unwrap(),
        output: "o".parse().unwrap(),
        on: vec![("k".into(), "k".into())],
        how,
        nulls_equal: false,
        numbers_match_text: false,
        suffixes: ("_x".into(), "_y".into()),
        broadcast_limit,
        replicas: None,
    })
}

#[test]
fn a_join_says_whether_and_why_it_is_broadcast() {
    let inputs = || vec![manifest("a", 3, 1000), manifest("b", 2, 100)];
    let small = plan(joining(JoinHow::Left, 200), inputs());
    // Small shards are looked up, and hashed, together.
    assert_eq!(stages(&small), [("look up", Some(1))]);
    assert!(small.notes[0].starts_with("b@1 is broadcast: it has 200 B"), "{:?}", small.notes);
    // The driving side of a right join is the right one.
    let right = plan(joining(JoinHow::Right, 200), inputs());
    let large: &[(&str, Option<u64>)] = &[("hash", Some(2)), ("match", None), ("deliver", Some(1)), ("merge", Some(1))];
    assert_eq!(stages(&right), large);
    assert!(right.notes[0].contains("a@1 has") && right.notes[0].contains("shuffled"), "{:?}", right.notes);
    let outer = plan(joining(JoinHow::Outer, 1 << 30), inputs());
    assert_eq!(stages(&outer)[3], ("merge", Some(2)));
    let semi = plan(joining(JoinHow::Semi, 0), inputs());
    assert_eq!(stages(&semi), [("hash", Some(2)), ("match", None), ("drop rows", None)]);
}

#[test]
fn a_compaction_of_what_is_compact_has_nothing_to_do() {
    let compact = || {
        let (input, output) = ("a".parse().unwrap(), "o".parse().unwrap());
        JobSpec::Compact(CompactSpec { input, output, replicas: None })
    };
    let notes = |shards, bytes| plan(compact(), vec![manifest("a", shards, bytes)]).notes;
    assert_eq!(notes(3, 1000), ["3 shards become 1"]);
    assert_eq!(notes(2, 7 << 20), ["nothing has to be computed: the shards stay as they are"]);
    assert_eq!(notes(0, 0), ["nothing has to be computed: the result has no rows"]);
}

#[test]
fn other_kinds_name_the_stages_that_they_plan() {
    let dedup = DedupSpec {
        input: "a".parse().unwrap(),
        output: "o".parse().unwrap(),
        options: DedupOptions::default(),
        replicas: None,
    };
    let dedup = plan(JobSpec::Dedup(dedup), vec![manifest("a", 3, 3 << 20)]);
    assert_eq!(stages(&dedup), [("hash", Some(3)), ("find duplicates", None), ("drop duplicates", None)]);
    assert_eq!((dedup.kind.as_str(), dedup.outputs.as_slice()), ("dedup", &["o".to_owned()][..]));
    let compare = CompareSpec {
        left: "a".parse().unwrap(),
        right: "b".parse().unwrap(),
        output: "o".parse().unwrap(),
        on: None,
        how: How::Outer,
        validate: Validate::ManyToMany,
        suffixes: ("_x".into(), "_y".into()),
        changes: false,
        replicas: None,
    };
    let compare = plan(JobSpec::Compare(compare), vec![manifest("a", 1, 10), manifest("b", 2, 10)]);
    assert_eq!(stages(&compare), [("hash", Some(2)), ("match", None), ("merge", Some(2))]);
    let split = |stratify: Option<&str>| SplitSpec {
        input: "a".parse().unwrap(),
        into: ["x", "y"].map(|n| SplitSide { output: n.parse().unwrap(), share: 0.5 }).to_vec(),
        stratify: stratify.map(str::to_owned),
        seed: 0,
        replicas: None,
    };
    let plain = plan(JobSpec::Split(split(None)), vec![manifest("a", 3, 10)]);
    assert_eq!(stages(&plain), [("split", Some(6))]);
    let by_value = plan(JobSpec::Split(split(Some("v"))), vec![manifest("a", 3, 10)]);
    assert_eq!(stages(&by_value), [("count", Some(3)), ("split", Some(6))]);
}

#[test]
fn what_a_plan_refuses_is_refused() {
    let job = ResolvedJob { spec: joining(JoinHow::Left, 0), inputs: vec![manifest("a", 1, 1)], replicas: 1 };
    assert!(matches!(explain(&job), Err(Refusal::Invalid(_))));
    let empty = plan(joining(JoinHow::Left, 10), vec![manifest("a", 0, 1), manifest("b", 1, 1)]);
    assert!(empty.stages.is_empty() && empty.notes[0].contains("no rows"), "{empty:?}");
}
