//! Writing several shards as one, or a shard in other types and with other columns.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::compact::CompactTask;
use shardmill_common::task::TaskOutput;

use super::{Context, ShardSink};

/// Small files may hold much: what comes of them is one shard unless it takes more memory than this, which is about what the task
/// was planned with.
const SHARD_BYTES: u64 = 96 << 20;

pub fn run(context: &Context, task: &CompactTask) -> Result<TaskOutput, Failure> {
    let mut sink = ShardSink::of(context, SHARD_BYTES);
    for input in &task.inputs {
        context.check()?;
        sink.push(context.open(input, &task.schema)?)?;
    }
    // The rows were counted by those who made them, and the schema is known.
    Ok(TaskOutput::default().and_shards(sink.into_shards()?))
}
