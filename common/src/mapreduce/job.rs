//! The user's own MapReduce job, and its tasks: check, map, combine, reduce, conform.

use serde::{Deserialize, Serialize};

use super::sort::SortKey;
use super::step::{Step, Work};
use crate::name::{DatasetName, DatasetRef};
use crate::schema::Schema;
use crate::task::{HashColumn, ShardInput, TaskRange};

/// One dataset that is mapped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapInput {
    /// The table that a reduce sees its rows as.
    pub name: String,
    pub dataset: DatasetRef,
    /// `None`: its rows as they are.
    pub map: Option<Step>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapReduceSpec {
    pub output: DatasetName,
    pub inputs: Vec<MapInput>,
    /// Columns of every map's rows. Empty: one global group.
    pub keys: Vec<String>,
    /// The order of a key's rows as a reduce program sees them.
    #[serde(default)]
    pub then_by: Vec<SortKey>,
    /// Runs over the rows of a map before the shuffle, and over its own results.
    pub combine: Option<String>,
    /// `None`: the maps' rows in the datasets' order.
    pub reduce: Option<Step>,
    #[serde(default)]
    pub work: Work,
    pub replicas: Option<u32>,
}

impl MapReduceSpec {
    /// Every step, with what to call it in messages.
    pub fn steps(&self) -> impl Iterator<Item = (String, &Step)> {
        let maps = self.inputs.iter().filter_map(|i| Some((format!("the map of {}", i.name), i.map.as_ref()?)));
        maps.chain(self.reduce.iter().map(|step| ("the reduce".to_owned(), step)))
    }

    pub fn runs_programs(&self) -> bool {
        self.steps().any(|(_, step)| step.is_program())
    }
}

/// Parses and resolves every statement, and tries the combiner on a sample. Its `result` is [`Checked`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckTask {
    pub spec: MapReduceSpec,
    /// The inputs' schemas, in order.
    pub schemas: Vec<Schema>,
    /// A shard of each input to take a sample from, where it has any.
    pub samples: Vec<Option<ShardInput>>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// What each map puts out; `None` where only a run can tell (a program that writes Arrow streams of its own columns).
    pub maps: Vec<Option<Schema>>,
    /// The keys with the types in which they are compared; `None`: as they come.
    pub keys: Vec<HashColumn>,
    /// What the reduce, or the only map, puts out, where that is known.
    pub output: Option<Schema>,
}

/// Where a map's rows go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapOutput {
    /// Shards, in order.
    Shards,
    /// To the shuffle, by the hash of the keys (one partition where there are none).
    Shuffle { keys: Vec<HashColumn>, partitions: u32, combine: Option<String> },
}

/// Maps one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapTask {
    pub input: ShardInput,
    pub schema: Schema,
    /// `None`: the rows as they are.
    pub step: Option<Step>,
    pub output: MapOutput,
    /// What the rows it puts out look like, where that is known.
    pub produces: Option<Schema>,
    pub work: Work,
    /// For messages and rejects: the dataset's name and the rows before this shard.
    pub source_name: String,
    pub first_row: u64,
}

/// Combines what some map tasks put into the one partition of a global group, into one such partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CombineTask {
    pub runs: Vec<TaskRange>,
    pub schema: Schema,
    pub statement: String,
}

/// The rows of one input as a reduce sees them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReduceSide {
    pub name: String,
    pub runs: Vec<TaskRange>,
    pub schema: Schema,
}

/// Reduces partitions `from..to` of every side, one after another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReduceTask {
    pub sides: Vec<ReduceSide>,
    pub partitions: (u32, u32),
    pub keys: Vec<HashColumn>,
    pub then_by: Vec<SortKey>,
    pub step: Step,
    pub produces: Option<Schema>,
    pub work: Work,
}

/// Brings a shard that a program wrote to the columns and types of all of them together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConformTask {
    pub input: ShardInput,
    pub schema: Schema,
}
