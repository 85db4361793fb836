//! Partial aggregates of one shard.

use shardmill_common::failure::Failure;
use shardmill_common::mapreduce::AggregateTask;
use shardmill_common::task::TaskOutput;

use super::Context;

pub fn run(_context: &Context, _task: &AggregateTask) -> Result<TaskOutput, Failure> {
    Err(Failure::internal("not there yet"))
}
