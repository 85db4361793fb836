//! Why a file could not be predicted.

use std::path::PathBuf;

use shardmill_common::model::ModelRef;
use shardmill_common::schema::Schema;
use shardmill_common::units::RejectLimit;

#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    #[error("--to must name a file")]
    NotAFile,
    #[error("--from must name one file; {from} are {files}: ingest them, and predict the dataset")]
    SeveralFiles { from: String, files: usize },
    #[error("--from and --to are one file, {}: give --to another name", .0.display())]
    OneFile(PathBuf),
    #[error("rows without a prediction would be written over --from, {}: give --to another name", .0.display())]
    RejectsOverInput(PathBuf),
    #[error("{from} lacks columns that {model} reads: {}; its columns are {}", quoted(.lacking), .schema.names_joined())]
    Lacks { from: String, model: ModelRef, lacking: Vec<String>, schema: Schema },
    #[error("{from} has no column `{column}` to keep; its columns are {}", .schema.names_joined())]
    NothingToKeep { from: String, column: String, schema: Schema },
    #[error(
        "column `{column}` of {from} has a type that is not stored, so that it cannot be kept: name those to keep with --keep"
    )]
    CannotKeep { from: String, column: String },
    #[error(
        "the prediction adds a column `{column}`, which {from} already has: leave it out with --keep, or rename it"
    )]
    Clash { from: String, column: String },
    #[error("{from} has nothing to read")]
    Nothing { from: String },
    #[error(
        "{rejected} of {total} rows have no prediction, more than the {allowed} allowed (--max-rejects), so nothing was written; \
         the first: {first}"
    )]
    TooManyRejects { rejected: u64, total: u64, allowed: RejectLimit, first: String },
    /// A dataset of rejects that another program wrote.
    #[error("the rejects have other columns")]
    OtherRejects,
}

impl PredictError {
    /// What was asked for makes no sense, whatever the file holds.
    pub const fn is_mistake(&self) -> bool {
        use PredictError::*;
        matches!(self, NotAFile | SeveralFiles { .. } | OneFile(_) | RejectsOverInput(_))
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
