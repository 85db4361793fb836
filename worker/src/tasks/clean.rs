//! Cleaning shards, small neighbours as one.

use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::clean::CleanTask;
use shardmill_common::task::TaskOutput;

use super::Context;
use super::parse::{Reject, write_rejects};
use super::raw::row_as_json;
use crate::clean::{self, Place};
use crate::frame::schema_of;
use crate::origin::Origin;
use crate::sql::expressions;

pub fn run(context: &Context, task: &CleanTask) -> Result<TaskOutput, Failure> {
    let frame = context.open_all(&task.inputs, &task.schema, None)?;
    let rows_in = frame.height() as u64;
    // Rejected rows are shown as they were; a frame is cheap to keep, its columns are shared.
    let before = frame.clone();
    let origin = Origin { source: &task.source_name, first_row: task.first_row };
    let row_name = |row| origin.name(u64::from(row));
    // What a rule knows of the rows above is that of the first shard's.
    let ordinal = task.inputs.first().map_or(0, |input| input.ordinal);
    let cleaned = clean::apply(
        frame,
        &task.rules,
        &task.statistics,
        &Place { ordinal, row_name: &row_name },
        &expressions(context),
    )?;
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
    counters.add(Counter::RowsIn, rows_in);
    counters.add(Counter::RowsOut, frame.height() as u64);
    counters.add(Counter::Rejected, rejects.len() as u64);
    let schema = schema_of(&frame)?;
    let shards = if cleaned.unchanged {
        // Nothing is copied that did not change.
        task.inputs.iter().map(|input| context.entry(input)).collect::<Result<_, _>>()?
    } else {
        vec![context.write_shard(&mut frame)?]
    };
    let output = TaskOutput {
        rejects: write_rejects(context, &task.source_name, &rejects)?,
        schema: Some(schema),
        counters,
        ..Default::default()
    };
    Ok(output.and_shards(shards))
}
