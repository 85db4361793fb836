//! Reducing partitions: every row of each of their keys, from every input, by a user's statement or program.

mod order;
mod parts;
mod program;
mod statement;

use bytes::Bytes;
use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::mapreduce::step::Step;
use shardmill_common::kinds::mapreduce::{ReduceSide, ReduceTask};
use shardmill_common::task::TaskOutput;

use super::{Context, ShardSink};
use crate::shard::conform;

pub fn run(context: &Context, task: &ReduceTask) -> Result<TaskOutput, Failure> {
    let mut output = TaskOutput::default();
    let mut sink = ShardSink::new(context);
    match &*task.step {
        Step::Sql(statement) => statement::reduce(context, task, statement, &mut sink, &mut output)?,
        Step::Program(program) => {
            sink = program::reduce(context, task, program, sink, &mut output)?;
        }
    }
    sink.finish(&mut output)?;
    Ok(output)
}

/// What one side has in the partitions of a task: asked for at once, taken partition after partition.
struct SideInput<'a> {
    context: &'a Context,
    side: &'a ReduceSide,
    pieces: Box<dyn Iterator<Item = Result<Bytes, Failure>> + 'a>,
}

impl<'a> SideInput<'a> {
    fn open(context: &'a Context, side: &'a ReduceSide, (from, to): (u32, u32)) -> Self {
        Self { context, side, pieces: Box::new(context.shuffle(&side.runs, from, to)) }
    }

    /// The rows of the next partition: map after map, as the reduce sees them.
    fn partition(&mut self) -> impl Iterator<Item = Result<DataFrame, Failure>> + '_ {
        let (context, side) = (self.context, self.side);
        let tasks: u32 = side.runs.iter().map(|range| range.to - range.from).sum();
        self.pieces.by_ref().take(tasks as usize).flat_map(move |data| frames_of(context, side, data))
    }

    /// The rows of all partitions that are left.
    fn rest(self) -> impl Iterator<Item = Result<DataFrame, Failure>> + 'a {
        let (context, side) = (self.context, self.side);
        self.pieces.flat_map(move |data| frames_of(context, side, data))
    }
}

fn frames_of<'a>(
    context: &'a Context,
    side: &'a ReduceSide,
    data: Result<Bytes, Failure>,
) -> Box<dyn Iterator<Item = Result<DataFrame, Failure>> + 'a> {
    match data {
        Err(failure) => Box::new(std::iter::once(Err(failure))),
        Ok(data) => Box::new(crate::shuffle::frames(data).map(move |frame| {
            let frame = conform(frame?, &side.schema, None)?;
            context.advance(frame.height() as u64, 0);
            Ok(frame)
        })),
    }
}
