//! Where the rows of a map go: into shards, or by their keys into the shuffle, combined before where there is a combiner.

use polars::prelude::DataFrame;
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::HashColumn;
use shardmill_common::kinds::mapreduce::{MapOutput, MapTask};
use shardmill_common::schema::Schema;
use shardmill_common::task::TaskOutput;

use super::{Context, ShardSink};
use crate::frame::schema_of;
use crate::shard::conform;
use crate::shuffle::shuffle_rows;
use crate::spill::{HashSplit, SplitPart, concat};
use crate::sql;

/// Rows are combined so many at a time: a number that does not depend on memory, so neither does what comes of it.
const COMBINED_ROWS: usize = 1 << 20;

pub enum Mapped<'a> {
    Shards(ShardSink<'a>),
    Shuffle(Box<Shuffled<'a>>),
}

impl<'a> Mapped<'a> {
    pub fn new(context: &'a Context, task: &'a MapTask) -> Self {
        match &*task.output {
            MapOutput::Shards => Mapped::Shards(ShardSink::new(context)),
            MapOutput::Shuffle { keys, partitions, combine } => Mapped::Shuffle(Box::new(Shuffled {
                context,
                keys,
                partitions: (*partitions).max(1),
                combine: combine.as_deref(),
                produces: task.produces.as_deref(),
                schema: None,
                uncombined: Vec::new(),
                held: Vec::new(),
                held_bytes: 0,
                split: None,
                mapped: 0,
                sent: 0,
            })),
        }
    }

    pub fn push(&mut self, frame: DataFrame) -> Result<(), Failure> {
        match self {
            Mapped::Shards(sink) => sink.push(frame),
            Mapped::Shuffle(rows) => rows.push(frame),
        }
    }

    pub fn finish(self, output: &mut TaskOutput) -> Result<(), Failure> {
        match self {
            Mapped::Shards(sink) => sink.finish(output),
            Mapped::Shuffle(rows) => rows.finish(output),
        }
    }
}

/// Rows on their way to the shuffle.
pub struct Shuffled<'a> {
    context: &'a Context,
    keys: &'a [HashColumn],
    partitions: u32,
    combine: Option<&'a str>,
    /// What the rows in the shuffle look like, where that is known.
    produces: Option<&'a Schema>,
    schema: Option<Schema>,
    uncombined: Vec<DataFrame>,
    held: Vec<DataFrame>,
    held_bytes: u64,
    /// Where the rows went that did not fit in memory.
    split: Option<HashSplit<'a>>,
    mapped: u64,
    sent: u64,
}

impl Shuffled<'_> {
    fn push(&mut self, frame: DataFrame) -> Result<(), Failure> {
        self.mapped += frame.height() as u64;
        if self.combine.is_none() {
            return self.send(frame);
        }
        self.uncombined.push(frame);
        while self.uncombined.iter().map(DataFrame::height).sum::<usize>() >= COMBINED_ROWS {
            let Some(whole) = concat(self.uncombined.drain(..))? else { break };
            let rest = whole.slice(COMBINED_ROWS as i64, whole.height());
            if rest.height() > 0 {
                self.uncombined.push(rest);
            }
            self.send_combined(&whole.slice(0, COMBINED_ROWS))?;
        }
        Ok(())
    }

    fn send_combined(&mut self, frame: &DataFrame) -> Result<(), Failure> {
        self.context.check()?;
        let Some(statement) = self.combine else { return self.send(frame.clone()) };
        let frame = match self.produces {
            Some(schema) => conform(frame.clone(), schema, None)?,
            None => frame.clone(),
        };
        let combined =
            sql::run(self.context, statement, &[(sql::INPUT, &frame)]).map_err(|e| e.within("the combiner fails"))?;
        self.send(combined)
    }

    fn send(&mut self, frame: DataFrame) -> Result<(), Failure> {
        let frame = match self.produces {
            Some(schema) => conform(frame, schema, None)?,
            None => frame,
        };
        let schema = schema_of(&frame)?;
        if let Some(key) = self.keys.iter().find(|key| schema.get(&key.name).is_none()) {
            return Err(Failure::bad_input(format!(
                "the key column `{}` is not among what the map puts out: {}",
                key.name,
                schema.names_joined()
            )));
        }
        match &self.schema {
            None => self.schema = Some(schema),
            Some(first) if *first == schema => {}
            Some(first) => {
                return Err(Failure::bad_input(format!(
                    "the map puts out other columns than before: {} after {}; declare them with --map-columns",
                    schema.names_joined(),
                    first.names_joined()
                )));
            }
        }
        self.sent += frame.height() as u64;
        if let Some(split) = &mut self.split {
            return split.push(&frame);
        }
        self.held_bytes += frame.estimated_size() as u64;
        self.held.push(frame);
        // A frame by itself is in memory already; partitioning it takes as much again.
        if self.held.len() > 1 && self.held_bytes > self.context.budget / 3 {
            let mut split = HashSplit::new(self.context, self.keys.to_vec(), self.partitions, 0);
            for frame in self.held.drain(..) {
                split.push(&frame)?;
            }
            self.split = Some(split);
        }
        Ok(())
    }

    fn finish(mut self, output: &mut TaskOutput) -> Result<(), Failure> {
        if let Some(rest) = concat(std::mem::take(&mut self.uncombined))? {
            self.send_combined(&rest)?;
        }
        let mut writer = self.context.shuffle_writer(true)?;
        output.shuffle = Some(match self.split {
            Some(split) => {
                output.spilled += split.spilled();
                for part in split.finish()? {
                    let mut frames = SplitPart::frames(&part).collect::<Result<Vec<_>, _>>()?;
                    writer.partition(&mut frames)?;
                }
                writer.finish()?
            }
            None => match concat(self.held)? {
                Some(frame) => shuffle_rows(writer, &frame, self.keys, self.partitions)?,
                None => {
                    (0..self.partitions).try_for_each(|_| writer.partition(&mut []))?;
                    writer.finish()?
                }
            },
        });
        output.counters.add(Counter::RowsMapped, self.mapped);
        if self.combine.is_some() {
            output.counters.add(Counter::RowsCombined, self.sent);
        }
        output.schema = self.schema;
        Ok(())
    }
}
