//! Cleaning a shard.

use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::task::{CleanTask, ShardRef, TaskOutput};

use super::Context;
use super::parse::{Reject, write_rejects};
use crate::clean;
use crate::frame::schema_of;

/// A row's text is kept up to this many bytes.
const RAW_BYTES: usize = 4096;

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

/// A row as one line of JSON, for people to look at.
fn row_as_json(frame: &DataFrame, row: usize) -> String {
    use polars::prelude::AnyValue;
    use serde_json::Value;
    let mut map = serde_json::Map::new();
    for column in frame.columns() {
        let value = match column.get(row) {
            Err(_) | Ok(AnyValue::Null) => Value::Null,
            Ok(AnyValue::Boolean(b)) => b.into(),
            Ok(AnyValue::Int64(n)) => n.into(),
            Ok(AnyValue::Float64(x)) => {
                serde_json::Number::from_f64(x).map_or_else(|| x.to_string().into(), Value::Number)
            }
            Ok(AnyValue::String(s)) => s.into(),
            Ok(AnyValue::StringOwned(s)) => s.as_str().into(),
            Ok(other) => other.to_string().into(),
        };
        map.insert(column.name().to_string(), value);
    }
    let mut text = Value::Object(map).to_string();
    if text.len() > RAW_BYTES {
        let cut = (0..=RAW_BYTES).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}
