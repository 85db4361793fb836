//! Dropping rows from shards: by a deletion vector, or by writing the shard anew when a third of it is gone.

use polars::prelude::{BooleanChunked, NewChunkedArray};
use roaring::RoaringBitmap;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::DropTask;
use shardmill_common::manifest::ShardEntry;
use shardmill_common::schema::Schema;
use shardmill_common::task::{ShardInput, TaskOutput};

use super::Context;
use super::hash::u32s;
use crate::shard::deletions;

pub fn run(context: &Context, task: &DropTask) -> Result<TaskOutput, Failure> {
    // Rows are numbered as the version shows them, so what was dropped before does not count.
    let mut drops = RoaringBitmap::new();
    for data in context.partitions(task.found, task.partition) {
        for frame in crate::shuffle::frames(data?) {
            drops.extend(u32s(&frame?, "row")?);
        }
    }
    let mut kept = Vec::new();
    // The group's rows are numbered as if it were one shard.
    let mut first = 0;
    for input in &task.inputs {
        let entry = context.entry(input)?;
        let end = first + entry.rows() as u32;
        let here: RoaringBitmap = drops.range(first..end).map(|row| row - first).collect();
        first = end;
        match here.len() {
            0 => kept.push(entry),
            all if all == entry.rows() => {}
            _ => kept.push(drop_rows(context, input, &task.schema, &here)?),
        }
    }
    let mut kept = kept.into_iter();
    Ok(TaskOutput {
        shard: kept.next(),
        more: kept.collect(),
        schema: Some((*task.schema).clone()),
        ..Default::default()
    })
}

/// The shard without these rows, numbered as the version shows them.
pub fn drop_rows(
    context: &Context,
    input: &ShardInput,
    schema: &Schema,
    drops: &RoaringBitmap,
) -> Result<ShardEntry, Failure> {
    let entry = context.entry(input)?;
    let before = deletions(&context.fetch, &context.place, &entry)?.unwrap_or_default();
    if (before.len() + drops.len()) * 3 < entry.stored_rows {
        let stored = stored_rows(drops, &before, entry.stored_rows);
        let vector = context.write_deletions(&(before | stored))?;
        return Ok(ShardEntry { deletions: Some(vector), ..entry });
    }
    let frame = context.open(input, schema)?;
    let mut keep = vec![true; frame.height()];
    for row in drops {
        if let Some(slot) = keep.get_mut(row as usize) {
            *slot = false;
        }
    }
    let mut kept = frame.filter(&BooleanChunked::from_slice("keep".into(), &keep)).map_err(Failure::internal)?;
    context.write_shard(&mut kept)
}

/// Numbers among the rows shown, as numbers among the rows stored.
fn stored_rows(shown: &RoaringBitmap, dropped: &RoaringBitmap, stored: u64) -> RoaringBitmap {
    if dropped.is_empty() {
        return shown.clone();
    }
    let live = (0..stored as u32).filter(|row| !dropped.contains(*row));
    (0u32..).zip(live).filter(|(n, _)| shown.contains(*n)).map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_rows_are_mapped_over_the_gaps() {
        let dropped: RoaringBitmap = [1u32, 2].into_iter().collect();
        let shown: RoaringBitmap = [0u32, 1, 2].into_iter().collect();
        let stored: Vec<u32> = stored_rows(&shown, &dropped, 6).into_iter().collect();
        assert_eq!(stored, [0, 3, 4]);
    }
}
