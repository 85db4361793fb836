//! Split: every row goes into one of several datasets, at random but the same way on every cluster.

use serde::{Deserialize, Serialize};

use super::{Kind, reads};
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::schema::Schema;
use crate::shared::Shared;
use crate::task::{Reporting, ShardInput, Task};

phases! {
    pub enum SplitPhase {
        /// Only where the split is stratified.
        Count = "count",
        Split = "split",
    }
}

/// One side of a split and its share of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitSide {
    pub output: DatasetName,
    pub share: f64,
}

/// Puts every row into one of several datasets, at random but the same way on every cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitSpec {
    pub input: DatasetRef,
    pub into: Vec<SplitSide>,
    pub stratify: Option<String>,
    pub seed: u64,
    pub replicas: Option<u32>,
}

impl Kind for SplitSpec {
    reads!(input);

    fn outputs(&self) -> Vec<&DatasetName> {
        self.into.iter().map(|side| &side.output).collect()
    }

    fn replicas(&self) -> Option<u32> {
        self.replicas
    }
}

/// A stratum of the dataset: the rows of one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stratum {
    /// `None` for rows without a value there, or where nothing is stratified.
    pub value: Option<String>,
    pub rows: u64,
    /// Up to which place of the permutation of its rows each side takes them, side after side.
    pub ends: Vec<u64>,
}

/// The part of a stratum's permutation that one side takes, as a shard sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitGroup {
    pub value: Option<String>,
    /// Rows of the group in the shards before this one, and in all.
    pub first: u64,
    pub total: u64,
    /// The side takes the rows whose place in the group's permutation is in `from..to`.
    pub from: u64,
    pub to: u64,
}

/// Keeps one side's rows of a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitTask {
    pub input: ShardInput,
    pub schema: Shared<Schema>,
    /// The column to stratify by; without it there is one group.
    pub stratify: Option<String>,
    pub strata: Shared<Vec<Stratum>>,
    /// The strata that the shard has rows of, by their numbers, with the rows of each in the shards before.
    pub here: Shared<Vec<(u32, u64)>>,
    /// Which of the sides.
    pub side: u32,
    pub seed: u64,
}

impl SplitTask {
    /// What the side takes of the shard. A stratum of which it takes nothing is not listed.
    pub fn groups(&self) -> Vec<SplitGroup> {
        let side = self.side as usize;
        let group = |(number, first): &(u32, u64)| {
            let Stratum { value, rows, ends } = self.strata.get(*number as usize)?;
            let from = side.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied())?;
            let to = *ends.get(side)?;
            (from < to).then(|| SplitGroup { value: value.clone(), first: *first, total: *rows, from, to })
        };
        self.here.iter().filter_map(group).collect()
    }
}

/// Counts a shard's rows by the values of a column (as text; at most `limit` different ones).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountTask {
    pub input: ShardInput,
    pub schema: Shared<Schema>,
    pub column: String,
    pub limit: u64,
}

/// The result of a count task: values in order, with their rows; `None` is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    pub values: Vec<(Option<String>, u64)>,
    pub too_many: bool,
}

impl Task for SplitTask {
    fn opens(&self) -> Vec<&ShardInput> {
        vec![&self.input]
    }
}

impl Task for CountTask {
    fn opens(&self) -> Vec<&ShardInput> {
        vec![&self.input]
    }
}

impl Reporting for CountTask {
    type Report = Counts;
}
