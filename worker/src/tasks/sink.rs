//! The shards a task puts out, written as the rows come: a task whose rows do not fit in memory puts out several.

use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::manifest::ShardEntry;
use shardmill_common::schema::Schema;
use shardmill_common::task::TaskOutput;

use super::Context;
use crate::frame::schema_of;

/// Rows are gathered up to so many bytes in memory before they become a shard.
const SHARD_BYTES: usize = 64 << 20;

/// Gathers rows into shards, in order.
pub struct ShardSink<'a> {
    context: &'a Context,
    shard_bytes: usize,
    gathered: Option<DataFrame>,
    schema: Option<Schema>,
    shards: Vec<ShardEntry>,
    rows: u64,
}

impl<'a> ShardSink<'a> {
    pub fn new(context: &'a Context) -> Self {
        let shard_bytes = SHARD_BYTES.min((context.budget / 4).max(1 << 20) as usize);
        Self { context, shard_bytes, gathered: None, schema: None, shards: Vec::new(), rows: 0 }
    }

    /// Adds rows, all of the same columns and types.
    pub fn push(&mut self, frame: DataFrame) -> Result<(), Failure> {
        if self.schema.is_none() {
            self.schema = Some(schema_of(&frame)?);
        }
        let (rows, bytes) = (frame.height(), frame.estimated_size());
        let pieces = bytes.div_ceil(self.shard_bytes).clamp(1, rows.max(1));
        for piece in 0..pieces {
            let (from, to) = (rows * piece / pieces, rows * (piece + 1) / pieces);
            self.gather(frame.slice(from as i64, to - from))?;
        }
        Ok(())
    }

    fn gather(&mut self, frame: DataFrame) -> Result<(), Failure> {
        self.rows += frame.height() as u64;
        match &mut self.gathered {
            None => self.gathered = Some(frame),
            Some(gathered) => {
                gathered.vstack_mut(&frame).map_err(|e| Failure::internal(format!("rows of one task differ: {e}")))?;
            }
        }
        if self.gathered.as_ref().is_some_and(|g| g.estimated_size() >= self.shard_bytes) {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Failure> {
        if let Some(mut frame) = self.gathered.take().filter(|f| f.height() > 0) {
            frame.rechunk_mut();
            self.shards.push(self.context.write_shard(&mut frame)?);
        }
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes what is left; the shards, the schema and `rows_out` become part of `output`.
    pub fn finish(mut self, output: &mut TaskOutput) -> Result<(), Failure> {
        self.write()?;
        output.counters.add("rows_out", self.rows);
        let mut shards = self.shards.into_iter();
        output.shard = shards.next();
        output.more = shards.collect();
        output.schema = self.schema;
        Ok(())
    }
}
