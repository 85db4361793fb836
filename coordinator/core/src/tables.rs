//! The tables of the core: every kind of row that lasts, with its key, its value and its version. Whoever changes what a value looks
//! like raises the version and gives the table a converter ([`Table::convert`]); golden files of earlier versions see to that.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shardmill_common::endpoint::{Endpoint, EndpointName};
use shardmill_common::ids::JobId;
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Evaluation, Model, ModelName};
use shardmill_common::name::DatasetName;
use shardmill_common::record::Record;
use shardmill_common::shared::Digest;
use shardmill_common::status::JobStatus;
use shardmill_common::task::TaskSpec;
use shardmill_common::time::Timestamp;
use shardmill_common::watch::Tally;

use crate::catalog::NameState;
use crate::jobs::ResolvedJob;
use crate::registry::ModelState;
use crate::rows::{Part, Table};
use crate::scheduler::{Done, StageSums};

macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident = $name:literal v $version:literal: $key:ty => $value:ty, $where:ident $(, $progress:ident)?;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $table;

            impl Table for $table {
                const NAME: &'static str = $name;
                const VERSION: u8 = $version;
                const PROMISED: bool = tables!(@promised $($progress)?);
                type Key = $key;
                type Value = $value;
            }
        )+

        /// Every table: its name and version, and whether it is in memory whole.
        pub const TABLES: &[TableInfo] = &[
            $(TableInfo { name: $name, version: $version, in_memory: tables!(@$where) },)+
        ];
    };
    (@in_memory) => { true };
    (@on_disk) => { false };
    (@promised) => { true };
    (@promised progress) => { false };
}

/// What whoever keeps the rows must know of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableInfo {
    pub name: &'static str,
    pub version: u8,
    pub in_memory: bool,
}

tables! {
    /// Numbers that only go up: see [`counter`].
    Counters = "counters" v 1: String => u64, in_memory;
    /// Names of datasets, also of those that were removed: a number is never given twice.
    Names = "names" v 1: DatasetName => NameState, in_memory;
    /// Checksums of the sources that ingests into a name took.
    Taken = "taken" v 1: (DatasetName, String) => (), in_memory;
    /// Dataset versions.
    Versions = "versions" v 1: (DatasetName, u32) => Manifest, in_memory;
    /// Names of models, with their aliases.
    ModelNames = "model names" v 1: ModelName => ModelState, in_memory;
    /// Model versions, without their curvature.
    Models = "models" v 1: (ModelName, u32) => Model, in_memory;
    /// All evaluations of a model version.
    Evaluations = "evaluations" v 1: (ModelName, u32) => Vec<Evaluation>, in_memory;
    Endpoints = "endpoints" v 1: EndpointName => Endpoint, in_memory;
    /// Jobs that are under way.
    Jobs = "jobs" v 1: JobId => JobRow, in_memory;
    /// Their stages as they were planned.
    Stages = "stages" v 1: (JobId, u32) => StageRow, in_memory, progress;
    /// What their tasks share, by the digest of its content.
    Parts = "parts" v 1: (JobId, Digest) => Box<RawValue>, in_memory, progress;
    /// Their tasks that are done.
    Tasks = "tasks" v 1: (JobId, u32, u32) => Done, in_memory, progress;
    /// Jobs that are over, as they stood at the end.
    Finished = "finished" v 1: JobId => JobStatus, on_disk;
    /// What jobs left behind for good.
    Records = "records" v 1: JobId => Record, on_disk;
    /// What was counted of endpoints: seconds, start, endpoint, variant, model version, and the coordinator's start that counted.
    Windows = "windows" v 1: WindowKey => Tally, on_disk, progress;
}

/// Keys of [`Counters`].
pub mod counter {
    /// The number of the job that was accepted last.
    pub const JOB: &str = "job";
    /// Changes of endpoints.
    pub const ENDPOINTS: &str = "endpoints";
}

pub type WindowKey = (u64, i64, EndpointName, String, String, u64);

impl Part for JobId {
    fn put(&self, out: &mut Vec<u8>) {
        Part::put(&self.0, out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Part::take(bytes).map(JobId)
    }
}

impl Part for Digest {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(Digest(u128::from_be_bytes(*number)))
    }
}

/// Names of datasets, models and endpoints.
impl Part for DatasetName {
    fn put(&self, out: &mut Vec<u8>) {
        Part::put(&self.as_str().to_owned(), out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        <String as Part>::take(bytes)?.parse().ok()
    }
}

/// A job as it was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    pub resolved: ResolvedJob,
    /// Who asked, as `user@host`.
    pub who: String,
    pub priority: i32,
    pub deadline: Option<Timestamp>,
    pub submitted: Timestamp,
}

/// A stage as it was planned, whose tasks name the job's [`Parts`]; of one whose tasks a later stage made superfluous, what they came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRow {
    pub name: String,
    pub tasks: Vec<TaskSpec>,
    pub keeps: Vec<u32>,
    pub memo: Option<serde_json::Value>,
    pub forgotten: Option<Forgotten>,
}

/// The tasks of a stage that were done and dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forgotten {
    pub tasks: u32,
    pub sums: StageSums,
}
