//! What can be wrong with a statement.

use serde::{Deserialize, Serialize};
use shardmill_common::units::show_bytes;

/// Why a statement is refused, or what stopped it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SqlError {
    /// It may not run, whatever the rows: said with the place in it.
    #[error("{0}")]
    Refused(String),
    /// It met rows that it cannot digest, in the engine's words.
    #[error("{0}")]
    Rows(String),
    /// What it holds at once does not fit.
    #[error(
        "the statement needs more memory than the {} that a task has: {why}. Give the workers more --memory or fewer --slots (a \
         query of `sql` that one worker runs: --query-memory), or group and join fewer rows at once",
        show_bytes(*.limit)
    )]
    Memory { limit: u64, why: String },
    /// The disk did not take, or give back, what its sorts put there.
    #[error("the disk: {0}")]
    Disk(String),
    #[error("the statement was stopped")]
    Stopped,
    /// The engine broke on it, or there was no thread for it.
    #[error("{0}")]
    Engine(String),
}
