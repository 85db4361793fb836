//! What happens to the scheduler, and what it wants done.

use std::sync::Arc;

use shardmill_common::failure::Failure;
use shardmill_common::ids::{AttemptId, Incarnation, JobId, ObjectId, WorkerId};
use shardmill_common::manifest::ObjectRef;
use shardmill_common::message::{AttemptProgress, StoredObject};
use shardmill_common::task::{Launch, Peer, TaskOutput};

use super::job::{Done, Job, JobEnd};
use super::stage::StagePlaces;
use super::sums::StageSums;
use crate::jobs::{Next, Planned, Publication, ResolvedJob, StageView};

/// Decides what comes after the stages that are done; pure.
pub type Planner = fn(&ResolvedJob, &[StageView<'_>], live_workers: u32) -> Result<Next, Failure>;

/// A worker as it introduces itself.
#[derive(Clone, Debug)]
pub struct Joined {
    pub peer: Peer,
    pub incarnation: Incarnation,
    pub slots: u32,
    pub memory: u64,
    pub allow_programs: bool,
    pub objects: Vec<StoredObject>,
    pub attempts: Vec<AttemptId>,
}

#[derive(Clone, Debug)]
pub enum Event {
    Joined(Box<Joined>),
    /// The worker's session broke.
    Disconnected {
        worker: WorkerId,
        incarnation: Incarnation,
    },
    /// The worker said good-bye.
    Left {
        worker: WorkerId,
        incarnation: Incarnation,
    },
    Heartbeat {
        worker: WorkerId,
        incarnation: Incarnation,
        running: Vec<AttemptProgress>,
    },
    Succeeded {
        worker: WorkerId,
        incarnation: Incarnation,
        attempt: AttemptId,
        output: Box<TaskOutput>,
        seconds: f64,
    },
    Failed {
        worker: WorkerId,
        incarnation: Incarnation,
        attempt: AttemptId,
        failure: Failure,
    },
    /// An object arrived at a worker outside a task's output: an upload or a copy.
    Stored {
        worker: WorkerId,
        object: ObjectId,
        bytes: u64,
    },
    /// These copies are damaged or missing.
    Damaged {
        worker: WorkerId,
        objects: Vec<ObjectId>,
    },
    /// A job was accepted (and is in the journal).
    Submitted {
        job: JobId,
        resolved: Box<ResolvedJob>,
        priority: i32,
        deadline_ms: Option<i64>,
    },
    Cancel {
        job: JobId,
    },
    /// The catalog now refers to these objects (once for each version that has them), in this many copies; the job that
    /// made them is done.
    Published {
        job: Option<JobId>,
        objects: Vec<(ObjectRef, u32)>,
    },
    /// The catalog no longer refers to these.
    Unpublished {
        objects: Vec<ObjectId>,
    },
    Drain {
        worker: WorkerId,
    },
    Tick,
}

/// What the journal keeps of a job's progress. Losing the newest of these costs work, never data.
#[derive(Clone, Debug)]
pub enum JournalOp {
    /// With the sums of the stages that it makes superfluous, in the order of `planned.forgets`.
    StagePlanned {
        job: JobId,
        stage: u32,
        planned: Box<Planned>,
        sums: Vec<StageSums>,
    },
    TaskDone {
        job: JobId,
        stage: u32,
        task: u32,
        done: Box<Done>,
    },
    TaskLost {
        job: JobId,
        stage: u32,
        task: u32,
    },
}

#[derive(Clone, Debug)]
pub enum Action {
    Launch {
        worker: WorkerId,
        launch: Box<Launch>,
        /// The lists of places that the launch refers to, by stage: the worker needs each version of one once.
        places: Vec<(u32, Arc<StagePlaces>)>,
    },
    Kill {
        worker: WorkerId,
        attempt: AttemptId,
    },
    Delete {
        worker: WorkerId,
        objects: Vec<ObjectId>,
    },
    /// Read these and report those that are damaged.
    Verify {
        worker: WorkerId,
        objects: Vec<ObjectRef>,
    },
    /// Close the session of a worker that fell silent: if it lives, it opens another one and says what it has.
    Hangup {
        worker: WorkerId,
    },
    /// A job is over: shuffle files of it can go.
    Forget {
        worker: WorkerId,
        job: JobId,
    },
    Journal(JournalOp),
    /// All stages are done: publish, then report the job as done.
    Publish {
        job: JobId,
        publication: Box<Publication>,
    },
    /// The job ended without publishing; this is how it stood.
    Ended {
        job: Box<Job>,
        end: JobEnd,
    },
}
