//! A user's own map and reduce: check, map, (combine), reduce, (conform).

use shardmill_common::failure::Failure;
use shardmill_common::mapreduce::MapReduceSpec;

use super::plan::{Next, ResolvedJob, StageView};

pub fn check(_spec: &MapReduceSpec, _job: &ResolvedJob) -> Result<(), String> {
    Err("not there yet".into())
}

pub fn next(_spec: &MapReduceSpec, _job: &ResolvedJob, _stages: &[StageView<'_>]) -> Result<Next, Failure> {
    Err(Failure::internal("not there yet"))
}
