//! Training: a look at the columns, then rounds of map (each shard's sums) and reduce (the optimiser's step) until it is done.

mod base;
mod begin;
mod check;
#[cfg(test)]
mod check_tests;
mod columns;
mod families;
mod family;
mod finish;
#[cfg(test)]
mod harness;
mod labels;
mod memo;
mod profile;
mod rounds;
#[cfg(test)]
mod tests;
mod unfit;
#[cfg(test)]
mod update_tests;

use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::kinds::train::TrainPhase;
use shardmill_common::model::{ModelRef, Round, TrainSpec};
use shardmill_common::unfit::Unfit;

use self::family::{Course, family};
use super::plan::{Next, ResolvedJob, ShardAt, StageView, find};
use crate::command::Facts;
use crate::core::Core;
use crate::jobs::Planner;
use crate::jobs::outline::{Outline, read_all, shards};

impl Planner for TrainSpec {
    fn resolve(&mut self, core: &Core, facts: &Facts) -> Result<(), Refusal> {
        self.base = None;
        if let Some(reference) = self.warm_start.as_mut().or(self.update.as_mut()) {
            let mut model = core.pinned(reference)?;
            if let Some(curvature) = &facts.curvature {
                model.curvature = curvature.clone()?;
            }
            self.base = Some(Box::new(model));
        }
        Ok(())
    }

    fn check(&self, job: &ResolvedJob) -> Result<(), Unfit> {
        check::check(self, job)
    }

    fn rounds<'a>(&self, stages: &dyn Fn() -> Vec<StageView<'a>>) -> Vec<Round> {
        memo::rounds(&stages())
    }

    fn needs_curvature(&self) -> Option<&ModelRef> {
        self.update.as_ref().filter(|_| family(&self.algorithm).needs_curvature())
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let input = job.input()?;
        if input.rows() == 0 {
            return Err(Failure::bad_input(format!(
                "{} has no rows: there is nothing to learn from",
                input.reference()
            )));
        }
        let shards: Vec<ShardAt> = input.shards.iter().map(ShardAt::stored).collect();
        if let Some((stage, memo)) = memo::latest(stages)? {
            return rounds::advance(self, input, &shards, stages, stage, memo);
        }
        let Some(profiled) = find(stages, TrainPhase::Profile) else {
            return profile::stage(self, input, &shards);
        };
        let whole = profile::whole(self, input, stages, profiled)?;
        profile::check(self, input, &whole)?;
        let fillings = match profile::fillings(self, input, &shards, stages)? {
            profile::Fillings::Next(next) => return Ok(*next),
            profile::Fillings::Known(fillings) => fillings,
        };
        let memo = begin::begin(self, input, &whole, &fillings)?;
        rounds::stage(self, input, &shards, stages, memo)
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        outline.stage(TrainPhase::Profile, shards(job), format!("look at the columns of {}", read_all(job)));
        let course = family(&self.algorithm).course();
        if course == Course::OneWorker {
            outline.stage(TrainPhase::Fit, 1, "fit the model on one worker that reads every shard");
            return Some(outline);
        }
        outline.stage(
            TrainPhase::Round,
            shards(job),
            "sum up each shard for the parameters of the round, until the model has converged",
        );
        if let Course::Rounds(most) = course {
            outline.note(format!(
                "at most {most} rounds (--max-iter); the features stay in the workers' memory between them"
            ));
        }
        Some(outline)
    }
}
