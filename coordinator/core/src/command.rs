//! What the core may be told, and what it answers.

use shardmill_common::endpoint::{Counted, Endpoint, EndpointChange, EndpointName};
use shardmill_common::failure::Refusal;
use shardmill_common::ids::{JobId, WorkerId};
use shardmill_common::kinds::Submission;
use shardmill_common::model::{Curvature, ModelName, ModelRef};
use shardmill_common::name::{DatasetName, DatasetRef};

use crate::scheduler::Event;

/// Everything that changes the core. What is asked without a change is read from it.
#[derive(Clone, Debug)]
pub enum Command {
    /// Something happened to a worker, an attempt, or time went on.
    Event(Event),
    /// Answered with `JobId`.
    Submit {
        submission: Box<Submission>,
        facts: Box<Facts>,
    },
    Cancel(JobId),
    Drain(WorkerId),
    Rename {
        from: DatasetName,
        to: DatasetName,
    },
    /// Answered with the versions removed.
    Remove(DatasetRef),
    /// Lets an alias point at a version, or takes it away.
    SetAlias {
        model: ModelName,
        alias: String,
        version: Option<u32>,
    },
    /// Answered with the version that the alias points at again.
    Rollback {
        model: ModelName,
        alias: String,
    },
    /// Answered with the versions removed.
    RemoveModel(ModelRef),
    /// Answered with the endpoint.
    CreateEndpoint {
        name: EndpointName,
        change: EndpointChange,
    },
    /// Answered with the endpoint.
    UpdateEndpoint {
        name: EndpointName,
        change: EndpointChange,
    },
    /// Answered with the endpoint as it was.
    RemoveEndpoint(EndpointName),
    /// Nodes counted requests.
    Counted(Vec<Counted>),
    /// Everything that was counted is to be in the journal.
    FlushWindows,
    /// The files of a job's model were written, or why not: the answer to `Effect::KeepModel`.
    ModelKept {
        job: JobId,
        /// The version that the files say.
        version: u32,
        problem: Option<String>,
    },
    /// Finished jobs and records that are not kept any longer.
    Sweep {
        jobs: Vec<JobId>,
        records: Vec<JobId>,
    },
}

/// What the driver found out in files before a job is submitted.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The curvature of the model that a training updates, or why it cannot be read. `None` where [`crate::Core::needs_curvature`]
    /// names no model.
    pub curvature: Option<Result<Option<Curvature>, Refusal>>,
    /// The file of the graph that an import names is there.
    pub graph_at_hand: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Done,
    Job(JobId),
    Datasets(Vec<DatasetRef>),
    Models(Vec<ModelRef>),
    Version(u32),
    Endpoint(Box<Endpoint>),
}

/// What a caller expects as the answer to its command.
pub trait FromAnswer: Sized {
    fn from_answer(answer: Answer) -> Option<Self>;
}

macro_rules! answers {
    ($($type:ty: $pattern:pat => $value:expr;)+) => {$(
        impl FromAnswer for $type {
            fn from_answer(answer: Answer) -> Option<Self> {
                match answer {
                    $pattern => Some($value),
                    _ => None,
                }
            }
        }
    )+};
}

answers! {
    (): Answer::Done => ();
    JobId: Answer::Job(job) => job;
    Vec<DatasetRef>: Answer::Datasets(removed) => removed;
    Vec<ModelRef>: Answer::Models(removed) => removed;
    u32: Answer::Version(version) => version;
    Endpoint: Answer::Endpoint(endpoint) => *endpoint;
}
