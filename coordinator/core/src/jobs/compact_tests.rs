//! Which shards are compacted, and where they come to stand.

use shardmill_common::counters::Counter;
use shardmill_common::ids::{JobId, ObjectId};
use shardmill_common::kinds::JobSpec;
use shardmill_common::manifest::{Manifest, ObjectRef, ShardEntry};
use shardmill_common::task::{TaskKind, TaskOutput, TaskSpec};
use shardmill_common::time::Timestamp;

use super::*;

/// A shard that is told apart by its rows.
fn entry(rows: u64, bytes: u64) -> ShardEntry {
    let object = ObjectRef { id: ObjectId(Default::default()), bytes, checksum: String::new() };
    ShardEntry { object, stored_rows: rows, deletions: None }
}

fn job(shards: &[(u64, u64)]) -> (CompactSpec, ResolvedJob) {
    let name: DatasetName = "a".parse().unwrap();
    let input = Manifest {
        name: name.clone(),
        version: 1,
        schema: Schema::default(),
        shards: shards.iter().map(|(rows, bytes)| entry(*rows, *bytes)).collect(),
        replicas: 1,
        job: JobId(1),
        created: Timestamp(0),
    };
    let spec = CompactSpec { input: input.reference(), output: name, replicas: None };
    (spec.clone(), ResolvedJob { spec: JobSpec::Compact(spec), inputs: vec![input], replicas: 1 })
}

use shardmill_common::name::DatasetName;

fn view<'a>(tasks: &'a [TaskSpec], outputs: &'a [TaskOutput]) -> StageView<'a> {
    let tasks = tasks.iter().map(|t| &t.kind).zip(outputs.iter().map(Some)).collect();
    StageView { name: "compact", memo: None, seconds: 0.0, tasks }
}

#[test]
fn neighbours_become_one_and_the_others_stay_in_their_places() {
    const M: u64 = 1 << 20;
    let (spec, job) = job(&[(1, 3 * M), (2, 4 * M), (3, 20 * M), (0, M), (4, M), (5, M), (6, 8 * M)]);
    let Next::Stage(planned) = spec.next(&job, &[]).unwrap() else { panic!("nothing to do") };
    let read: Vec<usize> = planned.tasks.iter().map(|t| t.kind.opens().len()).collect();
    assert_eq!(read, [2, 2], "a large shard, one alone, and one without rows are not read");
    assert!(planned.tasks.iter().all(|t| matches!(t.kind, TaskKind::Compact(_))));
    let made = |rows| TaskOutput { shard: Some(entry(rows, M)), ..Default::default() };
    let outputs = [made(3), made(9)];
    let Next::Publish(publication) = spec.next(&job, &[view(&planned.tasks, &outputs)]).unwrap() else {
        panic!("nothing is published")
    };
    let rows: Vec<u64> = publication.drafts[0].shards.iter().map(|s| s.stored_rows).collect();
    assert_eq!(rows, [3, 3, 9, 6]);
    let counters = spec.counters(&job, Counters::default(), &Vec::new);
    assert_eq!(
        (counters.get(&Counter::RowsIn), counters.get(&Counter::ShardsIn), counters.get(&Counter::ShardsOut)),
        (21, 7, 4)
    );
}

#[test]
fn what_is_large_is_published_as_it_is() {
    let (spec, job) = job(&[(1, 9 << 20), (2, 9 << 20)]);
    let Next::Publish(publication) = spec.next(&job, &[]).unwrap() else { panic!("something is written") };
    assert_eq!(publication.drafts[0].shards, job.inputs[0].shards);
}

#[test]
fn only_many_small_shards_are_worth_it() {
    let shards = |n, bytes| vec![ShardAt::stored(&entry(1, bytes)); n];
    assert!(is_worth_it(&shards(64, 1000)));
    assert!(!is_worth_it(&shards(63, 1000)));
    assert!(!is_worth_it(&shards(1000, 5 << 20)));
}

/// What a task left that wrote so many shards of so many bytes.
fn left(shards: usize, bytes: u64) -> TaskOutput {
    let made: Vec<ShardEntry> = (0..shards)
        .map(|n| ShardEntry {
            object: ObjectRef { id: ObjectId::fresh(), ..entry(1, bytes).object },
            ..entry(n as u64 + 1, bytes)
        })
        .collect();
    let wrote = made.iter().map(|shard| shard.object.clone()).collect();
    TaskOutput { wrote, ..TaskOutput::default() }.and_shards(made)
}

