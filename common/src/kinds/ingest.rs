//! Ingest: sources become a dataset, a shard a chunk, cleaned and deduplicated on the way where that is asked for.

use serde::{Deserialize, Serialize};

use super::dedup::{DedupOptions, HashPlan};
use super::{Kind, reads, writes};
use crate::manifest::{Manifest, ObjectRef};
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::rules::{Rule, RuleSet, RuleStatistics};
use crate::schema::Schema;
use crate::shared::Shared;
use crate::task::{Reporting, ShardInput, Task};
use crate::text::{Dialect, Encoding};
use crate::time::Timestamp;
use crate::units::RejectLimit;

phases! {
    /// Where it stands; with a deduplication, that one's phases follow, with rules that must know all rows those of cleaning.
    pub enum IngestPhase {
        Parse = "parse",
    }
}

/// How a source's bytes become rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "snake_case")]
pub enum SourceFormat {
    /// Delimited text. `columns` are the names of this file's columns in file order; one without a name is not read.
    Csv {
        dialect: Dialect,
        columns: Vec<Option<String>>,
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

/// Which columns of sources are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    #[default]
    All,
    Only(Vec<String>),
    AllBut(Vec<String>),
}

impl Wanted {
    pub const fn is_all(&self) -> bool {
        matches!(self, Wanted::All)
    }

    pub fn takes(&self, column: &str) -> bool {
        let has = |names: &[String]| names.iter().any(|n| n == column);
        match self {
            Wanted::All => true,
            Wanted::Only(names) => has(names),
            Wanted::AllBut(names) => !has(names),
        }
    }
}

/// Whose columns' types the user fixed: a cell that does not fit rejects its row instead of widening the column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FixedForm", into = "FixedForm")]
pub enum Fixed {
    #[default]
    None,
    Only(Vec<String>),
    /// The schema is all there is: a member of a JSON object that it does not name is passed over.
    All,
}

/// How it is written: whether it is the schema, or the columns.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum FixedForm {
    Schema(bool),
    Columns(Vec<String>),
}

impl From<FixedForm> for Fixed {
    fn from(form: FixedForm) -> Self {
        match form {
            FixedForm::Schema(false) => Fixed::None,
            FixedForm::Schema(true) => Fixed::All,
            FixedForm::Columns(names) => Fixed::Only(names),
        }
    }
}

impl From<Fixed> for FixedForm {
    fn from(fixed: Fixed) -> Self {
        match fixed {
            Fixed::None => FixedForm::Schema(false),
            Fixed::All => FixedForm::Schema(true),
            Fixed::Only(names) => FixedForm::Columns(names),
        }
    }
}

impl Fixed {
    pub const fn is_all(&self) -> bool {
        matches!(self, Fixed::All)
    }

    pub fn has(&self, column: &str) -> bool {
        match self {
            Fixed::None => false,
            Fixed::Only(names) => names.iter().any(|n| n == column),
            Fixed::All => true,
        }
    }
}

/// What becomes of columns of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BytesAs {
    #[default]
    Binary,
    /// They are UTF-8.
    Text,
    /// Their hexadecimal digits.
    Hex,
}

impl BytesAs {
    pub const fn is_binary(&self) -> bool {
        matches!(self, BytesAs::Binary)
    }
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
    /// How its text was found to be written, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_as: Option<String>,
    /// Columns that only its path has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constants: Vec<Constant>,
    /// What was made of its header and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Records in it, the rejected ones included; known once the job is done.
    #[serde(default)]
    pub rows: Option<u64>,
}

