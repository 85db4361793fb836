//! A sample of the sort keys of some shards, with their positions and what share of the rows each stands for.

use polars::prelude::{BinaryChunked, DataFrame, IntoColumn, NamedFrom, NewChunkedArray, Series};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::sort::SampleTask;
use shardmill_common::task::TaskOutput;

use super::Context;
use crate::spill::{KeyColumns, Keys};

/// A longer key is cut: as a bound it parts rows as well, only not as evenly.
const KEY_BYTES: usize = 4096;

pub const KEY: &str = "key";
pub const ORDINAL: &str = "ordinal";
pub const ROW: &str = "row";
pub const WEIGHT: &str = "weight";

pub fn run(context: &Context, task: &SampleTask) -> Result<TaskOutput, Failure> {
    let names: Vec<String> = task.order.by.iter().map(|key| key.column.clone()).collect();
    // Of each sampled row: its key, and its shard and number there.
    let mut keys = Keys::default();
    let mut places: Vec<(u32, u32)> = Vec::new();
    let mut key = Vec::new();
    let (step, mut first) = (task.step.max(1), task.first);
    for input in &task.inputs {
        let frame = context.open_columns(input, &task.schema, Some(&names))?;
        let columns = KeyColumns::of(&frame, &task.order)?;
        let rows = frame.height() as u64;
        for row in (first..rows).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            key.clear();
            columns.put(row as usize, &mut key);
            keys.push(&key[..key.len().min(KEY_BYTES)]);
            places.push((input.ordinal, row as u32));
        }
        first += rows.saturating_sub(first).div_ceil(step) * step;
        first -= rows;
    }
    let mut weight = step;
    // Each key then stands for more rows.
    while keys.bytes() as u64 > task.bytes && keys.len() > 1 {
        let mut fewer = Keys::default();
        (0..keys.len()).step_by(2).for_each(|n| fewer.push(keys.get(n)));
        places = places.into_iter().step_by(2).collect();
        keys = fewer;
        weight *= 2;
    }
    let (ordinals, rows) = places.into_iter().unzip();
    let frame = positions(&keys, ordinals, rows)?;
    let weights = Series::new(WEIGHT.into(), vec![weight; keys.len()]);
    let frame = frame.hstack(&[weights.into_column()]).map_err(Failure::internal)?;
    let mut writer = context.shuffle_writer(true)?;
    writer.partition(&mut [frame])?;
    Ok(TaskOutput { shuffle: Some(writer.finish()?), ..Default::default() })
}

/// Keys with the positions of their rows, for the shuffle.
pub fn positions(keys: &Keys, ordinals: Vec<u32>, rows: Vec<u32>) -> Result<DataFrame, Failure> {
    let values = BinaryChunked::from_iter_values(KEY.into(), (0..keys.len()).map(|n| keys.get(n)));
    let columns = vec![
        values.into_column(),
        Series::new(ORDINAL.into(), ordinals).into_column(),
        Series::new(ROW.into(), rows).into_column(),
    ];
    DataFrame::new(keys.len(), columns).map_err(Failure::internal)
}
