//! What clients see: the status of jobs and nodes, made from the scheduler's state.

use shardmill_common::failure::Refusal;
use shardmill_common::ids::JobId;
use shardmill_common::status::{JobState, JobStatus, NodeStatus, StageStatus};
use shardmill_common::task::{ShardInput, ShardRef, TaskKind};
use shardmill_common::time::Timestamp;

use super::Driver;
use crate::journal::JobRow;
use crate::scheduler::{Job, Presence, Stage, TaskState};

impl Driver {
    pub(super) fn job_status(&self, id: JobId) -> Result<JobStatus, Refusal> {
        if let Some(status) = self.finished.get(&id) {
            return Ok(status.clone());
        }
        match (self.scheduler.job(id), self.infos.get(&id)) {
            (Some(job), Some(info)) => Ok(self.running_status(job, &info.row)),
            _ => Err(Refusal::NotFound(format!("there is no job {id}; `shardmill job list` shows what there is"))),
        }
    }

    pub(super) fn running_status(&self, job: &Job, row: &JobRow) -> JobStatus {
        let stages = stage_statuses(&job.stages);
        let (mut bytes_total, mut bytes_done, mut rows_done) = (0, 0, 0);
        if let Some(stage) = job.stages.last() {
            for task in &stage.tasks {
                let bytes = input_bytes(&task.spec.kind);
                bytes_total += bytes;
                match &task.state {
                    TaskState::Waiting => {}
                    TaskState::Running(attempts) => {
                        bytes_done += attempts.iter().map(|a| a.bytes.min(bytes)).max().unwrap_or(0);
                        rows_done += attempts.iter().map(|a| a.rows).max().unwrap_or(0);
                    }
                    TaskState::Done(done) => {
                        bytes_done += bytes;
                        let counters = &done.output.counters;
                        rows_done += counters.get("rows_read").max(counters.get("rows_in"));
                    }
                }
            }
        }
        let mut notices = Vec::new();
        if let Some(why) = &job.starved_for {
            notices.push(format!("waiting: {why}"));
        }
        let live = self.scheduler.live_workers();
        if live < job.resolved.replicas {
            notices.push(format!(
                "{live} of the {} workers needed for the wanted copies are alive; the missing copies are made when more join",
                job.resolved.replicas
            ));
        }
        JobStatus {
            job: job.id,
            kind: job.resolved.spec.kind().to_owned(),
            state: JobState::Running,
            stages,
            counters: job.counters(),
            bytes_total,
            bytes_done,
            rows_done,
            dataset: None,
            rows: None,
            model: None,
            converged: None,
            rounds: crate::jobs::rounds(&job.resolved, &job.views()),
            error: None,
            who: row.who.clone(),
            submitted: row.submitted,
            finished: None,
            notices,
        }
    }

    pub(super) fn node_statuses(&self) -> Vec<NodeStatus> {
        self.scheduler
            .workers()
            .map(|w| {
                let (mut objects, mut bytes) = (0, 0);
                for (_, object) in self.scheduler.objects().iter().filter(|(_, o)| o.holders.contains(&w.id())) {
                    objects += 1;
                    bytes += object.reference.as_ref().map_or(0, |r| r.bytes);
                }
                let state = match w.presence {
                    Presence::Alive if w.draining && self.scheduler.is_drained(w.id()) => "drained",
                    Presence::Alive if w.draining => "draining",
                    Presence::Alive => "alive",
                    Presence::Away { .. } => "away",
                    Presence::Lost { .. } => "lost",
                };
                NodeStatus {
                    worker: w.id(),
                    url: w.peer.url.clone(),
                    state: state.into(),
                    slots: w.slots,
                    running: w.running.len() as u32,
                    memory: w.memory,
                    objects,
                    bytes,
                    last_seen: Timestamp(w.last_seen),
                }
            })
            .collect()
    }
}

/// The stages, those of one name that follow each other (the rounds of a training) as one.
fn stage_statuses(stages: &[Stage]) -> Vec<StageStatus> {
    let mut statuses: Vec<StageStatus> = Vec::new();
    for stage in stages {
        let running = stage.tasks.iter().filter(|t| matches!(t.state, TaskState::Running(_))).count() as u64;
        let (tasks, done) = (stage.tasks.len() as u64, u64::from(stage.done));
        let forgotten = u64::from(stage.forgotten);
        match statuses.last_mut().filter(|last| last.name == stage.name) {
            Some(last) => {
                last.tasks += tasks + forgotten;
                last.running += running;
                last.done += done + forgotten;
                last.retried += stage.retried;
            }
            None => statuses.push(StageStatus {
                name: stage.name.clone(),
                tasks: tasks + forgotten,
                running,
                done: done + forgotten,
                retried: stage.retried,
                ..Default::default()
            }),
        }
    }
    statuses
}

/// Bytes of input that a task reads from outside the job.
fn input_bytes(kind: &TaskKind) -> u64 {
    let of = |input: &ShardInput| match &input.shard {
        ShardRef::Stored(entry) => entry.object.bytes,
        ShardRef::Made { .. } => 0,
    };
    match kind {
        TaskKind::Parse(t) => t.chunk.bytes,
        TaskKind::Clean(t) => of(&t.input),
        TaskKind::Statistics(t) => of(&t.input),
        TaskKind::Hash(t) => of(&t.input),
        TaskKind::Drop(t) => of(&t.input),
        TaskKind::Deliver(t) => of(&t.input),
        TaskKind::Emit(t) => of(&t.input),
        TaskKind::Count(t) => of(&t.input),
        TaskKind::Split(t) => of(&t.input),
        TaskKind::Profile(t) => of(&t.input),
        TaskKind::Learn(t) => of(&t.input),
        TaskKind::Fit(t) => t.inputs.iter().map(of).sum(),
        TaskKind::Predict(t) => of(&t.input),
        TaskKind::Assess(t) => of(&t.input),
        TaskKind::Copy(t) => t.objects.iter().map(|o| o.bytes).sum(),
        TaskKind::Map(t) => of(&t.input),
        TaskKind::Aggregate(t) => of(&t.input),
        TaskKind::Sample(t) => of(&t.input),
        TaskKind::Range(t) => of(&t.input),
        TaskKind::Lookup(t) => of(&t.input),
        TaskKind::MergeStatistics(_)
        | TaskKind::Duplicates(_)
        | TaskKind::Match(_)
        | TaskKind::Rank(_)
        | TaskKind::Check(_)
        | TaskKind::Combine(_)
        | TaskKind::Reduce(_)
        | TaskKind::Conform(_)
        | TaskKind::MergeGroups(_)
        | TaskKind::Bounds(_)
        | TaskKind::Merge(_) => 0,
    }
}
