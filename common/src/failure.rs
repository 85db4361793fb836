//! Why an attempt, a request or a job failed, as a type; text is made of it once, at the edge.

use serde::{Deserialize, Serialize};

use crate::ids::{ObjectId, TaskId, WorkerId};

/// Why an attempt failed. Each kind knows whether it is tried again and whether the try counts against the limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Failure {
    /// The user's data or request is at fault: the job fails at once with this message.
    #[error("{message}")]
    BadInput { message: String },
    /// Another task's output could not be read from the worker that made it: that task is run again.
    #[error("output of task {task} could not be read from worker {worker}: {message}")]
    FetchFailed { task: TaskId, worker: WorkerId, message: String },
    /// A stored object could not be read. `bad_copies` names the workers whose copy is damaged or missing.
    #[error("object {object} could not be read: {message}")]
    ObjectUnavailable { object: ObjectId, bad_copies: Vec<WorkerId>, message: String },
    /// The worker that ran the attempt is gone.
    #[error("worker {worker} was lost")]
    WorkerLost { worker: WorkerId },
    /// The worker that was to run the attempt does not: a message was lost.
    #[error("worker {worker} does not run it")]
    AttemptLost { worker: WorkerId },
    /// The attempt was told to stop.
    #[error("stopped")]
    Killed,
    /// The disk of the worker is full.
    #[error("no space left on worker {worker}: {message}")]
    DiskFull { worker: WorkerId, message: String },
    /// A program that a user brought failed.
    #[error("{message}")]
    ProgramFailed { message: String },
    /// A fault of the program or the machine.
    #[error("internal error: {message}")]
    Internal { message: String },
}

impl Failure {
    pub fn bad_input(why: impl std::fmt::Display) -> Self {
        Failure::BadInput { message: why.to_string() }
    }

    /// The same, with what was being done where a user is to know.
    pub fn within(self, what: &str) -> Self {
        match self {
            Failure::BadInput { message } => Failure::BadInput { message: format!("{what}: {message}") },
            other => other,
        }
    }

    pub fn internal(message: impl std::fmt::Display) -> Self {
        Failure::Internal { message: message.to_string() }
    }

    /// Whether another attempt can succeed where this one did not.
    pub fn is_retried(&self) -> bool {
        !matches!(self, Failure::BadInput { .. })
    }

    /// Whether the attempt counts against the task's limit: faults of others do not.
    pub fn counts(&self) -> bool {
        match self {
            Failure::Internal { .. } | Failure::DiskFull { .. } | Failure::ProgramFailed { .. } => true,
            // A bad copy is dropped and another one read; a holder that is away is waited for.
            Failure::ObjectUnavailable { bad_copies, .. } => !bad_copies.is_empty(),
            Failure::BadInput { .. }
            | Failure::FetchFailed { .. }
            | Failure::WorkerLost { .. }
            | Failure::AttemptLost { .. }
            | Failure::Killed => false,
        }
    }
}

/// Why a request to the coordinator was refused, with the exit status and gRPC code that follow from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", content = "message", rename_all = "snake_case")]
pub enum Refusal {
    /// The request makes no sense: a bad name, an unknown column.
    #[error("{0}")]
    Invalid(String),
    /// What it names does not exist.
    #[error("{0}")]
    NotFound(String),
    /// It clashes with something that exists or is under way.
    #[error("{0}")]
    Conflict(String),
    /// The cluster cannot do it now: no worker, a disk that is full.
    #[error("{0}")]
    Unavailable(String),
    /// The caller may not do this.
    #[error("{0}")]
    Denied(String),
    #[error("internal error: {0}")]
    Internal(String),
}

impl Refusal {
    /// The request makes no sense, for this reason.
    pub fn invalid(why: impl std::fmt::Display) -> Self {
        Refusal::Invalid(why.to_string())
    }
}
