//! Training: rounds of sums over the shards, until the model has converged. What is asked for is in [`crate::model`].

use serde::{Deserialize, Serialize};

use super::ingest::Source;
use super::{Kind, reads, writes};
use crate::model::{Encoder, Learn, Learnt, LinfaFit, LinfaResult, Profile, Target, TrainSpec};
use crate::name::DatasetRef;
use crate::phase::phases;
use crate::schema::Schema;
use crate::shared::Shared;
use crate::task::{Reporting, ShardInput, Task};

phases! {
    /// Where features are filled with medians or modes, the phases of cleaning that find these come after the first.
    pub enum TrainPhase {
        Profile = "profile",
        /// Once a round.
        Round = "round",
        /// In the place of rounds, where a library fits on one worker.
        Fit = "fit",
    }
}

impl Kind for TrainSpec {
    reads!(input);
    writes!();

    /// A model that a job refers to is in the registry, not in the record.
    fn for_record(&mut self) -> (Vec<Source>, Option<DatasetRef>) {
        self.base = None;
        (Vec::new(), None)
    }
}

/// What kind of label a training expects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    Class(String),
    Number(String),
}

/// Looks at a shard's raw columns before training. Its `result` is a `model::Profile`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileTask {
    pub input: ShardInput,
    pub schema: Shared<Schema>,
    pub label: Option<LabelKind>,
    pub weight_column: Option<String>,
    pub numeric: Shared<Vec<String>>,
    pub categorical: Shared<Vec<String>>,
    /// A row without a value in one of these is left out.
    pub required: Shared<Vec<String>>,
    pub max_categories: u64,
    /// Of how many rows of the dataset one is sampled (see `sampled_row`); 0: none is.
    #[serde(default)]
    pub sample_every: u64,
    /// For messages and the sample: the dataset's name and the rows before this shard.
    pub source_name: String,
    pub first_row: u64,
}

/// One round of training over one shard. Its `result` is a `model::Learnt`.
///
/// Rows without a label, and rows without a value of a feature that has no filling, are left out. The encoded features stay
/// in the worker's memory, under the shard and the digest of what they were made with, as long as there is room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnTask {
    pub input: ShardInput,
    pub schema: Shared<Schema>,
    pub encoder: Shared<Encoder>,
    /// What is learnt; `None` for clusters.
    pub target: Option<Shared<Target>>,
    pub weight_column: Option<String>,
    /// By class; empty: 1 each.
    pub class_weights: Shared<Vec<f64>>,
    pub learn: Shared<Learn>,
    pub source_name: String,
    pub first_row: u64,
}

/// Fits on one worker that reads every shard. Its `result` is a `model::LinfaResult`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitTask {
    pub inputs: Shared<Vec<ShardInput>>,
    pub schema: Shared<Schema>,
    pub encoder: Shared<Encoder>,
    pub target: Shared<Target>,
    pub fit: LinfaFit,
    pub source_name: String,
}

impl Task for ProfileTask {
    fn opens(&self) -> Vec<&ShardInput> {
        vec![&self.input]
    }
}

impl Reporting for ProfileTask {
    type Report = Profile;
}

impl Task for LearnTask {
    fn opens(&self) -> Vec<&ShardInput> {
        vec![&self.input]
    }
}

impl Reporting for LearnTask {
    type Report = Learnt;
}

impl Task for FitTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.inputs.iter().collect()
    }
}

impl Reporting for FitTask {
    type Report = LinfaResult;
}
