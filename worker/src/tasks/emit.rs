//! Writing merged rows: the driving side's shards in their order, and the rows that only the other side has.
//!
//! A shard whose partners do not fit in memory is written in passes over its rows, each with the partners of some of them.

use hashbrown::HashSet;
use polars::prelude::{BooleanChunked, ChunkCompareEq, Column, DataFrame, IdxCa, NamedFrom, Series};
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::compare::EmitTask;
use shardmill_common::task::TaskOutput;

use super::deliver::{GROUP, delivered_name};
use super::delivered::{Delivered, Sizes, of_groups};
use super::hash::{u32s, u64s};
use super::merged::{MergedRows, NONE, named, null, take};
use super::{Context, ShardSink};
use crate::frame::texts_of;

/// A row of the driving shard that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    row: u32,
    partners: u32,
    group: u64,
}

pub fn run(context: &Context, task: &EmitTask) -> Result<TaskOutput, Failure> {
    if !task.is_driver {
        return other_only(context, task);
    }
    let kept = kept_rows(context, task)?;
    let delivered = task.delivered.map(|range| Delivered { context, range, partition: task.group });
    match (task.changes, delivered) {
        (Some(keys), delivered) => changes(context, task, &kept, delivered, keys as usize),
        (None, delivered) => driver(context, task, &kept, delivered),
    }
}

/// The rows of this shard that the match stage kept, in order.
fn kept_rows(context: &Context, task: &EmitTask) -> Result<Vec<Kept>, Failure> {
    let mut kept = Vec::new();
    for data in context.partitions(task.matches, task.partition) {
        for frame in crate::shuffle::frames(data?) {
            let frame = frame?;
            let (rows, partners) = (u32s(&frame, "row")?, u32s(&frame, "partners")?);
            let groups = if frame.column(GROUP).is_ok() { u64s(&frame, GROUP)? } else { vec![0; rows.len()] };
            let all = rows.into_iter().zip(partners).zip(groups);
            kept.extend(all.map(|((row, partners), group)| Kept { row, partners, group }));
        }
    }
    kept.sort_unstable();
    Ok(kept)
}

/// What the indicator says of a row that is on this shard's side alone.
fn only(task: &EmitTask) -> Option<&'static str> {
    let word = if task.driver_is_left == task.is_driver { "left_only" } else { "right_only" };
    task.indicator.then_some(word)
}

fn other_only(context: &Context, task: &EmitTask) -> Result<TaskOutput, Failure> {
    let mut rows = Vec::new();
    for data in context.partitions(task.matches, task.partition) {
        for frame in crate::shuffle::frames(data?) {
            rows.extend(u32s(&frame?, "row")?);
        }
    }
    let mut output = TaskOutput::default();
    if rows.is_empty() {
        return Ok(output);
    }
    rows.sort_unstable();
    let frame = context.open_all(&task.inputs, &task.schema, None)?;
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
    if let Some(only) = only(task) {
        columns.push(Series::new("_merge".into(), vec![only; height]).into());
    }
    let mut sink = ShardSink::new(context);
    sink.push(DataFrame::new(height, columns).map_err(Failure::internal)?)?;
    sink.finish(&mut output)?;
    Ok(output)
}

fn driver(
    context: &Context,
    task: &EmitTask,
    kept: &[Kept],
    delivered: Option<Delivered<'_>>,
) -> Result<TaskOutput, Failure> {
    let mut output = TaskOutput::default();
    if kept.is_empty() {
        return Ok(output);
    }
    let frame = context.open_all(&task.inputs, &task.schema, None)?;
    if kept.last().is_some_and(|last| last.row as usize >= frame.height()) {
        return Err(Failure::internal("the match stage names a row that is not there"));
    }
    let mut rows = MergedRows::new(context, &task.columns, &frame, only(task));
    let Some(delivered) = delivered else {
        rows.set_other_size(0, 1);
        for Kept { row, partners, .. } in kept {
            let (place, times) = if *partners == 0 { (NONE, 1) } else { (0, *partners as usize) };
            rows.push(*row, std::iter::repeat_n(place, times), None)?;
        }
        rows.finish(None, &mut output)?;
        return Ok(output);
    };
    let limit = (context.budget / 4).max(4 << 20);
    if let Some(partners) = delivered.all(limit)? {
        let other = partners.frame.as_ref();
        rows.set_other_size(other.map_or(0, DataFrame::estimated_size), other.map_or(1, DataFrame::height));
        for kept in kept {
            push(&mut rows, kept, partners.places(kept.group), other)?;
        }
        rows.finish(other, &mut output)?;
    } else {
        let sizes = delivered.sizes()?;
        rows.set_other_size(sizes.row_bytes, 1);
        passes(context, &mut rows, kept, &delivered, &sizes, limit)?;
        rows.finish(None, &mut output)?;
    }
    Ok(output)
}

