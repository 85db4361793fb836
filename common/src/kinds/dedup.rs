//! Deduplication: rows are hashed where they lie, duplicates found among the hashes, and the losers dropped.

use serde::{Deserialize, Serialize};

use super::{Kind, reads, writes};
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::schema::{DataType, Schema};
use crate::shared::Shared;
use crate::task::{ShardInput, Task, TaskRange};

phases! {
    pub enum DedupPhase {
        Hash = "hash",
        Find = "find duplicates",
        Drop = "drop duplicates",
    }
}

/// Which of several equal rows stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    #[default]
    First,
    Last,
    None,
}

/// How rows are recognised as duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DedupOptions {
    /// Key columns; `None` means the whole row.
    pub keys: Option<Vec<String>>,
    pub keep: Keep,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DedupSpec {
    pub input: DatasetRef,
    pub output: DatasetName,
    pub options: DedupOptions,
    pub replicas: Option<u32>,
}

impl Kind for DedupSpec {
    reads!(input);
    writes!(output, replicas);
}

/// A column to hash, and the type its values are brought to first (`None`: as they are).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashColumn {
    pub name: String,
    pub dtype: Option<DataType>,
}

/// How rows are hashed for the shuffle: the columns and the number of partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashPlan {
    /// `None`: every column of the frame, in its order and type.
    pub columns: Option<Vec<HashColumn>>,
    /// Also ship a hash of the whole row, to drop exact duplicates before matching by key.
    pub with_row_hash: bool,
    /// A power of two.
    pub partitions: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HashTask {
    /// Shards that follow each other in their dataset: a group, whose rows are numbered as if they were one shard.
    pub inputs: Vec<ShardInput>,
    /// The group's number on its side.
    pub group: u32,
    pub schema: Shared<Schema>,
    pub plan: Shared<HashPlan>,
    /// Rows without a value in a key column get hashes of their own, by this number of their side and their position, so that
    /// they equal no other row.
    #[serde(default)]
    pub nulls_apart: Option<u32>,
}

/// Finds duplicates among the hashes of partitions `partitions.0..partitions.1`; puts out the rows to drop, a partition for each
/// group of shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DuplicatesTask {
    /// The tasks that hashed the groups, in their order.
    pub hashes: Shared<Vec<TaskRange>>,
    pub partitions: (u32, u32),
    pub keep: Keep,
}

/// Drops the rows that an earlier stage named from a group of shards: by a deletion vector, or by rewriting a shard when a third of
/// it is gone. Puts out those that have rows left, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DropTask {
    pub inputs: Vec<ShardInput>,
    pub schema: Shared<Schema>,
    /// The tasks that found what to drop, and the partition that has these shards' rows.
    pub found: TaskRange,
    pub partition: u32,
}

impl Task for HashTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.inputs.iter().collect()
    }
}

impl Task for DuplicatesTask {
    fn opens(&self) -> Vec<&ShardInput> {
        Vec::new()
    }
}

impl Task for DropTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.inputs.iter().collect()
    }
}
