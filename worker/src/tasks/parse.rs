//! Parsing a chunk into a shard: read, type, clean, hash and write in one pass.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use polars::prelude::{DataFrame, NamedFrom, Series};
use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::ingest::{ChunkPlace, ParseResult, ParseTask};
use shardmill_common::manifest::ShardEntry;
use shardmill_common::schema::{DataType, Schema};
use shardmill_common::task::TaskOutput;

use super::Context;
use super::hash::shuffle_hashes;
use crate::clean::{self, Place};
use crate::frame::schema_of;
use crate::ingest;
use crate::sql::expressions;

pub fn run(context: &Context, task: &ParseTask) -> Result<TaskOutput, Failure> {
    let bytes = read_chunk(context, task)?;
    context.check()?;
    let size = bytes.len() as u64;
    let mut parsed = ingest::parse(bytes, task)?;
    context.advance(parsed.rows_read, size);
    let mut rejects: Vec<Reject> =
        parsed.rejected.iter().map(|r| Reject { line: r.line, raw: r.raw.clone(), reason: r.reason.clone() }).collect();
    let unreadable = rejects.len() as u64;
    let frame = std::mem::take(&mut parsed.frame);
    let row_name = |row: u32| format!("{}:{}", task.source_name, parsed.origin(row as usize).0);
    let place = Place { ordinal: task.ordinal, row_name: &row_name };
    let cleaned = clean::apply(frame, &task.rules, &task.statistics, &place, &expressions(context))?;
    for rejected in &cleaned.rejected {
        let (line, raw) = parsed.origin(rejected.row as usize);
        rejects.push(Reject { line, raw, reason: rejected.reason.clone() });
    }
    rejects.sort_by_key(|r| r.line);
    let mut counters = cleaned.counters;
    counters.add(Counter::RowsRead, parsed.rows_read);
    counters.add(Counter::RowsUnreadable, unreadable);
    counters.add(Counter::Rejected, rejects.len() as u64);
    let first_reject = rejects.first().map(|r| format!("{}:{}: {}", task.source_name, r.line, r.reason));
    let valueless: Vec<String> =
        parsed.observed.fields.iter().filter(|f| f.dtype == DataType::Null).map(|f| f.name.clone()).collect();
    let observed = Some(std::mem::take(&mut parsed.observed)).filter(|observed| !observed.is_identical(&task.schema));
    let [filled, cut, swallowing] = std::mem::take(&mut parsed.odd);
    counters.add(Counter::RowsFilled, filled.records);
    counters.add(Counter::RowsCut, cut.records);
    let report = ParseResult { observed, first_reject, filled, cut, swallowing };
    // The text is not needed for what follows.
    drop(parsed);
    let schema = schema_of_rows(&cleaned.frame, &valueless)?;
    finish(context, task, cleaned.frame, schema, &rejects, counters, &report)
}

/// The schema of the rows, in which columns that had no value and got none by a rule have the type of nothing yet.
fn schema_of_rows(frame: &DataFrame, valueless: &[String]) -> Result<Schema, Failure> {
    let mut schema = schema_of(frame)?;
    for (field, column) in schema.fields.iter_mut().zip(frame.columns()) {
        if field.dtype == DataType::String && column.null_count() == frame.height() && valueless.contains(&field.name) {
            field.dtype = DataType::Null;
        }
    }
    Ok(schema)
}

fn finish(
    context: &Context,
    task: &ParseTask,
    mut frame: DataFrame,
    schema: Schema,
    rejects: &[Reject],
    counters: Counters,
    report: &ParseResult,
) -> Result<TaskOutput, Failure> {
    context.check()?;
    let shuffle = task.hash.as_ref().map(|plan| shuffle_hashes(context, &frame, plan)).transpose()?;
    let output = TaskOutput {
        shard: Some(context.write_shard(&mut frame)?),
        rejects: write_rejects(context, &task.source_name, rejects)?,
        schema: Some(schema),
        shuffle,
        counters,
        ..Default::default()
    };
    output.and_reports::<ParseTask>(report)
}

/// A row on its way to the rejects.
pub struct Reject {
    pub line: u64,
    pub raw: String,
    pub reason: String,
}

/// Writes rejected rows as a shard of the rejects dataset, if there are any.
pub fn write_rejects(context: &Context, file: &str, rejects: &[Reject]) -> Result<Option<ShardEntry>, Failure> {
    if rejects.is_empty() {
        return Ok(None);
    }
    let columns = vec![
        Series::new("file".into(), vec![file; rejects.len()]).into(),
        Series::new("line".into(), rejects.iter().map(|r| r.line as i64).collect::<Vec<_>>()).into(),
        Series::new("raw".into(), rejects.iter().map(|r| r.raw.as_str()).collect::<Vec<_>>()).into(),
        Series::new("reason".into(), rejects.iter().map(|r| r.reason.as_str()).collect::<Vec<_>>()).into(),
    ];
    let mut frame = DataFrame::new(rejects.len(), columns).map_err(Failure::internal)?;
    context.write_shard(&mut frame).map(Some)
}

fn read_chunk(context: &Context, task: &ParseTask) -> Result<Vec<u8>, Failure> {
    match &task.chunk.place {
        ChunkPlace::Object(object) => Ok(context.fetch.object(object, &context.place)?.into()),
        ChunkPlace::File { path, offset } => {
            if !context.local_files {
                return Err(Failure::bad_input("this worker does not read files by path: upload them"));
            }
            let failed = |e: std::io::Error| Failure::bad_input(format!("{}: {e}", task.source_name));
            if task.chunk.groups.is_some() {
                // Some row groups of a Parquet file: its footer says where they are.
                return std::fs::read(path).map_err(failed);
            }
            let mut file = File::open(path).map_err(failed)?;
            file.seek(SeekFrom::Start(*offset)).map_err(failed)?;
            let mut bytes = Vec::with_capacity(task.chunk.bytes as usize);
            file.take(task.chunk.bytes).read_to_end(&mut bytes).map_err(failed)?;
            if bytes.len() as u64 != task.chunk.bytes {
                return Err(Failure::bad_input(format!("{} was cut short while it was read", task.source_name)));
            }
            Ok(bytes)
        }
    }
}
