//! Writing several shards as one, or a shard in other types and with other columns.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::compact::CompactTask;
use shardmill_common::task::TaskOutput;

use super::Context;

pub fn run(context: &Context, task: &CompactTask) -> Result<TaskOutput, Failure> {
    let mut frame = context.open_all(&task.inputs, &task.schema, None)?;
    let shard = context.write_shard(&mut frame)?;
    Ok(TaskOutput { shard: Some(shard), ..Default::default() })
}
