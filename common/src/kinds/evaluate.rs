//! Evaluation: what a model says of a dataset's rows, compared with their labels.

use serde::{Deserialize, Serialize};

use super::ingest::Source;
use super::{Kind, reads, writes};
use crate::model::{Assessment, Model, ModelRef, OnnxGraph, Ranking, Served};
use crate::name::DatasetRef;
use crate::phase::phases;
use crate::schema::Schema;
use crate::shared::Shared;
use crate::task::{Reporting, ShardInput, Task, TaskRange};

phases! {
    pub enum EvaluatePhase {
        Assess = "assess",
        /// Only of classes.
        Rank = "rank",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluateSpec {
    pub model: ModelRef,
    pub input: DatasetRef,
    /// `None`: the column the model learnt.
    pub label: Option<String>,
    /// The predictions are those that an endpoint gave, in the rows of the input that say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Served>,
    /// The version meant; resolved by the coordinator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Box<Model>>,
}

impl Kind for EvaluateSpec {
    reads!(input);
    writes!();

    fn graph(&self) -> Option<&OnnxGraph> {
        self.resolved.as_ref()?.graph()
    }

    /// A model that a job refers to is in the registry, not in the record.
    fn for_record(&mut self) -> (Vec<Source>, Option<DatasetRef>) {
        self.resolved = None;
        (Vec::new(), None)
    }
}

/// Predicts a shard's rows and compares with their labels. Its `result` is the worker's sums; for classes it also writes the
/// scores to the shuffle, a partition for each (class, bucket of scores).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssessTask {
    pub input: ShardInput,
    pub schema: Shared<Schema>,
    pub model: Shared<Model>,
    /// `None` for clusters.
    pub label: Option<String>,
    /// Do not predict: take what an endpoint answered, from the rows that say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Served>,
    /// Buckets of scores a class, a power of two.
    pub buckets: u32,
    pub source_name: String,
    pub first_row: u64,
}

/// Sums the ROC and precision-recall curves over the scores of partitions `from..to`, all of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankTask {
    pub runs: TaskRange,
    pub partitions: (u32, u32),
    /// Positives and negatives of this class with scores above these partitions, and in all.
    pub positives_above: u64,
    pub negatives_above: u64,
    pub positives: u64,
    pub negatives: u64,
}

impl Task for AssessTask {
    fn opens(&self) -> Vec<&ShardInput> {
        vec![&self.input]
    }
}

impl Reporting for AssessTask {
    type Report = Assessment;
}

impl Task for RankTask {
    fn opens(&self) -> Vec<&ShardInput> {
        Vec::new()
    }
}

impl Reporting for RankTask {
    type Report = Ranking;
}
