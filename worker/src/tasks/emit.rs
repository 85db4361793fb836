//! Writing merged rows: the driving side's shards in their order, and the rows that only the other side has.

use polars::prelude::{BooleanChunked, ChunkCompareEq, Column, DataFrame, IdxCa, NamedFrom, Series};
use shardmill_common::failure::Failure;
use shardmill_common::task::{EmitTask, MergedColumn, TaskOutput};

use super::Context;
use super::deliver::{DRIVER_ROW, POSITION, delivered_name};
use super::hash::u32s;
use crate::frame::{polars_type, schema_of, widen};

/// One output row of a driving shard: its row there, the partner's position, and the place of the partner's columns among
/// what was delivered.
type Merged = (u32, u64, Option<u32>);

pub fn run(context: &Context, task: &EmitTask) -> Result<TaskOutput, Failure> {
    let (rows, both) = kept_rows(context, task)?;
    let delivered = delivered(context, task)?;
    let frame = if !task.is_driver {
        other_only(context, task, rows)?
    } else if let Some(keys) = task.changes {
        return changes(context, task, &delivered, keys as usize);
    } else if task.delivered.is_some() {
        with_delivered(context, task, rows, both, &delivered)?
    } else {
        without_delivered(context, task, rows, both)?
    };
    finish(context, frame, TaskOutput::default())
}

fn finish(context: &Context, frame: Option<DataFrame>, mut output: TaskOutput) -> Result<TaskOutput, Failure> {
    if let Some(mut frame) = frame {
        output.schema = Some(schema_of(&frame)?);
        output.counters.add("rows_out", frame.height() as u64);
        output.shard = Some(context.write_shard(&mut frame)?);
    }
    Ok(output)
}

/// The rows of this shard that the match stage kept, in no order, and whether each has a partner.
fn kept_rows(context: &Context, task: &EmitTask) -> Result<(Vec<u32>, Vec<bool>), Failure> {
    let (mut rows, mut both) = (Vec::new(), Vec::new());
    for data in context.partitions(task.matches, task.partition) {
        for frame in crate::shuffle::frames(data?) {
            let frame = frame?;
            rows.extend(u32s(&frame, "row")?);
            if task.is_driver {
                let flags = frame.column("both").and_then(|c| c.bool()).map_err(Failure::internal)?;
                both.extend(flags.iter().map(|b| b.unwrap_or(false)));
            }
        }
    }
    Ok((rows, both))
}

fn delivered(context: &Context, task: &EmitTask) -> Result<Option<DataFrame>, Failure> {
    let Some(range) = task.delivered else { return Ok(None) };
    let mut whole: Option<DataFrame> = None;
    for data in context.partitions(range, task.input.ordinal) {
        let Some(frame) = crate::shuffle::to_frame(data?)? else { continue };
        match &mut whole {
            None => whole = Some(frame),
            Some(whole) => {
                whole.vstack_mut(&frame).map_err(Failure::internal)?;
            }
        }
    }
    if let Some(whole) = &mut whole {
        whole.rechunk_mut();
    }
    Ok(whole)
}

fn take(column: &Column, rows: &IdxCa) -> Result<Column, Failure> {
    column.take(rows).map_err(Failure::internal)
}

fn named(column: Column, merged: &MergedColumn) -> Result<Column, Failure> {
    let column = if *column.dtype() == polars_type(merged.dtype) { column } else { widen(&column, merged.dtype)? };
    Ok(column.with_name(merged.name.as_str().into()))
}

fn null(merged: &MergedColumn, height: usize) -> Column {
    Column::full_null(merged.name.as_str().into(), height, &polars_type(merged.dtype))
}

/// The indicator: which sides a row is on.
fn indicator(task: &EmitTask, both: impl Iterator<Item = bool>) -> Column {
    let only = if task.driver_is_left == task.is_driver { "left_only" } else { "right_only" };
    let words: Vec<&str> = both.map(|b| if b { "both" } else { only }).collect();
    Series::new("_merge".into(), words).into()
}

