//! Why rows could not be written.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("cannot write {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("cannot make the folder {}: {error}", path.display())]
    Folder { path: PathBuf, error: io::Error },
    #[error("cannot read {}: {error}", path.display())]
    Listing { path: PathBuf, error: io::Error },
    #[error("cannot remove {}: {error}", path.display())]
    Removal { path: PathBuf, error: io::Error },
    /// Where the name of the file is not known any more.
    #[error(transparent)]
    Stream(#[from] io::Error),
    #[error(transparent)]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("the column is not text")]
    NotText,
    #[error("a value holds a line break, and would become two lines: use --format csv or jsonl")]
    LineBreak,
    #[error("standard output takes one file only")]
    OneFile,
    #[error("the export was stopped")]
    Stopped,
}

impl WriteError {
    pub fn file(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| WriteError::File { path: path.to_owned(), error }
    }
}
