//! Comparison: two datasets meet by the hashes of their keys, as pandas' `merge` with an indicator. A shuffled join has the
//! same phases and tasks.

use serde::{Deserialize, Serialize};

use super::{Kind, reads, writes};
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::schema::{DataType, Schema};
use crate::shared::Shared;
use crate::task::{ShardInput, Task, TaskRange};

phases! {
    pub enum PairsPhase {
        Hash = "hash",
        Match = "match",
        Deliver = "deliver",
        Merge = "merge",
        /// In the place of the last two, where rows with or without a partner are only dropped.
        Drop = "drop rows",
    }
}

/// Which rows a comparison keeps, as in pandas' `merge`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    #[default]
    Outer,
    Inner,
    Left,
    Right,
}

/// What uniqueness of keys a comparison insists on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Validate {
    #[serde(rename = "1:1")]
    OneToOne,
    #[serde(rename = "1:m")]
    OneToMany,
    #[serde(rename = "m:1")]
    ManyToOne,
    #[serde(rename = "m:m")]
    ManyToMany,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareSpec {
    pub left: DatasetRef,
    pub right: DatasetRef,
    pub output: DatasetName,
    /// Key columns; `None` means every shared column.
    pub on: Option<Vec<String>>,
    pub how: How,
    pub validate: Validate,
    pub suffixes: (String, String),
    /// Report differing cells of keys in both instead of merged rows.
    pub changes: bool,
    pub replicas: Option<u32>,
}

impl Kind for CompareSpec {
    reads!(left, right);
    writes!(output, replicas);
}

/// What a match is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// Exact duplicates of the right side count once, as if pandas' `drop_duplicates` had gone before.
    #[default]
    Comparison,
    Join,
    /// The rows it puts out for the driving side are those without a partner, to be dropped.
    Semi,
    /// The same, of those that have one.
    Anti,
}

/// Matches left and right hashes of some partitions. Its own output has a partition for each group of shards of the driving side
/// (the rows it keeps, in no order, with the number of their partners), then one for each of the other side (rows only it has),
/// and, when rows are delivered, one more for each of the other side: its rows that have partners with the set of rows of one key
/// that they belong to, and which groups of the driving side want which set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatchTask {
    pub left: TaskRange,
    pub right: TaskRange,
    pub partitions: (u32, u32),
    #[serde(default)]
    pub matching: Matching,
    pub how: How,
    pub validate: Validate,
    /// In a comparison: the right side's hashes carry row hashes: exact duplicates are told by (key, row) rather than by the key alone,
    /// which is then the whole row. Either way they are dropped before matching, as pandas' `drop_duplicates` does.
    pub right_has_row_hash: bool,
    /// Tell the other side's shards which of their rows are wanted where; they then send their columns.
    pub deliver: bool,
    /// Rows before each left group, then before each right one: for messages that name rows.
    pub left_first_rows: Shared<Vec<u64>>,
    pub right_first_rows: Shared<Vec<u64>>,
}

/// Sends the columns of matched rows of a group of shards of the other side to the groups of the driving side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliverTask {
    pub inputs: Vec<ShardInput>,
    pub schema: Shared<Schema>,
    pub columns: Shared<Vec<String>>,
    pub matches: TaskRange,
    /// The partition of the match output that says which of these rows are wanted where.
    pub partition: u32,
    /// Groups of the driving side.
    pub targets: u32,
}

/// Where a column of a merged row comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedColumn {
    pub name: String,
    pub dtype: DataType,
    /// The column's name on the side that drives, if it is there.
    pub driver: Option<String>,
    /// The column's name on the other side, if it is there. Key columns have both.
    pub other: Option<String>,
}

/// Writes the merged rows of a group of shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmitTask {
    pub inputs: Vec<ShardInput>,
    /// The group's number on its side.
    pub group: u32,
    pub schema: Shared<Schema>,
    pub columns: Shared<Vec<MergedColumn>>,
    /// The group belongs to the driving side (whose order the output keeps) or supplies the rows only the other side has.
    pub is_driver: bool,
    /// The driving side is the left one.
    pub driver_is_left: bool,
    pub matches: TaskRange,
    /// The partition of the match output that holds the group's rows.
    pub partition: u32,
    /// The deliver tasks, where columns of the other side are needed; the group's rows are in the partition of its number.
    pub delivered: Option<TaskRange>,
    /// Report differing cells instead of merged rows: key columns first in `columns`, this many.
    pub changes: Option<u32>,
    /// Add the column `_merge`, which tells the sides a row is on.
    #[serde(default)]
    pub indicator: bool,
}

impl Task for MatchTask {
    fn opens(&self) -> Vec<&ShardInput> {
        Vec::new()
    }
}

impl Task for DeliverTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.inputs.iter().collect()
    }
}

impl Task for EmitTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.inputs.iter().collect()
    }
}
