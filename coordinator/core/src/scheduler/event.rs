//! What happens to the scheduler, and what it wants done.

use shardmill_common::failure::Failure;
use shardmill_common::ids::{AttemptId, Incarnation, JobId, ObjectId, WorkerId};
use shardmill_common::manifest::ObjectRef;
use shardmill_common::message::{AttemptProgress, StoredObject};
use shardmill_common::task::{Peer, TaskOutput};

use super::job::{Job, JobEnd};
use crate::effect::Effect;
use crate::jobs::{Next, Publication, ResolvedJob, StageView};
use crate::tables::JobRow;

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
        /// Bytes of encoded shards that it keeps for trainings.
        sessions: u64,
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
    /// A job was accepted.
    Submitted {
        job: JobId,
        row: Box<JobRow>,
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

/// What follows from a step.
#[derive(Clone, Debug)]
pub enum Action {
    /// Something to be done in the world.
    Do(Effect),
    /// All stages are done: publish, then report the job as done.
    Publish { job: JobId, publication: Box<Publication> },
    /// The job ended without publishing; this is how it stood.
    Ended { job: Box<Job>, end: JobEnd },
}
