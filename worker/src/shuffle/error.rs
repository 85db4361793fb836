//! Why a partition of the shuffle could not be read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fetch::PeerError;

#[derive(Clone, Debug, thiserror::Error)]
pub enum PartitionError {
    #[error("the shuffle file {} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: Damage },
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: Arc<io::Error> },
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("its checksum does not fit what came")]
    Checksum,
    #[error("its address is not known")]
    NoAddress,
    #[error("the answer ends early")]
    EndsEarly,
    /// The program is at fault.
    #[error("nobody was asked for it")]
    NotAsked,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("it is cut short")]
    CutShort,
    #[error("it has no end")]
    NoEnd,
    #[error("its index")]
    Index,
    #[error("a partition lies outside")]
    Outside,
    #[error("it has no partition {0}")]
    NoPartition(u32),
    #[error("a partition is missing")]
    Missing,
    #[error("a partition")]
    Partition,
}

impl PartitionError {
    pub fn damaged(path: &Path, what: Damage) -> Self {
        PartitionError::Damaged { path: path.to_owned(), what }
    }

    pub fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| PartitionError::Io { path: path.to_owned(), error: Arc::new(error) }
    }
}
