//! Registration: shards that a client wrote straight to workers (Arrow Flight's `do_put`) become a version. It has no tasks but
//! copies.

use serde::{Deserialize, Serialize};

use super::{Kind, reads, writes};
use crate::manifest::{ObjectRef, ShardEntry};
use crate::name::DatasetName;
use crate::schema::Schema;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterSpec {
    pub output: DatasetName,
    pub schema: Schema,
    pub shards: Vec<ShardEntry>,
    pub replicas: Option<u32>,
}

impl Kind for RegisterSpec {
    reads!();
    writes!(output, replicas);

    fn objects(&self) -> Vec<&ObjectRef> {
        self.shards.iter().flat_map(ShardEntry::objects).collect()
    }

    fn brought(&self) -> Vec<&ObjectRef> {
        self.objects()
    }
}
