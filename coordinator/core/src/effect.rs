//! What the core wants done in the world. The driver does it once the rows of the step are on disk.

use std::sync::Arc;

use shardmill_common::ids::{AttemptId, JobId, ObjectId, WorkerId};
use shardmill_common::manifest::ObjectRef;
use shardmill_common::model::Model;
use shardmill_common::shared::{Digest, Part};
use shardmill_common::status::JobStatus;
use shardmill_common::task::Launch;

use crate::scheduler::StagePlaces;

#[derive(Clone, Debug)]
pub enum Effect {
    Launch {
        worker: WorkerId,
        launch: Box<Launch>,
        /// The lists of places that the launch refers to, by stage: the worker needs each version of one once.
        places: Vec<(u32, Arc<StagePlaces>)>,
        /// What the launch names by digest: the worker needs each once a job.
        parts: Vec<Part>,
    },
    /// No task of the job that is still to come names these.
    DropParts {
        worker: WorkerId,
        job: JobId,
        parts: Vec<Digest>,
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
    /// Endpoints changed: nodes that serve are to ask for the deployment.
    Deploy {
        revision: u64,
    },
    /// Write the files of a model that is about to be published, then say so with `Command::ModelKept`.
    KeepModel {
        job: JobId,
        model: Box<Model>,
    },
    /// The files of this job's model can go.
    RemoveModel {
        job: JobId,
    },
    /// The files of these imported models can go: nothing refers to them any more.
    RemoveGraphs {
        digests: Vec<String>,
    },
    /// What is kept of these jobs for people to read can go.
    RemoveLogs {
        jobs: Vec<JobId>,
    },
    /// A job is over.
    Over {
        status: Box<JobStatus>,
    },
}
