//! A sample of a shard's sort keys.

use shardmill_common::failure::Failure;
use shardmill_common::mapreduce::SampleTask;
use shardmill_common::task::TaskOutput;

use super::Context;

pub fn run(_context: &Context, _task: &SampleTask) -> Result<TaskOutput, Failure> {
    Err(Failure::internal("not there yet"))
}
