//! Kinds of jobs: from a spec and the stages that are done to the next stage, or to what is published. Pure.

mod aggregate;
mod clean;
mod compact;
mod compare;
mod dedup;
mod evaluate;
mod explain;
mod import;
mod ingest;
mod join;
mod mapreduce;
mod outline;
mod pairs;
mod plan;
mod predict;
mod register;
mod repair;
mod sort;
mod split;
mod sql;
mod train;

pub use explain::explain;
pub use outline::Outline;
pub use plan::{Draft, Next, Planned, Publication, ResolvedJob, StageView, input_objects};

use shardmill_common::counters::Counters;
use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::kinds::JobSpec;
use shardmill_common::model::{ModelRef, Round};
use shardmill_common::unfit::Unfit;

use crate::command::Facts;
use crate::core::Core;

/// How a kind of job is planned.
pub trait Planner {
    /// Puts what is meant in the place of what is named, besides the inputs' versions, and refuses what cannot work.
    fn resolve(&mut self, _core: &Core, _facts: &Facts) -> Result<(), Refusal> {
        Ok(())
    }

    /// Whether the job makes sense on these inputs: unknown columns and the like are refused before anything runs.
    fn check(&self, _job: &ResolvedJob) -> Result<(), Unfit> {
        Ok(())
    }

    /// What comes after the stages that are done.
    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure>;

    /// Whether small shards that it wrote are put together before they are published.
    fn compacts(&self) -> bool {
        true
    }

    /// The plan in words. `None` where there is nothing that could be explained before it runs.
    fn outline(&self, _job: &ResolvedJob) -> Option<Outline> {
        None
    }

    /// The job's counters over the tasks that are done, whose counters come to `sum`. Few kinds need to look at the stages.
    fn counters<'a>(&self, _job: &ResolvedJob, sum: Counters, _stages: &dyn Fn() -> Vec<StageView<'a>>) -> Counters {
        sum
    }

    /// The rounds of a training so far.
    fn rounds<'a>(&self, _stages: &dyn Fn() -> Vec<StageView<'a>>) -> Vec<Round> {
        Vec::new()
    }

    /// The model whose curvature it needs.
    fn needs_curvature(&self) -> Option<&ModelRef> {
        None
    }
}

macro_rules! planners {
    ($($kind:ident),+) => {
        /// The planner of a job.
        pub fn planner(spec: &JobSpec) -> &dyn Planner {
            match spec {
                $(JobSpec::$kind(spec) => spec,)+
            }
        }

        /// The same, to resolve it.
        pub(crate) fn planner_mut(spec: &mut JobSpec) -> &mut dyn Planner {
            match spec {
                $(JobSpec::$kind(spec) => spec,)+
            }
        }
    };
}

planners! {
    Ingest, Clean, Dedup, Compare, Compact, Split, Train, Predict, Evaluate, Import, MapReduce, Sort, Aggregate, Join, Sql, Register, Repair
}

/// Whether the job makes sense on its inputs.
pub fn check(job: &ResolvedJob) -> Result<(), Refusal> {
    planner(&job.spec).check(job).map_err(Refusal::invalid)
}

/// What comes after the stages that are done. Small shards are put together and copies are made before anything is published.
pub fn next(job: &ResolvedJob, stages: &[StageView<'_>], live_workers: u32) -> Result<Next, Failure> {
    let planner = planner(&job.spec);
    let next = match planner.next(job, stages)? {
        Next::Publish(publication) if planner.compacts() => compact::compacts_first(publication, stages)?,
        other => other,
    };
    Ok(match next {
        Next::Publish(publication) => plan::copies_first(job, stages, publication, live_workers),
        other => other,
    })
}
