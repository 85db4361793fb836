//! Sending the columns of rows that have partners to the shards of the driving side, each row once to each shard that wants it.

use hashbrown::HashMap;
use polars::prelude::{Column, DataFrame, IdxCa, NamedFrom, Series};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::compare::DeliverTask;
use shardmill_common::task::TaskOutput;

use super::Context;
use super::hash::{u32s, u64s};

/// The group that a delivered row belongs to. Rows of one group come in their order.
pub const GROUP: &str = "group";

/// Bytes of the rows that are written together.
const PIECE_BYTES: usize = 4 << 20;

/// The name of a delivered column: no dataset's column name can be taken for the one above.
pub fn delivered_name(column: &str) -> String {
    format!("c:{column}")
}

/// What the match stage says of one shard.
#[derive(Default)]
struct Orders {
    /// (group, row), in order.
    rows: Vec<(u64, u32)>,
    /// (driver, group), in order.
    wants: Vec<(u32, u64)>,
}

pub fn run(context: &Context, task: &DeliverTask) -> Result<TaskOutput, Failure> {
    let Orders { rows, wants } = orders(context, task)?;
    let mut writer = context.shuffle_writer(true)?;
    if wants.is_empty() {
        for _ in 0..task.targets {
            writer.partition(&mut [])?;
        }
        return Ok(TaskOutput { shuffle: Some(writer.finish()?), ..Default::default() });
    }
    let frame = context.open_all(&task.inputs, &task.schema, Some(&task.columns))?;
    if rows.iter().any(|(_, row)| *row as usize >= frame.height()) {
        return Err(Failure::internal("the match stage names a row that is not there"));
    }
    let row_bytes = frame.estimated_size().div_ceil(frame.height().max(1)) + 8;
    let piece_rows = (PIECE_BYTES / row_bytes).max(1);
    let mut groups: HashMap<u64, (usize, usize)> = HashMap::new();
    for (n, (group, _)) in rows.iter().enumerate() {
        groups.entry(*group).or_insert((n, n)).1 = n + 1;
    }
    let mut rest = wants.as_slice();
    for target in 0..task.targets {
        context.check()?;
        let (mine, others) = rest.split_at(rest.partition_point(|(driver, _)| *driver <= target));
        rest = others;
        if mine.is_empty() {
            writer.partition(&mut [])?;
            continue;
        }
        let members: Vec<(u64, u32)> = mine
            .iter()
            .filter_map(|(_, group)| groups.get(group))
            .flat_map(|(from, to)| rows[*from..*to].iter().copied())
            .collect();
        // In pieces, so that whoever reads them needs no more than a piece at a time.
        let mut pieces =
            members.chunks(piece_rows).map(|piece| delivered(&frame, piece)).collect::<Result<Vec<_>, _>>()?;
        writer.partition(&mut pieces)?;
    }
    Ok(TaskOutput { shuffle: Some(writer.finish()?), ..Default::default() })
}

/// These rows, each with its group.
fn delivered(frame: &DataFrame, members: &[(u64, u32)]) -> Result<DataFrame, Failure> {
    let taken = IdxCa::from_vec("i".into(), members.iter().map(|(_, row)| *row).collect());
    let names: Vec<u64> = members.iter().map(|(group, _)| *group).collect();
    let payload = frame.take(&taken).map_err(Failure::internal)?;
    let mut columns: Vec<Column> = vec![Series::new(GROUP.into(), names).into()];
    for column in payload.columns() {
        columns.push(column.clone().with_name(delivered_name(column.name()).into()));
    }
    DataFrame::new(members.len(), columns).map_err(Failure::internal)
}

fn orders(context: &Context, task: &DeliverTask) -> Result<Orders, Failure> {
    let mut orders = Orders::default();
    for data in context.partitions(task.matches, task.partition) {
        for frame in crate::shuffle::frames(data?) {
            let frame = frame?;
            let groups = u64s(&frame, GROUP)?;
            if frame.column("driver").is_ok() {
                orders.wants.extend(u32s(&frame, "driver")?.into_iter().zip(groups));
            } else {
                orders.rows.extend(groups.into_iter().zip(u32s(&frame, "row")?));
            }
        }
    }
    orders.rows.sort_unstable();
    orders.wants.sort_unstable();
    Ok(orders)
}
