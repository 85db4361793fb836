//! Why rows could not be written.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("cannot {what} {}: {error}", path.display())]
    File { what: &'static str, path: PathBuf, error: io::Error },
    /// Where the name of the file is not known any more.
    #[error(transparent)]
    Stream(#[from] io::Error),
    #[error(transparent)]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("the workbook cannot be written: {0}")]
    Workbook(Box<rust_xlsxwriter::XlsxError>),
    /// What the format has no room for, and what to do.
    #[error("{0}")]
    TooLarge(&'static str),
    #[error("the column is not text")]
    NotText,
    #[error("a value holds a line break, and would become two lines: use --format csv or jsonl")]
    LineBreak,
    #[error("standard output takes one file only")]
    OneFile,
    #[error("the export was stopped")]
    Stopped,
    #[error("the writer stopped: {0}")]
    Thread(tokio::task::JoinError),
}

impl From<rust_xlsxwriter::XlsxError> for WriteError {
    fn from(error: rust_xlsxwriter::XlsxError) -> Self {
        WriteError::Workbook(Box::new(error))
    }
}

impl WriteError {
    /// `what` cannot be done to this file or folder.
    pub fn cannot(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| WriteError::File { what, path: path.to_owned(), error }
    }
}

/// Why something cannot be written to the place that was named. Told before any row is read.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("{} exists: give another name, or --force to replace it", .0.display())]
    Exists(PathBuf),
    #[error("the folder {} does not exist", .0.display())]
    NoFolder(PathBuf),
    #[error("the folder {} is not empty: give another, or --force to replace the parts in it", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is not a folder: give the name of a new folder", .0.display())]
    NotAFolder(PathBuf),
    #[error("{} is a folder: give the name of a file", .0.display())]
    IsAFolder(PathBuf),
    /// Without the file that folders of this kind have.
    #[error("{} has no {mark} in it: a folder of other things is not replaced", .folder.display())]
    OtherFolder { folder: PathBuf, mark: &'static str },
}
