//! Rows of a file that have no prediction, by file and line: gathered from the datasets of rejects, told and written down.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, LargeStringArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use shardmill_client::Client;
use shardmill_common::name::{DatasetName, DatasetRef};
use tokio::sync::mpsc;

use crate::error::FlowError;
use crate::export::{Compression, Format, Settings, Step, Target, WriteError, write_all};
use crate::host::{Host, or_stopped};
use crate::ingest::reading;
use crate::predict_error::PredictError;
use crate::read::Reader;
use crate::sources::RowFinder;

/// `PATH.rejects.csv`.
pub fn rejects_path(to: &str) -> PathBuf {
    PathBuf::from(format!("{to}.rejects.csv"))
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Reject {
    line: u64,
    raw: String,
    reason: String,
}

/// In the order of their lines.
pub struct Rejects {
    file: String,
    rejects: Vec<Reject>,
}

impl Rejects {
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), rejects: Vec::new() }
    }

    /// Rows that could not be read; their lines are known.
    pub async fn add_unread(
        &mut self,
        host: &dyn Host,
        client: &Client,
        dataset: &DatasetName,
    ) -> Result<(), FlowError> {
        self.rejects = or_stopped(host, read(client, dataset)).await?;
        Ok(())
    }

    /// Rows that could not be predicted, which are known by their number among the rows that could be read. Those must have
    /// been added before.
    pub async fn add_unpredicted(
        &mut self,
        host: &dyn Host,
        client: &Client,
        dataset: &DatasetName,
        finder: RowFinder,
    ) -> Result<(), FlowError> {
        let mut found = or_stopped(host, read(client, dataset)).await?;
        found.sort_by_key(|r| r.line);
        let numbers: Vec<u64> = found.iter().map(|r| r.line).collect();
        let unread: HashSet<u64> = self.rejects.iter().map(|r| r.line).collect();
        let rows = reading(host, move |pulse| finder.find(&numbers, &unread, pulse)).await?;
        for (reject, row) in found.iter_mut().zip(rows) {
            reject.line = row.line;
            if let Some(raw) = row.raw {
                reject.raw = raw;
            }
        }
        self.rejects.append(&mut found);
        self.rejects.sort_by_key(|r| r.line);
        Ok(())
    }

    /// `file:line: reason`.
    pub fn first(&self) -> String {
        self.rejects.first().map_or_else(String::new, |r| format!("{}:{}: {}", self.file, r.line, r.reason))
    }

    /// As CSV with the columns of every dataset of rejects.
    pub async fn write(&self, path: &Path) -> Result<(), FlowError> {
        let batch = self.batch()?;
        let settings = Settings {
            format: Format::Csv,
            compression: Compression::None,
            null: String::new(),
            schema: batch.schema(),
        };
        let target = Target::File(path.to_owned());
        let writing = tokio::task::spawn_blocking(move || {
            let (send, receive) = mpsc::channel(2);
            let queued = [Step::Rows(batch), Step::Done].into_iter().all(|step| send.try_send(step).is_ok());
            drop(send);
            if !queued {
                return Err(WriteError::Stopped.into());
            }
            write_all(target, &settings, Box::new(std::io::sink()), receive)
        });
        writing.await.map_err(WriteError::Thread)?.map(|_| ())
    }

    fn batch(&self) -> Result<RecordBatch, FlowError> {
        let texts = |of: fn(&Reject) -> &str| -> ArrayRef {
            Arc::new(LargeStringArray::from_iter_values(self.rejects.iter().map(of)))
        };
        let files = std::iter::repeat_n(self.file.as_str(), self.rejects.len());
        let columns: [(&str, ArrayRef); 4] = [
            ("file", Arc::new(LargeStringArray::from_iter_values(files))),
            ("line", Arc::new(Int64Array::from_iter_values(self.rejects.iter().map(|r| r.line as i64)))),
            ("raw", texts(|r| &r.raw)),
            ("reason", texts(|r| &r.reason)),
        ];
        Ok(RecordBatch::try_from_iter(columns).map_err(WriteError::from)?)
    }
}

async fn read(client: &Client, dataset: &DatasetName) -> Result<Vec<Reject>, FlowError> {
    let located = client.locate(&DatasetRef { name: dataset.clone(), version: None }).await?;
    let mut reader = Reader::new(client.clone(), Arc::new(located), 0, u64::MAX);
    let mut rejects = Vec::new();
    while let Some(mut shard) = reader.next_shard() {
        while let Some(batch) = shard.next_batch().await {
            rejects.extend(of_batch(&batch?).ok_or(PredictError::OtherRejects)?);
        }
    }
    Ok(rejects)
}

fn of_batch(batch: &RecordBatch) -> Option<Vec<Reject>> {
    let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i64>();
    let (raw, reason) = (text("raw")?, text("reason")?);
    let lines = batch.column_by_name("line")?.as_primitive_opt::<Int64Type>()?;
    let row = |row: usize| Reject {
        line: u64::try_from(lines.value(row)).unwrap_or(0),
        raw: raw.value(row).to_owned(),
        reason: reason.value(row).to_owned(),
    };
    Some((0..lines.len()).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rejects_are_written_and_read_as_they_are() {
        let reject = |line, raw: &str| Reject { line, raw: raw.into(), reason: "column `x` is infinite".into() };
        let rejects = Rejects { file: "a.csv".into(), rejects: vec![reject(3, "inf,1"), reject(9, "\"a\nb\",2")] };
        assert_eq!(rejects.first(), "a.csv:3: column `x` is infinite");
        assert_eq!(of_batch(&rejects.batch().unwrap()).unwrap(), rejects.rejects);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv.rejects.csv");
        rejects.write(&path).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "file,line,raw,reason\na.csv,3,\"inf,1\",column `x` is infinite\n\
             a.csv,9,\"\"\"a\nb\"\",2\",column `x` is infinite\n"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
