//! The partial aggregates of a shard.

use polars::prelude::{Column, DataFrame, IdxCa};
use shardmill_common::failure::Failure;
use shardmill_common::mapreduce::AggregateTask;
use shardmill_common::task::TaskOutput;

use super::Context;
use crate::aggregate::{Accumulator, Cells, DistinctPairs, Groups, Layout, ValueCounts, key_name, state_name};
use crate::hash::partition_of;

pub fn run(context: &Context, task: &AggregateTask) -> Result<TaskOutput, Failure> {
    let layout = Layout::new(&task.by, &task.aggregates, &task.schema)?;
    let columns = layout.columns();
    let frame = if columns.is_empty() {
        DataFrame::empty()
    } else {
        context.open_columns(&task.input, &task.schema, Some(&columns))?
    };
    // Where no column is needed, rows are only counted.
    let rows = if columns.is_empty() { context.entry(&task.input)?.rows() as usize } else { frame.height() };
    let mut output = TaskOutput::default();
    output.counters.add("rows_in", rows as u64);
    let mut groups = Groups::new(layout.keys.clone());
    let ids = groups.ids(&frame, rows)?;
    let cells = |name: &str| Cells::of(frame.column(name).map_err(Failure::internal)?);

    let mut states: Vec<Accumulator> = Vec::with_capacity(layout.states.len());
    for state in &layout.states {
        let mut accumulator = state.accumulator()?;
        accumulator.grow(groups.len())?;
        accumulator.add(&state.column.as_deref().map_or(Ok(Cells::None), cells)?, &ids);
        context.check()?;
        states.push(accumulator);
    }
    let places = Places::of(groups.hashes(), task.partitions);
    let mut writer = context.shuffle_writer(true)?;
    let table = places.in_order(&state_table(&mut groups, &layout, &states)?)?;
    drop(states);
    for bounds in places.starts.windows(2) {
        writer.partition(&mut [table.slice(bounds[0] as i64, bounds[1] - bounds[0])])?;
    }
    for column in &layout.distinct {
        let pairs = DistinctPairs::of(&cells(column)?, &ids);
        context.check()?;
        for block in pairs.blocks(&places.rank, &places.starts) {
            writer.partition(&mut [block.to_frame()?])?;
        }
    }
    for (column, _) in &layout.values {
        let values = ValueCounts::of(&cells(column)?, &ids);
        context.check()?;
        for mut frame in values.frames(&places.rank, &places.starts)? {
            writer.partition(std::slice::from_mut(&mut frame))?;
        }
    }
    output.shuffle = Some(writer.finish()?);
    Ok(output)
}

/// The groups with their keys and states, a row each, in the order of their numbers.
fn state_table(groups: &mut Groups, layout: &Layout, states: &[Accumulator]) -> Result<DataFrame, Failure> {
    let keys = groups.keys()?;
    let mut columns: Vec<Column> = Vec::new();
    for (n, column) in keys.columns().iter().enumerate() {
        columns.push(column.clone().with_name(key_name(n).into()));
    }
    for (n, (accumulator, state)) in states.iter().zip(&layout.states).enumerate() {
        columns.extend(accumulator.state(&state_name(n), state.dtype)?);
    }
    // What only counts different values or sorts them has no state, and what has no keys no column for them.
    if columns.is_empty() {
        columns.push(Column::new_row_index("row".into(), 0, groups.len()).map_err(Failure::internal)?);
    }
    DataFrame::new(groups.len(), columns).map_err(Failure::internal)
}

/// Where each group comes when groups are brought into the order of their partitions.
struct Places {
    rank: Vec<u32>,
    starts: Vec<usize>,
}

impl Places {
    fn of(hashes: &[u128], partitions: u32) -> Self {
        let mut starts = vec![0usize; partitions.max(1) as usize + 1];
        hashes.iter().for_each(|hash| starts[partition_of(*hash, partitions) + 1] += 1);
        for n in 1..starts.len() {
            starts[n] += starts[n - 1];
        }
        let mut next = starts.clone();
        let rank = hashes
            .iter()
            .map(|hash| {
                let slot = &mut next[partition_of(*hash, partitions)];
                *slot += 1;
                (*slot - 1) as u32
            })
            .collect();
        Self { rank, starts }
    }

    fn in_order(&self, table: &DataFrame) -> Result<DataFrame, Failure> {
        let mut order = vec![0; self.rank.len()];
        for (group, place) in (0..).zip(&self.rank) {
            order[*place as usize] = group;
        }
        table.take(&IdxCa::from_vec("i".into(), order)).map_err(Failure::internal)
    }
}
