//! Why sources cannot be read.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::DataType as ArrowType;
use arrow::error::ArrowError;
use parquet::errors::ParquetError;
use shardmill_common::ids::WorkerId;
use shardmill_common::schema::Schema;
use shardmill_common::text::{CutError, DialectError, HeaderError};

use crate::error::FlowError;
use crate::export::Format;

/// What is wrong with a source. `name` is the source as the user wrote or matched it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("no file or folder {name}: check the path")]
    Absent { name: String },
    #[error("`{pattern}` is not a pattern: {error}")]
    Pattern { pattern: String, error: glob::PatternError },
    #[error("no file matches `{pattern}`")]
    NoMatch { pattern: String },
    #[error("`{pattern}` matches only folders without files")]
    OnlyFolders { pattern: String },
    #[error("the folder {name} has no files in it (hidden ones are left out)")]
    NoFiles { name: String },
    #[error("cannot read {name}: {error}")]
    Unreadable { name: String, error: io::Error },
    #[error("{name} ends in the middle of its {packing} data: it was cut short; copy or download it again")]
    CutShort { name: String, packing: &'static str },
    #[error("{name} cannot be read as {packing} data: {error}")]
    Unpacking { name: String, packing: &'static str, error: io::Error },
    #[error("{name} is not {promised} data, although its name says so: rename it or copy it again")]
    NotPacked { name: String, promised: &'static str },
    #[error("cannot tell the format of {name} from its name: add --format csv, tsv, jsonl, lines, parquet or arrow")]
    UnknownFormat { name: String },
    #[error("{name} is not {}", start_of(*.format))]
    OtherStart { name: String, format: Format },
    #[error("{name} is not text but {found}: add --format {found}, or rename the file")]
    NotText { name: String, found: &'static str },
    #[error(
        "{name} is not UTF-8 (line {line} has the byte 0x{byte:02X}), nor does it look like windows-1252: \
         say which encoding it has, for instance --encoding windows-1251, shift_jis or gb18030"
    )]
    Encoding { name: String, line: u64, byte: u8 },
    #[error(
        "{name} is packed as {packing}, which is not read: unpack it first, or pack it as .gz, .zst, .bz2, .xz, .lz4 or .zip"
    )]
    OtherPacking { name: String, packing: &'static str },
    #[error("{name} is a zip archive in something that is read once: give the file itself, or unpack it")]
    Archive { name: String },
    #[error("{name} is a workbook in something that is read once: give the file itself, or save its sheet as CSV")]
    PipedWorkbook { name: String },
    #[error("{name} is a workbook that cannot be read: {error}")]
    Workbook { name: String, error: Box<calamine::Error> },
    #[error("{name} has no sheet `{asked}`; its sheets are {known}")]
    NoSheet { name: String, asked: String, known: String },
    #[error("{name} has cells very far from one another: say which part is the table, --range A1:D2000")]
    FarApart { name: String },
    #[error("{name} is a zip archive that cannot be read: {error}")]
    Zip { name: String, error: Box<zip::result::ZipError> },
    #[error("{name} is a zip archive without files in it")]
    EmptyZip { name: String },
    #[error("{name}, in a zip archive, is {why}: unpack the archive first")]
    Member { name: String, why: &'static str },
    #[error("{name} is empty: it has no columns")]
    Empty { name: String },
    #[error("{name}: cells are parted by runs of blanks, not each by one: say --delimiter blanks")]
    Runs { name: String },
    #[error("{name}: {error}")]
    Header { name: String, error: HeaderError },
    #[error("{name}: {error}")]
    Dialect { name: String, error: DialectError },
    #[error("{name}: {error}")]
    Record { name: String, error: CutError },
    #[error("{name}: no JSON object with a key was found in its first lines, so it has no columns")]
    NoKeys { name: String },
    #[error(
        "{name}: its first record has {columns} columns, --schema names {} ({})", .schema.len(), .schema.names_joined()
    )]
    Width { name: String, columns: usize, schema: Schema },
    #[error("{name} is not a readable Parquet file: {error}")]
    Parquet { name: String, error: ParquetError },
    #[error("{name} is not a readable Arrow IPC file: {error}")]
    Arrow { name: String, error: ArrowError },
    #[error("{name} is damaged: copy or download it again")]
    Damaged { name: String },
    #[error("{name} has no columns")]
    NoColumns { name: String },
    /// `number` counts from one.
    #[error("{name}: column {number} has no name")]
    Nameless { name: String, number: usize },
    #[error("{name}: two columns are named `{column}`")]
    Repeated { name: String, column: String },
    #[error(
        "{name}: column `{column}` has the type {dtype}, which Shardmill does not store; \
         leave it out (--drop '{column}'), or cast it to int64, float64, boolean, date, datetime or string first"
    )]
    ColumnType { name: String, column: String, dtype: ArrowType },
    #[error(
        "{first} and {second} have no column in common: the columns of the first are {}; those of the second are {}. \
         ingest them into datasets of their own",
        .of_first.names_joined(), .of_second.names_joined()
    )]
    NothingShared { first: String, second: String, of_first: Schema, of_second: Schema },
    #[error(
        "{name} has a column `{column}` that --schema does not name: add it, or leave --schema out (named are {})",
        .schema.names_joined()
    )]
    NotInSchema { name: String, column: String, schema: Schema },
    #[error("--schema names a column `{column}` that no source has")]
    InNoSource { column: String },
    #[error("{option} names a column `{column}` that no source has; there are {}", .schema.names_joined())]
    NotThere { option: &'static str, column: String, schema: Schema },
    #[error(
        "--types names a column `{column}` that --columns or --drop leaves out: take it in, or leave it out of --types"
    )]
    LeftOut { column: String },
    #[error("--columns and --drop leave no column of {name}")]
    NothingWanted { name: String },
}

