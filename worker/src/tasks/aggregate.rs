//! The partial aggregates of some shards.

use polars::prelude::{Column, DataFrame, IdxCa};
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::aggregate::AggregateTask;
use shardmill_common::task::TaskOutput;

use super::Context;
use crate::aggregate::{Accumulator, Cells, DistinctPairs, Groups, Layout, ValueCounts, key_name, state_name};
use crate::shuffle::ShuffleWriter;

pub fn run(context: &Context, task: &AggregateTask) -> Result<TaskOutput, Failure> {
    let layout = Layout::new(&task.by, &task.aggregates, &task.schema)?;
    let columns = layout.columns();
    let mut partial = Partial::new(&layout, task.partitions.max(1))?;
    let mut output = TaskOutput::default();
    for input in &task.inputs {
        if columns.is_empty() {
            // Where no column is needed, rows are only counted.
            let rows = context.entry(input)?.rows() as usize;
            partial.add(&DataFrame::empty(), rows)?;
            output.counters.add(Counter::RowsIn, rows as u64);
            continue;
        }
        let mut frame = context.open_columns(input, &task.schema, Some(&columns))?;
        output.counters.add(Counter::RowsIn, frame.height() as u64);
        // Rows in pieces as they were read, so that nothing is copied to bring them together.
        for piece in frame.split_chunks() {
            context.check()?;
            partial.add(&piece, piece.height())?;
        }
    }
    output.shuffle = Some(partial.write(context.shuffle_writer(true)?)?);
    Ok(output)
}

/// The groups so far.
struct Partial<'a> {
    layout: &'a Layout,
    groups: Groups,
    states: Vec<Accumulator>,
    distinct: Vec<DistinctPairs>,
    values: Vec<ValueCounts>,
}

impl<'a> Partial<'a> {
    fn new(layout: &'a Layout, partitions: u32) -> Result<Self, Failure> {
        let groups = Groups::new(layout.keys.clone(), partitions);
        let mut states =
            layout.states.iter().map(|state| state.accumulator()).collect::<Result<Vec<Accumulator>, Failure>>()?;
        states.iter_mut().try_for_each(|state| state.grow(groups.len()))?;
        let partitions = partitions as usize;
        Ok(Self {
            layout,
            groups,
            states,
            distinct: layout.distinct.iter().map(|_| DistinctPairs::new(partitions)).collect(),
            values: layout.values.iter().map(|_| ValueCounts::new(partitions)).collect(),
        })
    }

    fn add(&mut self, frame: &DataFrame, rows: usize) -> Result<(), Failure> {
        let ids = self.groups.ids(frame, rows)?;
        let cells = |name: &str| Cells::of(frame.column(name).map_err(Failure::internal)?);
        for (accumulator, state) in self.states.iter_mut().zip(&self.layout.states) {
            accumulator.grow(self.groups.len())?;
            accumulator.add(&state.column.as_deref().map_or(Ok(Cells::None), cells)?, &ids);
        }
        let places = self.groups.places();
        for (pairs, column) in self.distinct.iter_mut().zip(&self.layout.distinct) {
            pairs.add(&cells(column)?, &ids, places);
        }
        for (values, (column, _)) in self.values.iter_mut().zip(&self.layout.values) {
            values.add(&cells(column)?, &ids, places);
        }
        Ok(())
    }

    /// Writes the tables, one after another.
    fn write(mut self, mut writer: ShuffleWriter) -> Result<Vec<shardmill_common::task::PartitionSize>, Failure> {
        let table = self.state_table()?;
        self.states.clear();
        let (order, starts) = self.groups.in_order();
        let table = table.take(&IdxCa::from_vec("i".into(), order)).map_err(Failure::internal)?;
        for bounds in starts.windows(2) {
            writer.partition(&mut [table.slice(bounds[0] as i64, bounds[1] - bounds[0])])?;
        }
        drop(table);
        for pairs in self.distinct {
            writer.compress(!pairs.are_hashes());
            for frame in pairs.frames() {
                writer.partition(&mut [frame?])?;
            }
        }
        writer.compress(true);
        for values in self.values {
            for frame in values.frames() {
                writer.partition(&mut [frame?])?;
            }
        }
        writer.finish()
    }

    /// The groups with their keys and states, a row each, in the order of their numbers.
    fn state_table(&mut self) -> Result<DataFrame, Failure> {
        let keys = self.groups.keys()?;
        let mut columns: Vec<Column> = Vec::new();
        for (n, column) in keys.columns().iter().enumerate() {
            columns.push(column.clone().with_name(key_name(n).into()));
        }
        for (n, (accumulator, state)) in self.states.iter().zip(&self.layout.states).enumerate() {
            columns.extend(accumulator.state(&state_name(n), state.dtype)?);
        }
        // What only counts different values has no state, and one group over everything no column of keys.
        if columns.is_empty() {
            columns.push(Column::new_row_index("row".into(), 0, self.groups.len()).map_err(Failure::internal)?);
        }
        DataFrame::new(self.groups.len(), columns).map_err(Failure::internal)
    }
}
