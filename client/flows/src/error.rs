//! Why a workflow ended without success.

use shardmill_client::ClientError;
use shardmill_common::name::ReferenceError;
use shardmill_common::status::JobStatus;

use crate::evaluate_error::EvaluateError;
use crate::export::{TargetError, WriteError};
use crate::model_export::error::ModelExportError;
use crate::predict_error::PredictError;
use crate::query::QueryError;
use crate::read_error::ReadError;
use crate::sources::SchemaError;
use crate::sources::error::{SourceError, TakeError, UploadError};

/// How a workflow fails, by what it was doing. Messages are lower-case fragments that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Take(#[from] TakeError),
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error(transparent)]
    Read(Box<ReadError>),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Predict(Box<PredictError>),
    #[error(transparent)]
    Evaluate(Box<EvaluateError>),
    #[error(transparent)]
    ModelExport(#[from] ModelExportError),
    #[error(transparent)]
    Query(Box<QueryError>),
    /// A name that follows from another one.
    #[error(transparent)]
    Name(#[from] ReferenceError),
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

/// Large ones are boxed: most results hold none.
macro_rules! boxed {
    ($($variant:ident($error:ty)),*) => {
        $(impl From<$error> for FlowError {
            fn from(error: $error) -> Self {
                FlowError::$variant(Box::new(error))
            }
        })*
    };
}

boxed!(Read(ReadError), Predict(PredictError), Evaluate(EvaluateError), Query(QueryError));

impl FlowError {
    /// No cluster answered, be it to an upload that ran beside.
    pub fn is_unreachable(&self) -> bool {
        match self {
            FlowError::Client(ClientError::Unreachable { .. }) => true,
            FlowError::Upload(UploadError::Earlier(why)) => why.is_unreachable(),
            _ => false,
        }
    }

    /// What was asked for makes no sense; otherwise it was tried, and did not succeed.
    pub fn is_mistake(&self) -> bool {
        match self {
            FlowError::Source(_) | FlowError::Schema(_) | FlowError::Name(_) => true,
            FlowError::Predict(e) => e.is_mistake(),
            FlowError::Evaluate(e) => e.is_mistake(),
            FlowError::Query(e) => e.is_mistake(),
            FlowError::Take(_)
            | FlowError::Upload(_)
            | FlowError::Read(_)
            | FlowError::Target(_)
            | FlowError::Write(_)
            | FlowError::ModelExport(_)
            | FlowError::Job(_)
            | FlowError::Client(_)
            | FlowError::Stopped
            | FlowError::OutputClosed => false,
        }
    }
}

/// How a job ended, with the reason if there is one.
pub fn ended(status: &JobStatus) -> String {
    match &status.error {
        Some(why) => format!("{}: {why}", status.state.name()),
        None => status.state.name().to_owned(),
    }
}