/// All of these rows in one shard.
fn whole_of(output: &TaskOutput) -> TaskOutput {
    let shard = entry(output.shards().map(ShardEntry::rows).sum(), 7);
    TaskOutput { shard: Some(shard), ..Default::default() }
}

fn drafts(outputs: &[&TaskOutput]) -> Box<Publication> {
    let draft = |output: &&TaskOutput| Draft {
        name: "a".parse().unwrap(),
        schema: Schema::default(),
        shards: output.shards().cloned().collect(),
    };
    Box::new(Publication { drafts: outputs.iter().map(draft).collect(), ..Default::default() })
}

#[test]
fn what_was_written_small_is_put_together_draft_after_draft() {
    let (some, large, many) = (left(80, 100_000), left(80, 1 << 20), left(64, 1));
    let kind = TaskKind::from(CompactTask { inputs: Vec::new(), schema: Schema::default().into() });
    let made = || StageView {
        name: "split",
        memo: None,
        seconds: 0.0,
        tasks: vec![(&kind, Some(&some)), (&kind, Some(&large)), (&kind, Some(&many))],
    };
    let published = drafts(&[&some, &large, &many]);
    let Next::Stage(planned) = compacts_first(published.clone(), &[made()]).unwrap() else { panic!("not compacted") };
    assert_eq!(planned.name, "compact outputs");
    assert_eq!(
        planned.tasks.iter().map(|t| (t.kind.opens().len(), t.reads[0].from)).collect::<Vec<_>>(),
        [(80, 0), (64, 2)]
    );
    let outputs = [&some, &many].map(whole_of);
    let tasks = planned.tasks.iter().map(|t| &t.kind).zip(outputs.iter().map(Some)).collect();
    let compacted = StageView { name: "compact outputs", memo: None, seconds: 0.0, tasks };
    let Next::Publish(publication) = compacts_first(published, &[made(), compacted]).unwrap() else {
        panic!("nothing is published")
    };
    let shards: Vec<Vec<ShardEntry>> = publication.drafts.into_iter().map(|draft| draft.shards).collect();
    let all = |output: &TaskOutput| output.shards().cloned().collect::<Vec<_>>();
    assert_eq!(shards, [all(&outputs[0]), all(&large), all(&outputs[1])]);
}

#[test]
fn what_was_there_before_is_not_written_again() {
    let small = left(80, 100_000);
    let published = drafts(&[&small]);
    let Next::Publish(publication) = compacts_first(published.clone(), &[]).unwrap() else { panic!("compacted") };
    assert_eq!(publication, published);
}

fn made<'a>(kind: &'a TaskKind, output: &'a TaskOutput) -> StageView<'a> {
    StageView { name: "map", memo: None, seconds: 0.0, tasks: vec![(kind, Some(output))] }
}

fn put_together<'a>(tasks: &'a [TaskSpec], outputs: &'a [TaskOutput]) -> StageView<'a> {
    StageView { name: "compact outputs", ..view(tasks, outputs) }
}

fn published(next: Next) -> Vec<ShardEntry> {
    match next {
        Next::Publish(publication) => publication.drafts[0].shards.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn shards_that_a_repeated_task_left_otherwise_are_published_as_they_are() {
    let (some, other) = (left(80, 100_000), left(82, 100_000));
    let kind = TaskKind::from(CompactTask { inputs: Vec::new(), schema: Schema::default().into() });
    let Next::Stage(planned) = compacts_first(drafts(&[&some]), &[made(&kind, &some)]).unwrap() else {
        panic!("not compacted")
    };
    let compacted = [whole_of(&some)];
    let whole = compacted[0].shards().next().unwrap().clone();
    let fewer = [TaskOutput { shard: Some(ShardEntry { stored_rows: 1, ..whole.clone() }), ..Default::default() }];
    let run = |output: &TaskOutput, outputs: &[TaskOutput]| {
        let stages = [made(&kind, output), put_together(&planned.tasks, outputs)];
        published(compacts_first(drafts(&[output]), &stages).unwrap())
    };
    let all = |output: &TaskOutput| output.shards().cloned().collect::<Vec<_>>();
    assert_eq!(run(&some, &compacted), [whole]);
    assert_eq!(run(&other, &compacted), all(&other), "other shards than those that were read");
    assert_eq!(run(&some, &fewer), all(&some), "rows are missing");
}