fn other_only(context: &Context, task: &EmitTask, mut rows: Vec<u32>) -> Result<Option<DataFrame>, Failure> {
    if rows.is_empty() {
        return Ok(None);
    }
    rows.sort_unstable();
    let frame = context.open(&task.input, &task.schema)?;
    let height = rows.len();
    let whole = height == frame.height();
    let rows = IdxCa::from_vec("i".into(), rows);
    let mut columns = Vec::with_capacity(task.columns.len() + 1);
    for merged in &task.columns {
        columns.push(match &merged.other {
            Some(name) => {
                let column = frame.column(name).map_err(Failure::internal)?;
                named(if whole { column.clone() } else { take(column, &rows)? }, merged)?
            }
            None => null(merged, height),
        });
    }
    columns.push(indicator(task, std::iter::repeat_n(false, height)));
    DataFrame::new(height, columns).map(Some).map_err(Failure::internal)
}

/// No column of the other side is shown: the driver's rows as often as they have partners.
fn without_delivered(
    context: &Context,
    task: &EmitTask,
    rows: Vec<u32>,
    both: Vec<bool>,
) -> Result<Option<DataFrame>, Failure> {
    if rows.is_empty() {
        return Ok(None);
    }
    let mut order: Vec<(u32, bool)> = rows.into_iter().zip(both).collect();
    order.sort_unstable_by_key(|(row, _)| *row);
    let frame = context.open(&task.input, &task.schema)?;
    let height = order.len();
    // Every row once is the common case: nothing has to be gathered.
    let whole = height == frame.height() && (0u32..).zip(&order).all(|(n, (row, _))| n == *row);
    let rows = IdxCa::from_vec("i".into(), order.iter().map(|(row, _)| *row).collect());
    let mut columns = Vec::with_capacity(task.columns.len() + 1);
    for merged in &task.columns {
        columns.push(match &merged.driver {
            Some(name) => {
                let column = frame.column(name).map_err(Failure::internal)?;
                named(if whole { column.clone() } else { take(column, &rows)? }, merged)?
            }
            None => null(merged, height),
        });
    }
    columns.push(indicator(task, order.iter().map(|(_, both)| *both)));
    DataFrame::new(height, columns).map(Some).map_err(Failure::internal)
}

/// (driver row, position, place) of everything delivered, in no order.
fn partners(delivered: &Option<DataFrame>) -> Result<Vec<Merged>, Failure> {
    let Some(frame) = delivered else { return Ok(Vec::new()) };
    let positions = frame.column(POSITION).and_then(|c| c.u64()).map_err(Failure::internal)?;
    let rows = u32s(frame, DRIVER_ROW)?;
    Ok(rows.into_iter().zip(positions.into_no_null_iter()).zip(0u32..).map(|((r, p), n)| (r, p, Some(n))).collect())
}

fn with_delivered(
    context: &Context,
    task: &EmitTask,
    rows: Vec<u32>,
    both: Vec<bool>,
    delivered: &Option<DataFrame>,
) -> Result<Option<DataFrame>, Failure> {
    let mut order = partners(delivered)?;
    order.extend(rows.into_iter().zip(both).filter(|(_, both)| !both).map(|(row, _)| (row, 0, None)));
    if order.is_empty() {
        return Ok(None);
    }
    order.sort_unstable();
    let frame = context.open(&task.input, &task.schema)?;
    let height = order.len();
    let rows = IdxCa::from_vec("i".into(), order.iter().map(|(row, _, _)| *row).collect());
    let places = IdxCa::new("i".into(), order.iter().map(|(_, _, place)| *place).collect::<Vec<_>>());
    let mut columns = Vec::with_capacity(task.columns.len() + 1);
    for merged in &task.columns {
        columns.push(match (&merged.driver, &merged.other, delivered) {
            (Some(name), _, _) => named(take(frame.column(name).map_err(Failure::internal)?, &rows)?, merged)?,
            (None, Some(name), Some(delivered)) => {
                let column = delivered.column(&delivered_name(name)).map_err(Failure::internal)?;
                named(take(column, &places)?, merged)?
            }
            _ => null(merged, height),
        });
    }
    columns.push(indicator(task, order.iter().map(|(_, _, place)| place.is_some())));
    DataFrame::new(height, columns).map(Some).map_err(Failure::internal)
}

