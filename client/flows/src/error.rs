//! Why a workflow ended without success.

use std::fmt::Display;

use shardmill_client::ClientError;
use shardmill_common::status::JobStatus;

/// How a workflow fails. Messages are lower-case fragments that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Wrong(String),
    /// It was tried and did not succeed.
    #[error("{0}")]
    Failed(String),
    /// A job ended as failed or cancelled.
    #[error("job {} {}", .0.job, ended(.0))]
    Job(Box<JobStatus>),
    /// The cluster cannot be reached, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The host wanted it to end.
    #[error("stopped")]
    Stopped,
    /// The reader of what was written went away, as `head` does; that is its right.
    #[error("standard output was closed")]
    OutputClosed,
}

/// How a job ended, with the reason if there is one.
pub fn ended(status: &JobStatus) -> String {
    match &status.error {
        Some(why) => format!("{}: {why}", status.state.name()),
        None => status.state.name().to_owned(),
    }
}

impl FlowError {
    pub fn wrong(why: impl Display) -> Self {
        FlowError::Wrong(why.to_string())
    }

    pub fn failed(why: impl Display) -> Self {
        FlowError::Failed(why.to_string())
    }
}
