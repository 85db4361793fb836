//! The scheduler's state, and how it is rebuilt from rows.

use std::collections::BTreeMap;

use shardmill_common::ids::{AttemptId, JobId, ObjectId, WorkerId};
use shardmill_common::manifest::ObjectRef;
use shardmill_common::shared::{Digest, Part, Shared};
use shardmill_common::task::Peer;

use super::event::{Action, Planner};
use super::job::{Done, Job, TaskState};
use super::objects::Objects;
use super::options::SchedulerOptions;
use super::stage::Stage;
use super::workers::{Presence, Worker};
use crate::rows::Ledger;
use crate::tables::{JobRow, Jobs, Parts, StageRow, Stages, Tasks};

/// Jobs the coordinator makes for itself have numbers from here on; they are in no journal and no list.
pub const FIRST_INTERNAL_JOB: u64 = 1 << 48;

/// A stage as the journal has it, with its tasks that were done.
pub type JournalledStage = (StageRow, Vec<(u32, Done)>);

pub struct Scheduler {
    pub(super) options: SchedulerOptions,
    pub(super) planner: Planner,
    /// The coordinator's start count: part of every attempt's identity.
    pub(super) epoch: u64,
    pub(super) next_attempt: u64,
    pub(super) next_internal_job: u64,
    pub(super) now: i64,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) objects: Objects,
    /// When repairs were last looked for.
    pub(super) repair_checked: i64,
    /// When time was last looked at.
    pub(super) ticked: Option<i64>,
    /// When objects were last verified, and the one up to which they were.
    pub(super) scrubbed: i64,
    pub(super) scrub_cursor: Option<ObjectId>,
    /// Whether nothing has changed since it was found that every copy that waits can be made.
    pub(super) copies_checked: bool,
    /// Steps taken.
    pub(super) steps: u64,
    /// Actions of the step under way.
    pub(super) actions: Vec<Action>,
    /// Rows of it.
    pub(crate) ledger: Ledger,
    /// The peers as launches last named them.
    pub(super) peers: Option<Shared<Vec<Peer>>>,
    /// What is to be deleted at its end.
    pub(super) doomed: BTreeMap<WorkerId, Vec<ObjectId>>,
}

impl Scheduler {
    pub fn new(options: SchedulerOptions, planner: Planner, epoch: u64) -> Self {
        Self {
            options,
            planner,
            epoch,
            next_attempt: 0,
            next_internal_job: FIRST_INTERNAL_JOB,
            now: 0,
            workers: BTreeMap::new(),
            jobs: BTreeMap::new(),
            objects: Objects::default(),
            repair_checked: 0,
            ticked: None,
            scrubbed: 0,
            scrub_cursor: None,
            copies_checked: false,
            steps: 0,
            actions: Vec::new(),
            ledger: Ledger::default(),
            peers: None,
            doomed: BTreeMap::new(),
        }
    }

    pub fn options(&self) -> &SchedulerOptions {
        &self.options
    }

    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    pub fn live_workers(&self) -> u32 {
        self.workers.values().filter(|w| w.is_alive() && !w.draining).count() as u32
    }

    /// The holders of an object that answer now.
    pub fn live_holders(&self, object: ObjectId) -> Vec<WorkerId> {
        self.objects.holders(object).filter(|w| self.is_alive(*w)).collect()
    }

    pub fn peers(&self, ids: impl IntoIterator<Item = WorkerId>) -> Vec<Peer> {
        let mut ids: Vec<WorkerId> = ids.into_iter().collect();
        ids.sort();
        ids.dedup();
        ids.iter().filter_map(|id| self.workers.get(id)).map(|w| w.peer.clone()).collect()
    }

