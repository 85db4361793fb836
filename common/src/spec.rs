//! What a job is asked to do. A spec is all that is needed to repeat the job; it is stored, sent and recorded as JSON.

use serde::{Deserialize, Serialize};

use crate::manifest::{Manifest, ObjectRef, ShardEntry};
use crate::mapreduce::{AggregateSpec, JoinSpec, MapReduceSpec, SortSpec};
use crate::model::{Encoder, Model, ModelName, ModelRef, OnnxGraph, Served, Target, TrainSpec};
use crate::name::{DatasetName, DatasetRef};
use crate::rules::RuleSet;
use crate::schema::Schema;
use crate::task::PredictOutputs;
use crate::text::{Dialect, Encoding};
use crate::time::Timestamp;
use crate::units::RejectLimit;

/// A job as a client asks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSpec {
    Ingest(IngestSpec),
    Clean(CleanSpec),
    Dedup(DedupSpec),
    Compare(CompareSpec),
    Split(SplitSpec),
    Train(Box<TrainSpec>),
    Predict(PredictSpec),
    Evaluate(EvaluateSpec),
    /// Publishes a model that another program made.
    Import(Box<ImportSpec>),
    MapReduce(Box<MapReduceSpec>),
    Sort(SortSpec),
    Aggregate(AggregateSpec),
    Join(JoinSpec),
    /// Publishes shards that a client wrote straight to workers (Arrow Flight's `do_put`).
    Register(RegisterSpec),
    /// Copies objects to workers that lack them; made by the coordinator itself.
    Repair(RepairSpec),
}

impl JobSpec {
    pub const fn kind(&self) -> &'static str {
        match self {
            JobSpec::Ingest(_) => "ingest",
            JobSpec::Clean(_) => "clean",
            JobSpec::Dedup(_) => "dedup",
            JobSpec::Compare(_) => "compare",
            JobSpec::Split(_) => "split",
            JobSpec::Train(_) => "train",
            JobSpec::Predict(_) => "predict",
            JobSpec::Evaluate(_) => "evaluate",
            JobSpec::Import(_) => "import",
            JobSpec::MapReduce(_) => "mapreduce",
            JobSpec::Sort(_) => "sort",
            JobSpec::Aggregate(_) => "aggregate",
            JobSpec::Join(_) => "join",
            JobSpec::Register(_) => "register",
            JobSpec::Repair(_) => "repair",
        }
    }

    /// The datasets the job will publish versions of.
    pub fn outputs(&self) -> Vec<&DatasetName> {
        match self {
            JobSpec::Ingest(s) => vec![&s.output],
            JobSpec::Clean(s) => vec![&s.output],
            JobSpec::Dedup(s) => vec![&s.output],
            JobSpec::Compare(s) => vec![&s.output],
            JobSpec::Register(s) => vec![&s.output],
            JobSpec::Predict(s) => vec![&s.output],
            JobSpec::MapReduce(s) => vec![&s.output],
            JobSpec::Sort(s) => vec![&s.output],
            JobSpec::Aggregate(s) => vec![&s.output],
            JobSpec::Join(s) => vec![&s.output],
            JobSpec::Split(s) => s.into.iter().map(|side| &side.output).collect(),
            JobSpec::Train(_) | JobSpec::Evaluate(_) | JobSpec::Import(_) | JobSpec::Repair(_) => vec![],
        }
    }

    /// The graph of the imported model that the job publishes or uses.
    pub fn graph(&self) -> Option<&OnnxGraph> {
        match self {
            JobSpec::Import(s) => Some(&s.graph),
            JobSpec::Predict(s) => s.resolved.as_ref()?.graph(),
            JobSpec::Evaluate(s) => s.resolved.as_ref()?.graph(),
            _ => None,
        }
    }

    /// Copies that were asked for.
    pub fn replicas(&self) -> Option<u32> {
        match self {
            JobSpec::Ingest(s) => s.replicas,
            JobSpec::Clean(s) => s.replicas,
            JobSpec::Dedup(s) => s.replicas,
            JobSpec::Compare(s) => s.replicas,
            JobSpec::Register(s) => s.replicas,
            JobSpec::Predict(s) => s.replicas,
            JobSpec::Split(s) => s.replicas,
            JobSpec::MapReduce(s) => s.replicas,
            JobSpec::Sort(s) => s.replicas,
            JobSpec::Aggregate(s) => s.replicas,
            JobSpec::Join(s) => s.replicas,
            JobSpec::Train(_) | JobSpec::Evaluate(_) | JobSpec::Import(_) | JobSpec::Repair(_) => None,
        }
    }

    /// The datasets the job reads.
    pub fn inputs(&self) -> Vec<&DatasetRef> {
        match self {
            JobSpec::Clean(s) => vec![&s.input],
            JobSpec::Dedup(s) => vec![&s.input],
            JobSpec::Compare(s) => vec![&s.left, &s.right],
            JobSpec::Split(s) => vec![&s.input],
            JobSpec::Train(s) => vec![&s.input],
            JobSpec::Predict(s) => vec![&s.input],
            JobSpec::Evaluate(s) => vec![&s.input],
            JobSpec::MapReduce(s) => s.inputs.iter().map(|i| &i.dataset).collect(),
            JobSpec::Sort(s) => vec![&s.input],
            JobSpec::Aggregate(s) => vec![&s.input],
            JobSpec::Join(s) => vec![&s.left, &s.right],
            JobSpec::Ingest(_) | JobSpec::Import(_) | JobSpec::Register(_) | JobSpec::Repair(_) => vec![],
        }
    }
}

