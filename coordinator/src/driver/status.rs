//! What clients see: the status of jobs and nodes, made from the scheduler's state.

use std::collections::HashMap;

use shardmill_common::failure::Refusal;
use shardmill_common::ids::{JobId, WorkerId};
use shardmill_common::status::{JobState, JobStatus, NodeStatus, StageStatus};
use shardmill_common::time::Timestamp;

use super::Driver;
use crate::journal::JobRow;
use crate::scheduler::{Job, Presence, Stage};

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
        let stages = stage_statuses(&job.stages, Timestamp::now().0);
        let (mut bytes_total, mut bytes_done, mut rows_done) = (0, 0, 0);
        if let Some(stage) = job.stages.last() {
            bytes_total = stage.sums.bytes_total;
            let (rows, bytes) = stage.under_way();
            bytes_done = bytes_total.min(stage.sums.bytes_done + bytes);
            rows_done = stage.sums.rows + rows;
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
            rounds: crate::jobs::rounds(&job.resolved, || job.views()),
            error: None,
            who: row.who.clone(),
            submitted: row.submitted,
            finished: None,
            notices,
        }
    }

    pub(super) fn node_statuses(&self) -> Vec<NodeStatus> {
        let mut stored: HashMap<WorkerId, (u64, u64)> = HashMap::new();
        for (_, object) in self.scheduler.objects().iter() {
            let size = object.reference.as_ref().map_or(0, |r| r.bytes);
            for holder in &object.holders {
                let (objects, bytes) = stored.entry(*holder).or_default();
                *objects += 1;
                *bytes += size;
            }
        }
        self.scheduler
            .workers()
            .map(|w| {
                let (objects, bytes) = stored.get(&w.id()).copied().unwrap_or_default();
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
fn stage_statuses(stages: &[Stage], now: i64) -> Vec<StageStatus> {
    let mut statuses: Vec<StageStatus> = Vec::new();
    for stage in stages {
        let sums = &stage.sums;
        let forgotten = u64::from(stage.forgotten);
        let (rows_running, _) = stage.under_way();
        let status = StageStatus {
            name: stage.name.clone(),
            tasks: stage.tasks.len() as u64 + forgotten,
            running: stage.running.len() as u64,
            done: u64::from(stage.done) + forgotten,
            retried: stage.retried,
            rows: sums.rows + rows_running,
            rows_running,
            shuffled: sums.shuffled,
            spilled: sums.spilled,
            seconds: sums.seconds,
            slowest: sums.slowest,
            largest: sums.largest,
            oldest: stage.oldest().map(|(task, r)| (task, (now - r.since).max(0) as f64 / 1000.0, r.worker)),
            status: stage.said(),
        };
        match statuses.last_mut().filter(|last| last.name == stage.name) {
            Some(last) => last.merge(status),
            None => statuses.push(status),
        }
    }
    statuses
}