impl SourceError {
    /// For `map_err`: a source that cannot be read.
    pub fn unreadable(name: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| SourceError::Unreadable { name: name.into(), error }
    }
}

/// What a file of this format begins with.
fn start_of(format: Format) -> &'static str {
    match format {
        Format::Parquet => "a Parquet file: it does not begin with `PAR1`",
        _ => "an Arrow IPC file: it does not begin with `ARROW1`, nor as an Arrow stream does",
    }
}

/// Why sources that were looked into could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// It could be read before.
    #[error(transparent)]
    Reread(SourceError),
    #[error("{name} changed while it was read")]
    Changed { name: String },
    #[error("{name}: a chunk was not uploaded")]
    NotUploaded { name: String },
    #[error("a source was not read")]
    NotRead,
    #[error("reading the sources was stopped: {0}")]
    Thread(tokio::task::JoinError),
    #[error("cannot make a temporary file: {0}")]
    Temporary(io::Error),
}

/// Why chunks could not be stored on workers.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("no worker is alive to upload to: see `shardmill nodes list`")]
    NoWorker,
    #[error("could make {made} of {wanted} copies of an uploaded chunk: {why}")]
    Copies { made: usize, wanted: usize, why: CopyFault },
    #[error("cannot read {}: {error}", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("there is nowhere to upload to")]
    Nowhere,
    /// Another chunk failed first, for this reason.
    #[error(transparent)]
    Earlier(Arc<FlowError>),
    #[error("the upload was stopped")]
    Stopped,
    #[error("an upload was stopped: {0}")]
    Thread(tokio::task::JoinError),
}

/// Why the last copy of a chunk was not made.
#[derive(Debug, thiserror::Error)]
pub enum CopyFault {
    #[error("too few workers are alive")]
    TooFewWorkers,
    #[error("worker {0} received other bytes than were sent")]
    OtherBytes(WorkerId),
    #[error(transparent)]
    Failed(Box<FlowError>),
}
