//! `dataset head`: the first rows of a version, or those from an offset.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use clap::Args;
use serde_json::{Map, Value, json};
use shardmill_common::manifest::Manifest;
use shardmill_common::name::DatasetRef;
use shardmill_common::units::show_count;

use super::tables::{Input, Tables};
use crate::cli::Context;
use crate::error::CliError;
use crate::table::{LINE_BREAK, Table};
use shardmill_client::Client;
use shardmill_flows::export::Cells;
use shardmill_flows::read::Reader;
use shardmill_flows::text::clip;

/// A cell of more characters is cut on the terminal.
const CELL: usize = 100;

#[derive(Clone, Debug, Args)]
pub struct HeadArgs {
    /// NAME or NAME@VERSION, or a file
    dataset: Input,
    /// Rows to show
    #[arg(short = 'n', long, env = "SHARDMILL_HEAD_ROWS", value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rows: u64,
    /// Rows to leave out at the start
    #[arg(long, env = "SHARDMILL_HEAD_OFFSET", value_name = "N", default_value_t = 0)]
    offset: u64,
}

/// A few rows of a version, in memory.
pub struct Rows {
    manifest: Manifest,
    offset: u64,
    batches: Vec<RecordBatch>,
}

/// Reads `limit` rows from `offset` on.
pub async fn first_rows(client: &Client, dataset: &DatasetRef, offset: u64, limit: u64) -> Result<Rows, CliError> {
    let located = Arc::new(client.locate(dataset).await?);
    let manifest = located.manifest.clone();
    let mut reader = Reader::new(client.clone(), located, offset, limit);
    let mut batches = Vec::new();
    while let Some(mut shard) = reader.next_shard() {
        while let Some(batch) = shard.next_batch().await {
            batches.push(batch?);
        }
    }
    Ok(Rows { manifest, offset, batches })
}

pub async fn run(context: &Context, args: HeadArgs) -> Result<(), CliError> {
    let rows = Tables::with(context, "head", async |s, tables| {
        let dataset = tables.resolve(context, s, &args.dataset).await?;
        context.interrupt.or_interrupted(first_rows(&s.client, &dataset, args.offset, args.rows)).await
    })
    .await?;
    rows.show(context, &args.dataset)
}

impl Rows {
    pub fn new(manifest: Manifest, offset: u64, batches: Vec<RecordBatch>) -> Self {
        Self { manifest, offset, batches }
    }

    /// Prints them, and where in the dataset or file they are.
    pub fn show(&self, context: &Context, input: &Input) -> Result<(), CliError> {
        context.out.result(self.to_json()?, || self.to_table())?;
        context.out.hint(&self.footer(match input {
            Input::Dataset(_) => None,
            Input::File(path) => Some(path),
        }));
        Ok(())
    }

    /// Rows that were read.
    pub fn count(&self) -> u64 {
        self.batches.iter().map(|b| b.num_rows() as u64).sum()
    }

    /// Rows that there are.
    pub fn total(&self) -> u64 {
        self.manifest.rows()
    }

    fn footer(&self, file: Option<&String>) -> String {
        let total = show_count(self.manifest.rows());
        let name = file.cloned().unwrap_or_else(|| self.manifest.reference().to_string());
        match self.count() {
            0 => format!("{name}: no rows from row {} on, of {total}", show_count(self.offset + 1)),
            n => format!("{name}: rows {} to {} of {total}", show_count(self.offset + 1), show_count(self.offset + n)),
        }
    }

    fn cells(batch: &RecordBatch) -> Vec<Cells<'_>> {
        batch.columns().iter().map(|c| Cells::of(c.as_ref())).collect()
    }

    pub fn to_table(&self) -> Table {
        let fields = &self.manifest.schema.fields;
        let names = fields.iter().map(|f| format!("{}{LINE_BREAK}{}", f.name, f.dtype)).collect();
        let mut table = Table::of_columns(names, fields.iter().map(|f| f.dtype.is_numeric()).collect());
        let mut text = Vec::new();
        for batch in &self.batches {
            let columns = Self::cells(batch);
            for row in 0..batch.num_rows() {
                table.row(columns.iter().map(|cells| {
                    if cells.is_null(row) {
                        return "null".to_owned();
                    }
                    text.clear();
                    cells.write(row, &mut text);
                    clip(&String::from_utf8_lossy(&text).replace(LINE_BREAK, " "), CELL)
                }));
            }
        }
        table
    }

    pub fn to_json(&self) -> Result<Value, CliError> {
        let mut rows = Vec::new();
        let mut text = Vec::new();
        for batch in &self.batches {
            let columns = Self::cells(batch);
            for row in 0..batch.num_rows() {
                let mut object = Map::new();
                for (field, cells) in self.manifest.schema.fields.iter().zip(&columns) {
                    text.clear();
                    cells.write_json(row, &mut text);
                    let value = if cells.is_beyond_float(row) {
                        // A number would lose digits in this object, and in most readers of it.
                        Value::String(String::from_utf8_lossy(&text).into_owned())
                    } else {
                        serde_json::from_slice(&text)
                            .map_err(|e| CliError::failed(format!("cannot show column `{}`: {e}", field.name)))?
                    };
                    object.insert(field.name.clone(), value);
                }
                rows.push(Value::Object(object));
            }
        }
        Ok(json!({
            "dataset": self.manifest.reference(),
            "rows_total": self.manifest.rows(),
            "offset": self.offset,
            "columns": self.manifest.schema,
            "rows": rows,
        }))
    }
}
