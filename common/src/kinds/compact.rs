//! Compaction: small neighbouring shards are written as one. Neither rows nor their order change.

use serde::{Deserialize, Serialize};

use super::{Kind, reads, writes};
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::schema::Schema;
use crate::shared::Shared;
use crate::task::{ShardInput, Task};

phases! {
    pub enum CompactPhase {
        /// Also the last phase of an ingest that adds to a dataset of many small shards.
        Compact = "compact",
        /// Of any job that wrote many small shards.
        Outputs = "compact outputs",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompactSpec {
    pub input: DatasetRef,
    pub output: DatasetName,
    pub replicas: Option<u32>,
}

impl Kind for CompactSpec {
    reads!(input);
    writes!(output, replicas);
}

/// Writes the rows of these shards, one after another, as one shard of this schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompactTask {
    pub inputs: Vec<ShardInput>,
    pub schema: Shared<Schema>,
}

impl Task for CompactTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.inputs.iter().collect()
    }
}
