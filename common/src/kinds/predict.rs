//! Batch prediction: every row of a dataset with what a model says of it.

use serde::{Deserialize, Serialize};

use super::ingest::Source;
use super::{Kind, reads, writes};
use crate::model::{Model, ModelRef, OnnxGraph};
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::schema::Schema;
use crate::shared::Shared;
use crate::task::{ShardInput, Task};

phases! {
    pub enum PredictPhase {
        Predict = "predict",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictSpec {
    pub model: ModelRef,
    pub input: DatasetRef,
    pub output: DatasetName,
    /// Columns of the input to keep; `None` means all.
    pub keep: Option<Vec<String>>,
    pub outputs: PredictOutputs,
    pub replicas: Option<u32>,
    /// The version meant; resolved by the coordinator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Box<Model>>,
}

impl Kind for PredictSpec {
    reads!(input);
    writes!(output, replicas);

    fn graph(&self) -> Option<&OnnxGraph> {
        self.resolved.as_ref()?.graph()
    }

    /// A model that a job refers to is in the registry, not in the record.
    fn for_record(&mut self) -> (Vec<Source>, Option<DatasetRef>) {
        self.resolved = None;
        (Vec::new(), None)
    }
}

/// Which columns a prediction adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictOutputs {
    /// `prediction`.
    pub label: bool,
    /// `probability_<class>` for each class.
    pub probability: bool,
}

/// Predicts the rows of neighbouring shards, which are read as one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictTask {
    pub inputs: Vec<ShardInput>,
    pub schema: Shared<Schema>,
    /// Without curvature and spec base.
    pub model: Shared<Model>,
    /// Columns of the input that the output keeps, in this order.
    pub keep: Shared<Vec<String>>,
    pub outputs: PredictOutputs,
    pub source_name: String,
    pub first_row: u64,
}

impl Task for PredictTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.inputs.iter().collect()
    }
}