/// How a source's bytes become rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "snake_case")]
pub enum SourceFormat {
    /// Delimited text. `columns` are the names of this file's columns in file order.
    Csv {
        dialect: Dialect,
        columns: Vec<String>,
    },
    JsonLines,
    /// Every line is a row of one column, [`SourceFormat::LINE`], as it is.
    Lines {
        encoding: Encoding,
    },
    Parquet,
    Arrow,
}

impl SourceFormat {
    /// The column that lines of text become.
    pub const LINE: &str = "line";
}

/// One file (or standard input) that an ingest took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The name in messages and rejects: the path as the user wrote or matched it.
    pub name: String,
    /// Where it lay: `file://host/absolute/path`, or `stdin:`.
    pub location: String,
    /// Bytes as they lay there, before decompression.
    pub size: u64,
    pub modified: Option<Timestamp>,
    /// `xxh3-128` of those bytes, in hex.
    pub checksum: String,
    pub compression: Option<String>,
    pub format: SourceFormat,
    /// Records in it, the rejected ones included; known once the job is done.
    #[serde(default)]
    pub rows: Option<u64>,
}

/// Where a chunk's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkPlace {
    /// In a file that workers of an embedded cluster read themselves.
    File { path: String, offset: u64 },
    /// Uploaded to workers' stores.
    Object(ObjectRef),
}

/// A record-aligned piece of a source, parsed by one task into one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Index into `sources`.
    pub source: u32,
    pub place: ChunkPlace,
    pub bytes: u64,
    /// Line number (from 1) of the first line, for text.
    pub first_line: u64,
    /// For Parquet and Arrow: which row groups or record batches, `from..to`. `None` means all.
    #[serde(default)]
    pub groups: Option<(u64, u64)>,
}

/// Which of several equal rows stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    #[default]
    First,
    Last,
    None,
}

/// How rows are recognised as duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DedupOptions {
    /// Key columns; `None` means the whole row.
    pub keys: Option<Vec<String>>,
    pub keep: Keep,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IngestSpec {
    pub output: DatasetName,
    pub sources: Vec<Source>,
    pub chunks: Vec<Chunk>,
    /// Sampled, or given by the user.
    pub schema: Schema,
    /// The user gave the schema: a cell that does not fit rejects its row instead of widening the column.
    pub schema_is_fixed: bool,
    /// Cells that mean null, besides the empty one.
    pub nulls: Vec<String>,
    pub max_rejects: RejectLimit,
    pub append: bool,
    /// Refused as a conflict if an earlier ingest into this name took one of the sources: who asks again after a crash cannot
    /// take them twice.
    #[serde(default)]
    pub refuse_taken: bool,
    /// The version that `append` adds to; resolved by the coordinator.
    #[serde(default)]
    pub base: Option<Manifest>,
    pub replicas: Option<u32>,
    pub clean: Option<RuleSet>,
    pub dedup: Option<DedupOptions>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CleanSpec {
    pub input: DatasetRef,
    pub output: DatasetName,
    pub rules: RuleSet,
    pub replicas: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DedupSpec {
    pub input: DatasetRef,
    pub output: DatasetName,
    pub options: DedupOptions,
    pub replicas: Option<u32>,
}

/// Which rows a comparison keeps, as in pandas' `merge`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    #[default]
    Outer,
    Inner,
    Left,
    Right,
}

/// What uniqueness of keys a comparison insists on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Validate {
    #[serde(rename = "1:1")]
    OneToOne,
    #[serde(rename = "1:m")]
    OneToMany,
    #[serde(rename = "m:1")]
    ManyToOne,
    #[serde(rename = "m:m")]
    ManyToMany,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareSpec {
    pub left: DatasetRef,
    pub right: DatasetRef,
    pub output: DatasetName,
    /// Key columns; `None` means every shared column.
    pub on: Option<Vec<String>>,
    pub how: How,
    pub validate: Validate,
    pub suffixes: (String, String),
    /// Report differing cells of keys in both instead of merged rows.
    pub changes: bool,
    pub replicas: Option<u32>,
}

/// One side of a split and its share of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitSide {
    pub output: DatasetName,
    pub share: f64,
}

/// Puts every row into one of several datasets, at random but the same way on every cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitSpec {
    pub input: DatasetRef,
    pub into: Vec<SplitSide>,
    pub stratify: Option<String>,
    pub seed: u64,
    pub replicas: Option<u32>,
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

/// A graph that was read and checked by the client, and uploaded to the coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportSpec {
    pub model: ModelName,
    /// Where the file lay: `file://host/absolute/path`.
    pub location: String,
    pub graph: OnnxGraph,
    pub features: Encoder,
    pub target: Target,
    /// What a person should know of the file.
    pub notices: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterSpec {
    pub output: DatasetName,
    pub schema: Schema,
    pub shards: Vec<ShardEntry>,
    pub replicas: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepairSpec {
    pub objects: Vec<ObjectRef>,
}

/// A request to run a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    pub spec: JobSpec,
    /// Who asked, as `user@host`.
    pub who: String,
    /// Higher runs first; 0 by default.
    #[serde(default)]
    pub priority: i32,
    /// Seconds after which the job is failed.
    #[serde(default)]
    pub deadline_seconds: Option<u64>,
}
