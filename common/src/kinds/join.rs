//! Joining two datasets on equal keys.

use serde::{Deserialize, Serialize};

use super::{Kind, reads, writes};
use crate::kinds::compare::MergedColumn;
use crate::kinds::dedup::HashColumn;
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::schema::Schema;
use crate::shared::Shared;
use crate::task::{Reporting, Task};

phases! {
    /// Where the small side is too large to be looked up in, the phases of pairs follow.
    pub enum JoinPhase {
        LookUp = "look up",
    }
}
use crate::task::ShardInput;

/// Which rows a join keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinHow {
    #[default]
    Inner,
    Left,
    Right,
    Outer,
    /// Left rows with a partner, once each.
    Semi,
    /// Left rows without a partner.
    Anti,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinSpec {
    pub left: DatasetRef,
    pub right: DatasetRef,
    pub output: DatasetName,
    /// Key columns: the left's name and the right's.
    pub on: Vec<(String, String)>,
    pub how: JoinHow,
    /// Rows without a value in a key match each other, as pandas has it; SQL does not.
    pub nulls_equal: bool,
    /// A key that is whole numbers on one side and text on the other matches by the numbers' text.
    #[serde(default)]
    pub numbers_match_text: bool,
    pub suffixes: (String, String),
    /// A side of up to so many bytes is sent whole to the shards of the other instead of being shuffled.
    pub broadcast_limit: u64,
    pub replicas: Option<u32>,
}

/// Joins neighbouring shards of the driving side, read as one, with the whole of the other one, which is small. A worker with too little memory for
/// that says so in its `result`, [`TooLarge`], and puts out nothing: the sides are shuffled instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookupTask {
    pub inputs: Vec<ShardInput>,
    pub schema: Shared<Schema>,
    /// Every shard of the small side.
    pub others: Shared<Vec<ShardInput>>,
    pub other_schema: Shared<Schema>,
    /// Key columns of the driving side and of the other, in the type they are compared in.
    pub keys: Shared<Vec<HashColumn>>,
    pub other_keys: Shared<Vec<HashColumn>>,
    pub how: JoinHow,
    pub nulls_equal: bool,
    pub driver_is_left: bool,
    pub columns: Shared<Vec<MergedColumn>>,
}

/// The small side takes more memory than a lookup may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TooLarge {
    /// Bytes it is thought to take.
    pub needs: u64,
    /// Bytes there are.
    pub has: u64,
}

impl Kind for JoinSpec {
    reads!(left, right);
    writes!(output, replicas);
}

impl Task for LookupTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.inputs.iter().chain(self.others.iter()).collect()
    }

    /// The table that every task looks up in is the same one each time.
    fn input_bytes(&self) -> u64 {
        self.inputs.iter().map(ShardInput::stored_bytes).sum()
    }
}

/// Reports only where the small side is too large for the worker.
impl Reporting for LookupTask {
    type Report = TooLarge;
}
