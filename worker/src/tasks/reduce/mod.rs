//! Reducing partitions: every row of each of their keys, from every input, by a user's statement or program.

mod order;
mod parts;
mod program;
mod statement;

use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::mapreduce::{ReduceSide, ReduceTask, Step};
use shardmill_common::task::TaskOutput;

use super::{Context, ShardSink};
use crate::shard::conform;

pub fn run(context: &Context, task: &ReduceTask) -> Result<TaskOutput, Failure> {
    let mut output = TaskOutput::default();
    let mut sink = ShardSink::new(context);
    match &task.step {
        Step::Sql(statement) => statement::reduce(context, task, statement, &mut sink, &mut output)?,
        Step::Program(program) => {
            sink = program::reduce(context, task, program, sink, &mut output)?;
        }
    }
    sink.finish(&mut output)?;
    if output.schema.is_none() {
        output.schema = task.produces.clone();
    }
    Ok(output)
}

/// The rows of one side in one partition: map after map, as the reduce sees them.
fn rows_of<'a>(
    context: &'a Context,
    side: &'a ReduceSide,
    partition: u32,
) -> impl Iterator<Item = Result<DataFrame, Failure>> + 'a {
    let pieces = side.runs.iter().flat_map(move |range| context.partitions(*range, partition));
    pieces.flat_map(move |data| -> Box<dyn Iterator<Item = Result<DataFrame, Failure>> + 'a> {
        match data {
            Err(failure) => Box::new(std::iter::once(Err(failure))),
            Ok(data) => Box::new(crate::shuffle::frames(data).map(move |frame| {
                let frame = conform(frame?, &side.schema, None)?;
                context.advance(frame.height() as u64, 0);
                Ok(frame)
            })),
        }
    })
}