/// The cells that differ between partners: the keys, the column's name, and both values as text.
fn changes(
    context: &Context,
    task: &EmitTask,
    delivered: &Option<DataFrame>,
    keys: usize,
) -> Result<TaskOutput, Failure> {
    let mut order = partners(delivered)?;
    let mut output = TaskOutput::default();
    let (key_columns, compared) = task.columns.split_at(keys.min(task.columns.len()));
    for merged in compared {
        output.counters.add(format!("changed/{}", merged.name), 0);
    }
    output.counters.add("rows_changed", 0);
    let Some(delivered) = delivered else { return Ok(output) };
    order.sort_unstable();
    let frame = context.open(&task.input, &task.schema)?;
    let rows = IdxCa::from_vec("i".into(), order.iter().map(|(row, _, _)| *row).collect());
    let places = IdxCa::new("i".into(), order.iter().map(|(_, _, place)| *place).collect::<Vec<_>>());
    let mut found: Vec<(u32, u32)> = Vec::new();
    let mut texts: Vec<[Column; 2]> = Vec::new();
    for (n, merged) in (0u32..).zip(compared) {
        let name = merged.driver.as_deref().unwrap_or(&merged.name);
        let mine = named(take(frame.column(name).map_err(Failure::internal)?, &rows)?, merged)?;
        let theirs = delivered.column(&delivered_name(name)).map_err(Failure::internal)?;
        let theirs = named(take(theirs, &places)?, merged)?;
        let differs: BooleanChunked = mine
            .as_materialized_series()
            .not_equal_missing(theirs.as_materialized_series())
            .map_err(Failure::internal)?;
        let before = found.len();
        found.extend((0u32..).zip(differs.iter()).filter(|(_, d)| *d == Some(true)).map(|(row, _)| (row, n)));
        output.counters.add(format!("changed/{}", merged.name), (found.len() - before) as u64);
        let text = |column: &Column| widen(column, shardmill_common::schema::DataType::String);
        texts.push([text(&mine)?, text(&theirs)?]);
    }
    if found.is_empty() {
        return Ok(output);
    }
    found.sort_unstable();
    let mut changed_rows: Vec<u32> = found.iter().map(|(row, _)| *row).collect();
    changed_rows.dedup();
    output.counters.add("rows_changed", changed_rows.len() as u64);
    // `found` counts output pairs; the keys are taken from the driver's rows behind them.
    let key_rows = IdxCa::from_vec("i".into(), found.iter().map(|(pair, _)| order[*pair as usize].0).collect());
    let mut columns = Vec::with_capacity(keys + 3);
    for merged in key_columns {
        let name = merged.driver.as_deref().unwrap_or(&merged.name);
        columns.push(named(take(frame.column(name).map_err(Failure::internal)?, &key_rows)?, merged)?);
    }
    let names: Vec<&str> = found.iter().map(|(_, n)| compared[*n as usize].name.as_str()).collect();
    columns.push(Series::new("column".into(), names).into());
    for (side, name) in [(0, "left"), (1, "right")] {
        let values: Vec<Option<&str>> = found
            .iter()
            .map(|(pair, n)| texts[*n as usize][side].str().map(|t| t.get(*pair as usize)))
            .collect::<Result<_, _>>()
            .map_err(Failure::internal)?;
        columns.push(Series::new(name.into(), values).into());
    }
    let frame = DataFrame::new(found.len(), columns).map_err(Failure::internal)?;
    finish(context, Some(frame), output)
}