fn push(rows: &mut MergedRows<'_>, kept: &Kept, places: &[u32], other: Option<&DataFrame>) -> Result<(), Failure> {
    if kept.partners == 0 {
        return rows.push(kept.row, [NONE], other);
    }
    if places.len() != kept.partners as usize {
        return Err(Failure::internal(format!("{} of {} partners were delivered", places.len(), kept.partners)));
    }
    rows.push(kept.row, places.iter().copied(), other)
}

/// As many rows at a time as have their partners fit within `limit` bytes.
fn passes(
    context: &Context,
    rows: &mut MergedRows<'_>,
    mut kept: &[Kept],
    delivered: &Delivered<'_>,
    sizes: &Sizes,
    limit: u64,
) -> Result<(), Failure> {
    while !kept.is_empty() {
        context.check()?;
        let (mut groups, mut bytes) = (HashSet::new(), 0);
        let end = kept.iter().position(|k| {
            if k.partners == 0 || groups.contains(&k.group) {
                return false;
            }
            let more = u64::from(k.partners) * sizes.row_bytes as u64;
            if !groups.is_empty() && bytes + more > limit {
                return true;
            }
            groups.insert(k.group);
            bytes += more;
            false
        });
        let (now, later) = kept.split_at(end.unwrap_or(kept.len()));
        kept = later;
        if bytes <= limit {
            let partners = delivered.some(&groups)?;
            for kept in now {
                push(rows, kept, partners.places(kept.group), partners.frame.as_ref())?;
            }
            rows.flush(partners.frame.as_ref())?;
        } else {
            // One group that does not fit: its rows are read again for each row that they are partners of, in their order.
            for kept in now {
                one_by_one(rows, kept, delivered)?;
            }
        }
    }
    Ok(())
}

fn one_by_one(rows: &mut MergedRows<'_>, kept: &Kept, delivered: &Delivered<'_>) -> Result<(), Failure> {
    if kept.partners == 0 {
        rows.push(kept.row, [NONE], None)?;
        return rows.flush(None);
    }
    for frame in delivered.frames() {
        let partners = of_groups(&frame?, |group| group == kept.group)?;
        rows.push(kept.row, 0..partners.height() as u32, Some(&partners))?;
        rows.flush(Some(&partners))?;
    }
    Ok(())
}

/// The cells that differ between partners: the keys, the column's name, and both values as text.
fn changes(
    context: &Context,
    task: &EmitTask,
    kept: &[Kept],
    delivered: Option<Delivered<'_>>,
    keys: usize,
) -> Result<TaskOutput, Failure> {
    let mut output = TaskOutput::default();
    let (key_columns, compared) = task.columns.split_at(keys.min(task.columns.len()));
    for merged in compared {
        output.counters.add(Counter::Changed(merged.name.clone()), 0);
    }
    output.counters.add(Counter::RowsChanged, 0);
    let grouped = delivered.map(|delivered| delivered.all(u64::MAX)).transpose()?.flatten();
    let Some(grouped) = grouped else { return Ok(output) };
    let Some(delivered) = &grouped.frame else { return Ok(output) };
    // Keys are unique on both sides: a row has one partner or none.
    let matched = kept.iter().filter(|k| k.partners > 0);
    let order: Vec<(u32, u32)> =
        matched.flat_map(|k| grouped.places(k.group).iter().map(|place| (k.row, *place))).collect();
    let frame = context.open_all(&task.inputs, &task.schema, None)?;
    let rows = IdxCa::from_vec("i".into(), order.iter().map(|(row, _)| *row).collect());
    let places = IdxCa::from_vec("i".into(), order.iter().map(|(_, place)| *place).collect());
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
        output.counters.add(Counter::Changed(merged.name.clone()), (found.len() - before) as u64);
        let text = |column: &Column| texts_of(column).map_err(Failure::internal);
        texts.push([text(&mine)?, text(&theirs)?]);
    }
    if found.is_empty() {
        return Ok(output);
    }
    found.sort_unstable();
    let mut changed_rows: Vec<u32> = found.iter().map(|(row, _)| *row).collect();
    changed_rows.dedup();
    output.counters.add(Counter::RowsChanged, changed_rows.len() as u64);
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
    let mut sink = ShardSink::new(context);
    sink.push(frame)?;
    sink.finish(&mut output)?;
    Ok(output)
}
