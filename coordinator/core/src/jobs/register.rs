//! Registration: shards that a client wrote straight to workers become a version.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::register::RegisterSpec;
use shardmill_common::unfit::{OwnUnfit, Unfit};

use super::plan::{Draft, Next};
use crate::jobs::Planner;
use crate::jobs::plan::{ResolvedJob, StageView};

#[derive(Debug, thiserror::Error)]
#[error("the dataset has no columns")]
struct NoColumns;

impl OwnUnfit for NoColumns {}

impl Planner for RegisterSpec {
    fn check(&self, _job: &ResolvedJob) -> Result<(), Unfit> {
        if self.schema.is_empty() {
            return Err(NoColumns.into());
        }
        Ok(())
    }

    fn next(&self, _job: &ResolvedJob, _stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let draft = Draft { name: self.output.clone(), schema: self.schema.clone(), shards: self.shards.clone() };
        Ok(Next::versions(vec![draft]))
    }
}
