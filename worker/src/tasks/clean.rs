//! Cleaning a shard.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::clean::CleanTask;
use shardmill_common::task::{ShardRef, TaskOutput};

use super::Context;
use super::parse::{Reject, write_rejects};
use super::raw::row_as_json;
use crate::clean;
use crate::frame::schema_of;

pub fn run(context: &Context, task: &CleanTask) -> Result<TaskOutput, Failure> {
    let frame = context.open(&task.input, &task.schema)?;
    let rows_in = frame.height() as u64;
    // Rejected rows are shown as they were; a frame is cheap to keep, its columns are shared.
    let before = frame.clone();
    let cleaned = clean::apply(frame, &task.rules, &task.statistics, task.input.ordinal)?;
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
    let shard = match &task.input.shard {
        // Nothing is copied that did not change.
        ShardRef::Stored(entry) if cleaned.unchanged => entry.clone(),
        _ => context.write_shard(&mut frame)?,
    };
    Ok(TaskOutput {
        shard: Some(shard),
        rejects: write_rejects(context, &task.source_name, &rejects)?,
        schema: Some(schema),
        counters,
        ..Default::default()
    })
}
