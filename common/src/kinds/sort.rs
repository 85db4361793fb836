//! Sorting: a total order over a whole dataset by sampled ranges. Positions break ties, so it is stable, and a key that
//! repeats is spread over several ranges.

use serde::{Deserialize, Serialize};

use super::{Kind, reads, writes};
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::schema::Schema;
use crate::shared::Shared;
use crate::task::Task;

phases! {
    pub enum SortPhase {
        /// In the place of all others, where there is little to sort.
        Sort = "sort",
        Sample = "sample",
        Bounds = "bounds",
        Range = "range",
        Merge = "merge",
    }
}
use crate::task::{ShardInput, TaskRange};

/// A column to sort by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortKey {
    pub column: String,
    #[serde(default)]
    pub descending: bool,
}

/// The order of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortOrder {
    pub by: Vec<SortKey>,
    /// Rows without a value come last, in either direction; otherwise first.
    pub nulls_last: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SortSpec {
    pub input: DatasetRef,
    pub output: DatasetName,
    pub order: SortOrder,
    pub replicas: Option<u32>,
}

/// Puts a sample of a shard's keys with their positions into the shuffle, one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleTask {
    /// Shards that follow each other in their dataset.
    pub inputs: Vec<ShardInput>,
    pub schema: Shared<Schema>,
    pub order: Shared<SortOrder>,
    /// The first row to take, counted over all of these shards, and how far it is to the next: rows are taken evenly over the
    /// whole dataset.
    pub first: u64,
    pub step: u64,
    /// Bytes of keys to send at most; of long ones fewer are sent.
    pub bytes: u64,
}

/// Cuts the sampled keys into ranges of equal share; puts the bounds between them into the shuffle, one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoundsTask {
    pub samples: TaskRange,
    pub partitions: u32,
}

/// Puts the rows of some shards into the shuffle by range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RangeTask {
    /// Shards that follow each other in their dataset.
    pub inputs: Vec<ShardInput>,
    pub schema: Shared<Schema>,
    pub order: Shared<SortOrder>,
    /// The bounds task.
    pub bounds: TaskRange,
    pub partitions: u32,
}

/// Where a sorting task finds its rows, in the order in which equal keys stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsorted {
    /// Whole shards.
    Shards(Vec<ShardInput>),
    /// A partition of what range tasks put out.
    Range { runs: TaskRange, partition: u32 },
}

/// Sorts the rows of one range, or of everything, into shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergeTask {
    pub rows: Unsorted,
    pub schema: Shared<Schema>,
    pub order: Shared<SortOrder>,
}

impl Kind for SortSpec {
    reads!(input);
    writes!(output, replicas);
}

impl Task for SampleTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.inputs.iter().collect()
    }
}

impl Task for BoundsTask {
    fn opens(&self) -> Vec<&ShardInput> {
        Vec::new()
    }
}

impl Task for RangeTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.inputs.iter().collect()
    }
}

impl Task for MergeTask {
    fn opens(&self) -> Vec<&ShardInput> {
        match &self.rows {
            Unsorted::Shards(inputs) => inputs.iter().collect(),
            Unsorted::Range { .. } => Vec::new(),
        }
    }
}
