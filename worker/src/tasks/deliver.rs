//! Sending the columns of matched rows to the shards of the driving side.

use polars::prelude::{Column, DataFrame, IdxCa, NamedFrom, Series};
use shardmill_common::failure::Failure;
use shardmill_common::task::{DeliverTask, TaskOutput};

use super::Context;
use super::hash::u32s;

/// The driver's row, for which a delivered row is meant.
pub const DRIVER_ROW: &str = "driver_row";
/// The delivered row's position on the other side: shard and row in one number, so that it sorts.
pub const POSITION: &str = "position";

/// The name of a delivered column: no dataset's column name can be taken for one of the two above.
pub fn delivered_name(column: &str) -> String {
    format!("c:{column}")
}

pub fn run(context: &Context, task: &DeliverTask) -> Result<TaskOutput, Failure> {
    let mut pairs: Vec<(u32, u32, u32)> = Vec::new();
    for data in context.partitions(task.matches, task.partition) {
        for frame in crate::shuffle::frames(data?) {
            let frame = frame?;
            let (rows, drivers, driver_rows) =
                (u32s(&frame, "row")?, u32s(&frame, "driver")?, u32s(&frame, "driver_row")?);
            pairs.extend(drivers.into_iter().zip(driver_rows).zip(rows).map(|((d, dr), r)| (d, dr, r)));
        }
    }
    pairs.sort_unstable();
    let mut writer = context.shuffle_writer(true)?;
    if pairs.is_empty() {
        for _ in 0..task.targets {
            writer.partition(&mut [])?;
        }
        return Ok(TaskOutput { shuffle: Some(writer.finish()?), ..Default::default() });
    }
    let frame = context.open_columns(&task.input, &task.schema, Some(&task.columns))?;
    let height = frame.height();
    let mut rest = pairs.as_slice();
    for target in 0..task.targets {
        let (mine, others) = rest.split_at(rest.partition_point(|(d, _, _)| *d <= target));
        rest = others;
        if mine.is_empty() {
            writer.partition(&mut [])?;
            continue;
        }
        if mine.iter().any(|(_, _, r)| *r as usize >= height) {
            return Err(Failure::internal("a pair names a row that is not there"));
        }
        let taken = IdxCa::from_vec("i".into(), mine.iter().map(|(_, _, r)| *r).collect());
        let payload = frame.take(&taken).map_err(Failure::internal)?;
        let driver_rows: Vec<u32> = mine.iter().map(|(_, dr, _)| *dr).collect();
        let ordinal = u64::from(task.input.ordinal) << 32;
        let positions: Vec<u64> = mine.iter().map(|(_, _, r)| ordinal | u64::from(*r)).collect();
        let mut columns: Vec<Column> =
            vec![Series::new(DRIVER_ROW.into(), driver_rows).into(), Series::new(POSITION.into(), positions).into()];
        for column in payload.columns() {
            columns.push(column.clone().with_name(delivered_name(column.name()).into()));
        }
        writer.partition(&mut [DataFrame::new(mine.len(), columns).map_err(Failure::internal)?])?;
    }
    Ok(TaskOutput { shuffle: Some(writer.finish()?), ..Default::default() })
}
