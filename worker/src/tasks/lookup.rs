//! Joining a shard with the whole of a small dataset.

use shardmill_common::failure::Failure;
use shardmill_common::mapreduce::LookupTask;
use shardmill_common::task::TaskOutput;

use super::Context;

pub fn run(_context: &Context, _task: &LookupTask) -> Result<TaskOutput, Failure> {
    Err(Failure::internal("not there yet"))
}
