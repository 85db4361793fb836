//! Cleaning shards, small neighbours as one.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::clean::CleanTask;
use shardmill_common::manifest::ShardEntry;
use shardmill_common::task::{ShardInput, ShardRef, TaskOutput};

use super::Context;
use super::parse::{Reject, write_rejects};
use super::raw::row_as_json;
use crate::clean::{self, Place};
use crate::frame::schema_of;

pub fn run(context: &Context, task: &CleanTask) -> Result<TaskOutput, Failure> {
    let frame = context.open_all(&task.inputs, &task.schema, None)?;
    let rows_in = frame.height() as u64;
    // Rejected rows are shown as they were; a frame is cheap to keep, its columns are shared.
    let before = frame.clone();
    let row_name = |row| row_of(&task.source_name, task.first_row, row);
    // What a rule knows of the rows above is that of the first shard's.
    let ordinal = task.inputs.first().map_or(0, |input| input.ordinal);
    let cleaned = clean::apply(frame, &task.rules, &task.statistics, &Place { ordinal, row_name: &row_name })?;
    let rejects: Vec<Reject> = cleaned
        .rejected
        .iter()
        .map(|r| Reject {
            line: task.first_row + u64::from(r.row) + 1,
            raw: row_as_json(&before, r.row as usize),
            reason: r.reason.clone(),
        })
        .collect();
    drop(before);
    let mut counters = cleaned.counters;
    let mut frame = cleaned.frame;
    counters.add("rows_in", rows_in);
    counters.add("rows_out", frame.height() as u64);
    counters.add("rejected", rejects.len() as u64);
    let schema = schema_of(&frame)?;
    let mut shards = match stored(&task.inputs) {
        // Nothing is copied that did not change.
        Some(entries) if cleaned.unchanged => entries,
        _ => vec![context.write_shard(&mut frame)?],
    }
    .into_iter();
    Ok(TaskOutput {
        shard: shards.next(),
        more: shards.collect(),
        rejects: write_rejects(context, &task.source_name, &rejects)?,
        schema: Some(schema),
        counters,
        ..Default::default()
    })
}

/// The shards, if they are all in the store.
fn stored(inputs: &[ShardInput]) -> Option<Vec<ShardEntry>> {
    let entry = |input: &ShardInput| match &input.shard {
        ShardRef::Stored(entry) => Some(entry.clone()),
        ShardRef::Made { .. } => None,
    };
    inputs.iter().map(entry).collect()
}

/// `row 17 of orders@1`, for messages; rows are counted from 1.
pub fn row_of(source_name: &str, first_row: u64, row: u32) -> String {
    format!("row {} of {source_name}", first_row + u64::from(row) + 1)
}