    /// Every worker that can be reached or may be again: what launches name, one value for as long as it stays the same.
    pub(super) fn all_peers(&mut self) -> Shared<Vec<Peer>> {
        let known = self.workers.values().filter(|w| !matches!(w.presence, Presence::Lost { .. }));
        let peers = known.map(|w| &w.peer).filter(|peer| !peer.url.is_empty());
        match &self.peers {
            Some(same) if same.iter().eq(peers.clone()) => same.clone(),
            _ => {
                let peers = Shared::new(peers.cloned().collect());
                self.peers.insert(peers).clone()
            }
        }
    }

    pub(super) fn is_alive(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(Worker::is_alive)
    }

    /// Whether a worker is alive, or away for so short a time that it may come back with its work.
    pub(super) fn is_not_lost(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(|w| !matches!(w.presence, Presence::Lost { .. }))
    }

    pub(super) fn next_attempt(&mut self, task: shardmill_common::ids::TaskId) -> AttemptId {
        self.next_attempt += 1;
        AttemptId { task, epoch: self.epoch, number: self.next_attempt }
    }

    /// Objects that published versions refer to, as the journal has them. Called before the first event.
    pub fn restore_published(&mut self, objects: impl IntoIterator<Item = (ObjectRef, u32)>) {
        for (object, replicas) in objects {
            self.objects.publish(&object, replicas);
        }
    }

    /// A job that was under way when the coordinator stopped, its stages in order with their tasks that were done. Its winning
    /// attempts are believed until their workers fail to come back, or come back as another incarnation.
    pub fn restore_job(
        &mut self,
        now: i64,
        id: JobId,
        row: JobRow,
        stages: Vec<JournalledStage>,
        parts: BTreeMap<Digest, Part>,
    ) {
        self.now = now;
        let mut job = Job::new(id, row);
        job.parts = parts;
        for (row, dones) in stages {
            let mut stage = Stage::replayed(row, now);
            for (number, done) in dones {
                for object in &done.output.wrote {
                    self.objects.use_by_job(object);
                    self.objects.add_holder(object.id, done.worker);
                }
                let grace_ms = self.options.heartbeat_timeout_ms;
                self.workers.entry(done.worker).or_insert_with(|| Worker {
                    peer: Peer {
                        worker: done.worker,
                        url: String::new(),
                        machine: String::new(),
                        data_dir: String::new(),
                    },
                    incarnation: done.incarnation,
                    presence: Presence::Away { since: now, grace_ms },
                    slots: 0,
                    memory: 0,
                    allow_programs: false,
                    last_seen: now,
                    draining: false,
                    running: BTreeMap::new(),
                    unconfirmed: BTreeMap::new(),
                    sessions: 0,
                    stored_bytes: 0,
                });
                if stage.task(number).is_some_and(|t| t.state == TaskState::Waiting) {
                    stage.finish(number, Box::new(done), now);
                    // When it ended is not known any more.
                    stage.finished_at = None;
                }
            }
            job.stages.push(stage);
        }
        for object in crate::jobs::input_objects(&job.resolved) {
            self.objects.use_by_job(&object);
        }
        self.jobs.insert(id, job);
    }

    /// What lasts of its jobs, as rows: what the journal must hold.
    pub fn dump(&self, rows: &mut Ledger) {
        for job in self.jobs.values().filter(|job| is_journalled(job.id)) {
            rows.put::<Jobs>(&job.id, &job.row());
            for (number, stage) in (0u32..).zip(&job.stages) {
                rows.put_as::<Stages>(&(job.id, number), &stage.row());
                stage.parts.iter().for_each(|part| rows.put_as::<Parts>(&(job.id, part.digest), &&*part.json));
                for (task, done) in (0u32..).zip(&stage.tasks).filter_map(|(n, task)| Some((n, task.done()?))) {
                    rows.put::<Tasks>(&(job.id, number, task), done);
                }
            }
        }
    }
}

/// The coordinator's own jobs are planned anew after a restart.
pub(super) fn is_journalled(job: JobId) -> bool {
    job.0 < FIRST_INTERNAL_JOB
}
