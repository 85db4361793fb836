//! Planners that panic.

use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::dedup::{DedupOptions, DedupSpec};
use shardmill_common::kinds::sort::SortPhase;
use shardmill_common::manifest::{Manifest, ObjectRef, ShardEntry};
use shardmill_common::schema::Schema;
use shardmill_common::time::Timestamp;

use super::*;
use crate::jobs::{ResolvedJob, StageView};
use crate::scheduler::{Event, SchedulerOptions};
use crate::tables::JobRow;

fn panics(_: &ResolvedJob, stages: &[StageView<'_>], _: u32) -> Result<Next, Failure> {
    match stages.len() {
        0 => Ok(Next::stage(SortPhase::Sort, Vec::new(), Vec::new())),
        n => panic!("no idea what follows {n} stage"),
    }
}

#[test]
fn a_planner_that_panics_fails_its_job_for_good_and_names_the_stage() {
    let mut scheduler = Scheduler::new(SchedulerOptions::default(), panics, 1);
    let object =
        ObjectRef { id: shardmill_common::ids::ObjectId(Default::default()), bytes: 1, checksum: String::new() };
    let input = Manifest {
        name: "a".parse().unwrap(),
        version: 1,
        schema: Schema::default(),
        shards: vec![ShardEntry { object, stored_rows: 1, deletions: None }],
        replicas: 1,
        job: JobId(1),
        created: Timestamp(0),
    };
    let spec = DedupSpec {
        input: input.reference(),
        output: "b".parse().unwrap(),
        options: DedupOptions::default(),
        replicas: None,
    };
    let row = JobRow {
        resolved: ResolvedJob { spec: JobSpec::Dedup(spec), inputs: vec![input], replicas: 1 },
        who: "me@here".into(),
        priority: 0,
        deadline: None,
        submitted: Timestamp(0),
    };
    let actions = scheduler.step(0, Event::Submitted { job: JobId(7), row: Box::new(row) });
    let end = actions.iter().find_map(|action| match action {
        Action::Ended { job, end } => Some((job.id, end.clone())),
        _ => None,
    });
    let why = "the planner of dedup panicked after stage `sort`: no idea what follows 1 stage";
    assert_eq!(end, Some((JobId(7), JobEnd::Failed(Failure::internal(why)))));
    let mut left = crate::rows::Store::default();
    scheduler.ledger.writes.iter().for_each(|write| left.apply(write));
    assert!(left.is_empty(), "after a restart it would panic again");
}
