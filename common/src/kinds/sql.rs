//! One query over whole datasets, in SQL.

use serde::{Deserialize, Serialize};

use super::{Kind, writes};
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::schema::Schema;
use crate::shared::Shared;
use crate::task::{ShardInput, Task};

phases! {
    pub enum SqlPhase {
        Query = "query",
    }
}

/// A dataset that a query reads, by the name it has in the statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlTable {
    pub name: String,
    pub dataset: DatasetRef,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SqlSpec {
    pub statement: String,
    pub tables: Vec<SqlTable>,
    pub output: DatasetName,
    pub replicas: Option<u32>,
    /// Bytes that sorts, groups and joins may hold in memory together on the worker that leads; what can uses the disk beyond it.
    /// `None`: a task's share of the worker's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl Kind for SqlSpec {
    fn inputs(&self) -> Vec<&DatasetRef> {
        self.tables.iter().map(|table| &table.dataset).collect()
    }

    fn inputs_mut(&mut self) -> Vec<&mut DatasetRef> {
        self.tables.iter_mut().map(|table| &mut table.dataset).collect()
    }

    writes!(output, replicas);
}

/// A table as a query task reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryTable {
    /// By which the statement calls it.
    pub name: String,
    pub schema: Schema,
    pub shards: Vec<ShardInput>,
}

/// Runs a query, and puts its result into shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryTask {
    pub statement: String,
    pub tables: Shared<Vec<QueryTable>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl Task for QueryTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.tables.iter().flat_map(|table| &table.shards).collect()
    }
}
