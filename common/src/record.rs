//! What a job leaves behind for good, enough to repeat it. Records outlive the data they describe.

use serde::{Deserialize, Serialize};

use crate::counters::Counters;
use crate::ids::JobId;
use crate::kinds::JobSpec;
use crate::kinds::ingest::Source;
use crate::model::{Evaluation, ModelRef};
use crate::name::DatasetRef;
use crate::time::Timestamp;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Done,
    Failed,
    Cancelled,
}

/// A dataset version a job made, with its size at that time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputRecord {
    pub dataset: DatasetRef,
    pub rows: u64,
    pub bytes: u64,
    pub shards: u64,
}

/// The record of one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub job: JobId,
    pub kind: String,
    pub ending: Ending,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The input versions, `name@version`.
    pub inputs: Vec<DatasetRef>,
    /// For an ingest: every source with its name, location, size, modification time, checksum and rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// The parameters as they were asked for (chunks left out).
    pub parameters: JobSpec,
    pub counters: Counters,
    /// The versions it published: the dataset first, then its rejects.
    pub outputs: Vec<OutputRecord>,
    /// The model version it trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// What it found out about a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    pub who: String,
    pub submitted: Timestamp,
    pub started: Timestamp,
    pub finished: Timestamp,
    /// The version of the program.
    pub program: String,
}