/// A column that has one value in all of a source: part of the path of a file, as Hive and Spark lay out folders (`year=2024/`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constant {
    pub column: String,
    pub value: Option<String>,
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IngestSpec {
    pub output: DatasetName,
    pub sources: Vec<Source>,
    pub chunks: Vec<Chunk>,
    /// Sampled, or given by the user.
    pub schema: Schema,
    #[serde(rename = "schema_is_fixed")]
    pub fixed: Fixed,
    #[serde(default, skip_serializing_if = "BytesAs::is_binary")]
    pub bytes: BytesAs,
    /// Cells that mean null, besides the empty one.
    pub nulls: Vec<String>,
    #[serde(default, skip_serializing_if = "Wanted::is_all")]
    pub wanted: Wanted,
    pub max_rejects: RejectLimit,
    pub append: bool,
    /// A column of the dataset may become text, in which its older values are written as exports write them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub widen: bool,
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

impl IngestSpec {
    /// A new dataset, or a new version of one, of the rows as they are; of what, is to be added.
    pub fn new(output: DatasetName) -> Self {
        Self {
            output,
            sources: Vec::new(),
            chunks: Vec::new(),
            schema: Schema::default(),
            fixed: Fixed::None,
            bytes: BytesAs::Binary,
            nulls: Vec::new(),
            wanted: Wanted::All,
            max_rejects: RejectLimit::default(),
            append: false,
            widen: false,
            refuse_taken: false,
            base: None,
            replicas: None,
            clean: None,
            dedup: None,
        }
    }
}

impl Kind for IngestSpec {
    reads!();
    writes!(output, replicas);

    fn objects(&self) -> Vec<&ObjectRef> {
        let uploaded = self.chunks.iter().filter_map(|chunk| match &chunk.place {
            ChunkPlace::Object(object) => Some(object),
            ChunkPlace::File { .. } => None,
        });
        uploaded.chain(self.base.iter().flat_map(Manifest::objects)).collect()
    }

    fn sources_mut(&mut self) -> &mut [Source] {
        &mut self.sources
    }

    /// Chunks are how the sources travelled, not what was asked for.
    fn for_record(&mut self) -> (Vec<Source>, Option<DatasetRef>) {
        self.chunks.clear();
        (std::mem::take(&mut self.sources), self.base.take().map(|base| base.reference()))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParseTask {
    pub chunk: Chunk,
    /// The source's name in messages and rejects.
    pub source_name: String,
    pub format: Shared<SourceFormat>,
    pub schema: Shared<Schema>,
    #[serde(rename = "schema_is_fixed")]
    pub fixed: Fixed,
    #[serde(default, skip_serializing_if = "BytesAs::is_binary")]
    pub bytes: BytesAs,
    pub nulls: Shared<Vec<String>>,
    /// Which columns of the source are read, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Shared<Wanted>>,
    /// Columns that have one value in all of the source, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constants: Option<Shared<Vec<Constant>>>,
    /// Rules to apply after parsing, with what they needed to know of the whole dataset: an entry a rule.
    pub rules: Shared<Vec<Rule>>,
    pub statistics: Shared<Vec<Option<RuleStatistics>>>,
    /// What the rules probably make of `schema`.
    pub expects: Shared<Schema>,
    /// The shard's place in the dataset.
    pub ordinal: u32,
    /// Also write the row hashes to the shuffle.
    pub hash: Option<Shared<HashPlan>>,
}

/// The `result` of a parse task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParseResult {
    /// The types that the cells of the chunk need, before any rule, joined with those it was parsed with, where they are
    /// other ones.
    pub observed: Option<Schema>,
    /// `file:line: reason`, of the first rejected row.
    pub first_reject: Option<String>,
    /// Records that had fewer cells than there are columns.
    #[serde(default, skip_serializing_if = "Odd::is_none")]
    pub filled: Odd,
    /// Records that had more, all of them empty.
    #[serde(default, skip_serializing_if = "Odd::is_none")]
    pub cut: Odd,
    /// Quoted cells with line breaks in which whole records seem to be.
    #[serde(default, skip_serializing_if = "Odd::is_none")]
    pub swallowing: Odd,
}

/// Records that were read although something is odd about them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Odd {
    pub records: u64,
    /// `file:line` of the first.
    pub first: Option<String>,
}

impl Odd {
    pub const fn is_none(&self) -> bool {
        self.records == 0
    }

    /// Takes in those of a later part.
    pub fn add(&mut self, later: &Odd) {
        self.records += later.records;
        if self.first.is_none() {
            self.first.clone_from(&later.first);
        }
    }
}

impl Task for ParseTask {
    fn opens(&self) -> Vec<&ShardInput> {
        Vec::new()
    }

    fn input_bytes(&self) -> u64 {
        self.chunk.bytes
    }

    fn expects(&self) -> Option<&Schema> {
        Some(&self.expects)
    }
}

impl Reporting for ParseTask {
    type Report = ParseResult;
}
