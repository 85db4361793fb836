//! Identities as newtypes, so that a worker is never mistaken for an object, nor an attempt for a task.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::misread::{Misread, kept_as_text};

/// A job's number, counted up by the coordinator's journal; shown as `j12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "j{}", self.0)
    }
}

impl FromStr for JobId {
    type Err = Misread;
    fn from_str(text: &str) -> Result<Self, Misread> {
        let number = text.strip_prefix('j').unwrap_or(text).parse();
        number.map(JobId).map_err(|_| Misread::new(text, "not a job id: job ids look like j12"))
    }
}

kept_as_text!(JobId);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new identity, ordered by the time it was made.
            pub fn fresh() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = Misread;
            fn from_str(text: &str) -> Result<Self, Misread> {
                Uuid::parse_str(text).map(Self).map_err(|_| Misread::new(text, "not an id"))
            }
        }
    };
}

uuid_id!(
    /// A worker's lasting identity, kept in its data folder.
    WorkerId
);
uuid_id!(
    /// One run of a worker process: a worker that restarts is the same worker in a new incarnation.
    Incarnation
);
uuid_id!(
    /// An immutable file in the workers' stores: a shard, a deletion vector or an uploaded chunk.
    ObjectId
);
uuid_id!(
    /// The cluster a data folder belongs to. A worker refuses a coordinator of another cluster.
    ClusterId
);

/// One task of one stage of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId {
    pub job: JobId,
    pub stage: u32,
    pub task: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.job, self.stage, self.task)
    }
}

/// One try of a task. `epoch` is the coordinator's start count and `number` counts up within it, so that no two
/// attempts ever share an identity, and a report from before a restart is recognised as stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptId {
    pub task: TaskId,
    pub epoch: u64,
    pub number: u64,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}.{}", self.task, self.epoch, self.number)
    }
}
