//! Compaction: small neighbouring shards are written as one. Neither rows nor their order change.

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::schema::Schema;
use crate::shared::Shared;
use crate::task::{ShardInput, Task};

phases! {
    /// Also the last phase of an ingest that adds to a dataset of many small shards.
    pub enum CompactPhase {
        Compact = "compact",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompactSpec {
    pub input: DatasetRef,
    pub output: DatasetName,
    pub replicas: Option<u32>,
}

impl Kind for CompactSpec {
    fn inputs(&self) -> Vec<&DatasetRef> {
        vec![&self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut DatasetRef> {
        vec![&mut self.input]
    }

    fn outputs(&self) -> Vec<&DatasetName> {
        vec![&self.output]
    }

    fn replicas(&self) -> Option<u32> {
        self.replicas
    }
}

/// Writes the rows of these shards, one after another, as one shard.
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
