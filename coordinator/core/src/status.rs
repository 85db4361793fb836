//! What clients see: the status of jobs and nodes, where datasets are, what nodes serve. Read from the core, changing nothing.

use std::collections::BTreeMap;

use shardmill_common::endpoint::{Deployment, Endpoint};
use shardmill_common::failure::Refusal;
use shardmill_common::ids::{JobId, ObjectId, WorkerId};
use shardmill_common::message::LocatedManifest;
use shardmill_common::model::{Model, ModelRef};
use shardmill_common::name::DatasetRef;
use shardmill_common::status::{JobState, JobStatus, NodeState, NodeStatus, StageStatus};
use shardmill_common::time::Timestamp;

use crate::core::Core;
use crate::scheduler::{Job, Presence, Stage, Worker};

impl Core {
    /// The status of a job that is under way.
    pub fn job_status(&self, id: JobId) -> Option<JobStatus> {
        self.scheduler.job(id).filter(|job| job.is_journalled()).map(|job| self.status_of(job))
    }

    /// The statuses of all jobs that are under way, the newest first.
    pub fn running_jobs(&self) -> Vec<JobStatus> {
        let mut jobs: Vec<&Job> = self.scheduler.jobs().filter(|job| job.is_journalled()).collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.id));
        jobs.into_iter().map(|job| self.status_of(job)).collect()
    }

    pub(crate) fn status_of(&self, job: &Job) -> JobStatus {
        let stages = stage_statuses(&job.stages, self.now.0);
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
            rounds: job.rounds(),
            error: None,
            who: job.who.clone(),
            submitted: job.submitted,
            finished: None,
            notices,
        }
    }

    pub fn nodes(&self) -> Vec<NodeStatus> {
        let mut stored: BTreeMap<WorkerId, (u64, u64)> = BTreeMap::new();
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
                NodeStatus {
                    worker: w.id(),
                    url: w.peer.url.clone(),
                    state: self.node_state(w),
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

    fn node_state(&self, worker: &Worker) -> NodeState {
        match worker.presence {
            Presence::Alive if worker.draining && self.scheduler.is_drained(worker.id()) => NodeState::Drained,
            Presence::Alive if worker.draining => NodeState::Draining,
            Presence::Alive => NodeState::Alive,
            Presence::Away { .. } => NodeState::Away,
            Presence::Lost { .. } => NodeState::Lost,
        }
    }

    /// A version's manifest, with the workers that hold its objects and answer.
    pub fn locate(&self, dataset: &DatasetRef) -> Result<LocatedManifest, Refusal> {
        let manifest = self.catalog.find(dataset)?.clone();
        let holders: Vec<(ObjectId, Vec<WorkerId>)> =
            manifest.objects().map(|o| (o.id, self.scheduler.live_holders(o.id))).collect();
        if let Some((object, _)) = holders.iter().find(|(_, h)| h.is_empty()) {
            let known: Vec<String> = self.scheduler.objects().holders(*object).map(|w| w.to_string()).collect();
            return Err(Refusal::Unavailable(if known.is_empty() {
                format!("{}: no worker has a good copy of object {object}", manifest.reference())
            } else {
                format!(
                    "{}: no worker that holds object {object} is alive (it is on {})",
                    manifest.reference(),
                    known.join(", ")
                )
            }));
        }
        let peers = self.scheduler.peers(holders.iter().flat_map(|(_, h)| h.iter().copied()));
        Ok(LocatedManifest { manifest, holders, peers })
    }

    /// What a node needs to serve all endpoints.
    pub fn deployment(&self) -> Deployment {
        let endpoints: Vec<Endpoint> = self.endpoints.all().cloned().collect();
        let mut wanted: Vec<_> = endpoints.iter().flat_map(|e| e.variants.iter().map(|v| &v.model)).collect();
        wanted.sort_by_key(|m| m.to_string());
        wanted.dedup();
        let models = wanted.into_iter().filter_map(|m| self.registry.find(m).ok());
        // The baseline is what requests are compared with.
        let models = models.map(|m| Model { baseline: m.baseline.clone(), ..m.lean() }).collect();
        Deployment { revision: self.endpoint_revision(), models, endpoints }
    }

    /// The models among these that there are.
    pub fn models_of(&self, references: &[ModelRef]) -> Vec<Model> {
        references.iter().filter_map(|model| self.registry.find(model).ok().cloned()).collect()
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
