//! Why rows of a version could not be read.

use arrow::error::ArrowError;
use shardmill_client::ClientError;
use shardmill_common::ids::WorkerId;
use shardmill_common::name::DatasetRef;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{dataset} has no shard {shard}")]
    NoShard { dataset: DatasetRef, shard: usize },
    #[error("no worker that holds shard {shard} of {dataset} is alive: see `shardmill nodes list`")]
    NoHolder { dataset: DatasetRef, shard: usize },
    #[error("cannot ask for a shard: {0}")]
    Ticket(serde_json::Error),
    /// With what went wrong at the holder that was asked last.
    #[error("shard {shard} of {dataset} could not be read: {}", told(.why))]
    Shard { dataset: DatasetRef, shard: usize, why: Option<ReadFault> },
}

/// What went wrong at one holder of a shard.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    #[error("worker {worker} sent {sent} rows where {expected} were expected")]
    Rows { worker: WorkerId, sent: u64, expected: u64 },
    #[error("column `{column}` is missing")]
    ColumnMissing { column: String },
    #[error("column `{column}`: {error}")]
    Column { column: String, error: ArrowError },
    #[error(transparent)]
    Batch(#[from] ArrowError),
    #[error(transparent)]
    Client(#[from] ClientError),
}

pub fn told(why: &Option<ReadFault>) -> String {
    why.as_ref().map_or_else(|| "no holder was asked".to_owned(), ReadFault::to_string)
}
