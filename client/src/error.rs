//! Why a command ended without success, and the exit status that follows from it.

use std::fmt::Display;

use shardmill_client::ClientError;
use shardmill_common::status::JobStatus;
use shardmill_flows::FlowError;
use shardmill_flows::error::ended;
use shardmill_flows::evaluate_error::EvaluateError;
use shardmill_flows::export::{TargetError, WriteError};
use shardmill_flows::model_export::error::ModelExportError;
use shardmill_flows::sources::SchemaError;

/// How a command fails. Messages are lower-case fragments that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The user asked for something that makes no sense: exit status 2.
    #[error("{0}")]
    Usage(String),
    /// It was tried and did not succeed, or the cluster refused it: exit status 1.
    #[error("{0}")]
    Failed(String),
    /// A job ended as failed or cancelled: exit status 1.
    #[error("job {} {}", .0.job, ended(.0))]
    Job(Box<JobStatus>),
    /// No cluster answered: exit status 3.
    #[error("{0}")]
    Unreachable(String),
    /// Ctrl-C or SIGTERM came before there was a job to cancel: exit status 130, as shells expect.
    #[error("interrupted")]
    Interrupted,
    /// The reader of standard output went away, as `head` does; that is its right.
    #[error("standard output was closed")]
    OutputClosed,
    /// `--dry-run` and `explain`: the plan was shown, and nothing was to be done.
    #[error("the plan was shown")]
    Explained,
}

impl CliError {
    pub fn usage(why: impl Display) -> Self {
        CliError::Usage(why.to_string())
    }

    pub fn failed(message: impl Display) -> Self {
        CliError::Failed(message.to_string())
    }

    /// The same, with names that only this process knows replaced by what the user calls them.
    pub fn in_words_of(self, names: &[(String, String)]) -> Self {
        let said = |text: String| names.iter().fold(text, |text, (ours, theirs)| text.replace(ours, theirs));
        match self {
            CliError::Usage(text) => CliError::Usage(said(text)),
            CliError::Failed(text) => CliError::Failed(said(text)),
            CliError::Job(mut status) => {
                status.error = status.error.map(said);
                CliError::Job(status)
            }
            other => other,
        }
    }

    pub const fn exit_status(&self) -> u8 {
        match self {
            CliError::OutputClosed | CliError::Explained => 0,
            CliError::Failed(_) | CliError::Job(_) => 1,
            CliError::Usage(_) => 2,
            CliError::Unreachable(_) => 3,
            CliError::Interrupted => 130,
        }
    }
}

/// Errors of parts of workflows, as those of the whole.
macro_rules! as_flow_errors {
    ($($part:ty),*) => {
        $(impl From<$part> for CliError {
            fn from(error: $part) -> Self {
                FlowError::from(error).into()
            }
        })*
    };
}

as_flow_errors!(EvaluateError, ModelExportError, SchemaError, TargetError, WriteError);

impl From<FlowError> for CliError {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::Job(status) => CliError::Job(status),
            FlowError::Client(error) => error.into(),
            FlowError::Stopped => CliError::Interrupted,
            FlowError::OutputClosed => CliError::OutputClosed,
            gone if gone.is_unreachable() => CliError::Unreachable(gone.to_string()),
            mistake if mistake.is_mistake() => CliError::usage(mistake),
            failed => CliError::failed(failed),
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unreachable { .. } => CliError::Unreachable(error.to_string()),
            ClientError::Refused(refusal) => CliError::Failed(refusal.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_common::failure::Refusal;
    use shardmill_flows::sources::error::UploadError;
    use std::sync::Arc;

    #[test]
    fn statuses_follow_the_kind_of_error() {
        let refused = CliError::from(ClientError::Refused(Refusal::NotFound("no dataset `x`".into())));
        assert_eq!(refused.exit_status(), 1);
        let gone = || ClientError::Unreachable { url: "http://x".into(), message: "refused".into() };
        let upload = UploadError::Earlier(Arc::new(FlowError::Client(gone())));
        assert_eq!(CliError::from(FlowError::from(upload)).exit_status(), 3, "whoever noticed it");
        assert_eq!(CliError::from(gone()).exit_status(), 3);
        assert_eq!(CliError::usage("x").exit_status(), 2);
    }
}
