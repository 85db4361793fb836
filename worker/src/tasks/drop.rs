//! Dropping rows from shards: by a deletion vector, or by writing the shard anew when a third of it is gone.

use roaring::RoaringBitmap;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::DropTask;
use shardmill_common::manifest::ShardEntry;
use shardmill_common::schema::Schema;
use shardmill_common::task::{ShardInput, TaskOutput};

use super::Context;
use super::hash::u32s;
use crate::shard::{deletions, keep_mask};

pub fn run(context: &Context, task: &DropTask) -> Result<TaskOutput, Failure> {
    // Rows are numbered as the version shows them, so what was dropped before does not count.
    let mut drops = RoaringBitmap::new();
    for data in context.partitions(task.found, task.partition) {
        for frame in crate::shuffle::frames(data?) {
            drops.extend(u32s(&frame?, "row")?);
        }
    }
    let mut dropping = Dropping::new(context, &task.schema);
    // The group's rows are numbered as if it were one shard.
    let mut first = 0;
    for input in &task.inputs {
        let end = first + context.entry(input)?.rows() as u32;
        dropping.take(input, &drops.range(first..end).map(|row| row - first).collect())?;
        first = end;
    }
    Ok(TaskOutput::default().and_shards(dropping.finish()?))
}

/// Shards from which rows are dropped, one after another. Those that have none left are left out.
pub struct Dropping<'a> {
    context: &'a Context,
    schema: &'a Schema,
    kept: Vec<ShardEntry>,
    /// Deletion vectors to be written, each with the place of its shard among those kept.
    vectors: Vec<RoaringBitmap>,
    places: Vec<usize>,
}

impl<'a> Dropping<'a> {
    pub fn new(context: &'a Context, schema: &'a Schema) -> Self {
        Self { context, schema, kept: Vec::new(), vectors: Vec::new(), places: Vec::new() }
    }

    /// Drops these rows of the next shard, numbered as the version shows them.
    pub fn take(&mut self, input: &ShardInput, drops: &RoaringBitmap) -> Result<(), Failure> {
        let entry = self.context.entry(input)?;
        if drops.len() == entry.rows() {
            return Ok(());
        }
        if drops.is_empty() {
            self.kept.push(entry);
            return Ok(());
        }
        let before = deletions(&self.context.fetch, &self.context.place, &entry)?.unwrap_or_default();
        if (before.len() + drops.len()) * 3 < entry.stored_rows {
            let stored = stored_rows(drops, &before, entry.stored_rows);
            self.places.push(self.kept.len());
            self.vectors.push(before | stored);
            self.kept.push(entry);
            return Ok(());
        }
        let frame = self.context.open(input, self.schema)?;
        let mut left = frame.filter(&keep_mask(drops, frame.height() as u64)).map_err(Failure::internal)?;
        self.kept.push(self.context.write_shard(&mut left)?);
        Ok(())
    }

    /// Writes the deletion vectors; returns what is left of the shards, in order.
    pub fn finish(mut self) -> Result<Vec<ShardEntry>, Failure> {
        if !self.vectors.is_empty() {
            let written = self.context.write_deletions(&self.vectors)?;
            for (place, vector) in self.places.iter().zip(written) {
                if let Some(entry) = self.kept.get_mut(*place) {
                    entry.deletions = Some(vector);
                }
            }
        }
        Ok(self.kept)
    }
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
