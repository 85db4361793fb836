//! Bringing a shard that a program wrote to the columns and types of all of them together.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::mapreduce::ConformTask;
use shardmill_common::task::TaskOutput;

use super::Context;

pub fn run(context: &Context, task: &ConformTask) -> Result<TaskOutput, Failure> {
    let mut frame = context.open(&task.input, &task.schema)?;
    let shard = context.write_shard(&mut frame)?;
    Ok(TaskOutput { shard: Some(shard), schema: Some((*task.schema).clone()), ..Default::default() })
}
