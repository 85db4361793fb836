//! What a dataset version is: a schema and an ordered list of shards, each an immutable object and the rows dropped from it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{JobId, ObjectId};
use crate::name::{DatasetName, DatasetRef};
use crate::schema::Schema;
use crate::time::Timestamp;

/// An object as it was published: whoever reads it checks the length and the checksum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    pub id: ObjectId,
    pub bytes: u64,
    /// `xxh3-128` of the file's bytes, in hex.
    pub checksum: String,
}

/// The rows of a shard that a version leaves out: a roaring bitmap of row numbers. Those that one task made lie one after another in
/// one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionVector {
    pub object: ObjectRef,
    /// Where it begins there, in bytes.
    #[serde(default, skip_serializing_if = "is_first")]
    pub at: u64,
    /// Rows the vector marks as dropped.
    pub dropped: u64,
}

fn is_first(at: &u64) -> bool {
    *at == 0
}

/// One shard of a version: a Parquet object, with the rows this version leaves out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    pub object: ObjectRef,
    /// Rows in the file, dropped ones included.
    pub stored_rows: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletions: Option<DeletionVector>,
}

impl ShardEntry {
    /// Rows that this version shows.
    pub fn rows(&self) -> u64 {
        self.stored_rows - self.deletions.as_ref().map_or(0, |d| d.dropped)
    }

    pub fn identity(&self) -> ShardIdentity {
        (self.object.id, self.deletions.as_ref().map(|d| (d.object.id, d.at)))
    }

    /// The objects a reader of this shard needs.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        std::iter::once(&self.object).chain(self.deletions.iter().map(|d| &d.object))
    }
}

/// What tells a shard's rows from those of any other: its object, and which deletion vector is applied.
pub type ShardIdentity = (ObjectId, Option<(ObjectId, u64)>);

/// An immutable version of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub name: DatasetName,
    pub version: u32,
    pub schema: Schema,
    pub shards: Vec<ShardEntry>,
    /// Copies wanted of each object, on distinct workers.
    pub replicas: u32,
    /// The job that made it; its record says how.
    pub job: JobId,
    pub created: Timestamp,
}

impl Manifest {
    pub fn rows(&self) -> u64 {
        self.shards.iter().map(ShardEntry::rows).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.objects().map(|o| o.bytes).sum()
    }

    /// `name@version`.
    pub fn reference(&self) -> DatasetRef {
        DatasetRef { name: self.name.clone(), version: Some(self.version) }
    }

    /// Every object of the version, once.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        let mut seen = BTreeSet::new();
        self.shards.iter().flat_map(ShardEntry::objects).filter(move |object| seen.insert(object.id))
    }
}
