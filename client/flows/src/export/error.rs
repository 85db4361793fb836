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
    /// `what` cannot be done to this file or folder.
    pub fn cannot(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| WriteError::File { what, path: path.to_owned(), error }
    }
}
