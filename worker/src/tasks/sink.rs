//! The shards a task puts out, written as the rows come: a task whose rows do not fit in memory puts out several.

use polars::prelude::DataFrame;
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::manifest::ShardEntry;
use shardmill_common::schema::Schema;
use shardmill_common::task::TaskOutput;

use super::Context;
use crate::frame::schema_of;
use crate::spill::{held_bytes, pieces};

/// Rows are gathered up to so many bytes in memory before they become a shard, on every worker. Where it ends depends on the pieces
/// in which the rows come all the same, and some tasks cut these by the memory that they have: who was planned to read shards of a
/// task that may be run again must see whether they still are what they were.
const SHARD_BYTES: u64 = 16 << 20;

/// Gathers rows into shards, in order.
pub struct ShardSink<'a> {
    context: &'a Context,
    /// Of one shard, in memory.
    shard_bytes: u64,
    gathered: Option<DataFrame>,
    gathered_bytes: u64,
    schema: Option<Schema>,
    shards: Vec<ShardEntry>,
    rows: u64,
}

impl<'a> ShardSink<'a> {
    pub fn new(context: &'a Context) -> Self {
        Self::of(context, SHARD_BYTES)
    }

    /// With shards of so many bytes in memory.
    pub fn of(context: &'a Context, shard_bytes: u64) -> Self {
        Self { context, shard_bytes, gathered: None, gathered_bytes: 0, schema: None, shards: Vec::new(), rows: 0 }
    }

    /// Adds rows, all of the same columns and types.
    pub fn push(&mut self, frame: DataFrame) -> Result<(), Failure> {
        if self.schema.is_none() {
            self.schema = Some(schema_of(&frame)?);
        }
        if frame.height() == 0 {
            return self.gather(frame);
        }
        pieces(&frame, self.shard_bytes).try_for_each(|piece| self.gather(piece))
    }

    fn gather(&mut self, frame: DataFrame) -> Result<(), Failure> {
        self.rows += frame.height() as u64;
        self.gathered_bytes += held_bytes(&frame);
        match &mut self.gathered {
            None => self.gathered = Some(frame),
            Some(gathered) => {
                gathered.vstack_mut(&frame).map_err(|e| Failure::internal(format!("rows of one task differ: {e}")))?;
            }
        }
        if self.gathered_bytes >= self.shard_bytes {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Failure> {
        self.gathered_bytes = 0;
        if let Some(mut frame) = self.gathered.take().filter(|f| f.height() > 0) {
            frame.rechunk_mut();
            self.shards.push(self.context.write_shard(&mut frame)?);
        }
        Ok(())
    }

    /// Writes what is left: the shards.
    pub fn into_shards(mut self) -> Result<Vec<ShardEntry>, Failure> {
        self.write()?;
        Ok(self.shards)
    }

    /// Writes what is left; the shards, the schema (if anything was pushed) and `rows_out` become part of `output`.
    pub fn finish(mut self, output: &mut TaskOutput) -> Result<(), Failure> {
        output.counters.add(Counter::RowsOut, self.rows);
        output.schema = self.schema.take().or(output.schema.take());
        *output = std::mem::take(output).and_shards(self.into_shards()?);
        Ok(())
    }
}
