//! Combining parts of one global group.

use shardmill_common::failure::Failure;
use shardmill_common::mapreduce::CombineTask;
use shardmill_common::task::TaskOutput;

use super::Context;

pub fn run(_context: &Context, _task: &CombineTask) -> Result<TaskOutput, Failure> {
    Err(Failure::internal("not there yet"))
}
