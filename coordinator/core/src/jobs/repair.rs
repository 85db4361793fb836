//! Repair: an object that lacks copies is copied to workers that lack it.

use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::kinds::repair::{CopyPhase, RepairSpec};

use super::Planner;
use super::plan::{Next, ResolvedJob, StageView, copy_of};
use crate::command::Facts;
use crate::core::Core;

impl Planner for RepairSpec {
    fn resolve(&mut self, _core: &Core, _facts: &Facts) -> Result<(), Refusal> {
        Err(Refusal::Denied("repairs are the coordinator's own".into()))
    }

    fn next(&self, _job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        if !stages.is_empty() {
            return Ok(Next::Quiet);
        }
        Ok(Next::stage(CopyPhase::Copy, self.objects.iter().map(copy_of).collect(), Vec::new()))
    }
}
