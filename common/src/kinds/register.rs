//! Registration: shards that a client wrote straight to workers (Arrow Flight's `do_put`) become a version. It has no tasks but
//! copies.

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::manifest::{ObjectRef, ShardEntry};
use crate::name::{DatasetName, DatasetRef};
use crate::schema::Schema;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterSpec {
    pub output: DatasetName,
    pub schema: Schema,
    pub shards: Vec<ShardEntry>,
    pub replicas: Option<u32>,
}

impl Kind for RegisterSpec {
    fn inputs(&self) -> Vec<&DatasetRef> {
        Vec::new()
    }

    fn inputs_mut(&mut self) -> Vec<&mut DatasetRef> {
        Vec::new()
    }

    fn outputs(&self) -> Vec<&DatasetName> {
        vec![&self.output]
    }

    fn replicas(&self) -> Option<u32> {
        self.replicas
    }

    fn objects(&self) -> Vec<&ObjectRef> {
        self.shards.iter().flat_map(ShardEntry::objects).collect()
    }

    fn brought(&self) -> Vec<&ObjectRef> {
        self.objects()
    }
}
