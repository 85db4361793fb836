//! Kinds of jobs: from a spec and the stages that are done to the next stage, or to what is published. Pure.

mod aggregate;
mod clean;
mod compare;
mod dedup;
mod evaluate;
mod explain;
mod import;
mod ingest;
mod join;
mod mapreduce;
mod pairs;
mod plan;
mod predict;
mod register;
mod repair;
mod sort;
mod split;
mod train;

pub use explain::explain;
pub use plan::{Draft, Next, Planned, Publication, ResolvedJob, StageView, input_objects};

use shardmill_common::counters::Counters;
use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::model::Round;
use shardmill_common::spec::JobSpec;

/// Whether the job makes sense on these inputs: unknown columns and the like are refused before anything runs.
pub fn check(job: &ResolvedJob) -> Result<(), Refusal> {
    match &job.spec {
        JobSpec::Ingest(spec) => ingest::check(spec),
        JobSpec::Clean(spec) => clean::check(spec, job),
        JobSpec::Dedup(spec) => dedup::check(spec, job),
        JobSpec::Compare(spec) => compare::check(spec, job),
        JobSpec::Split(spec) => split::check(spec, job),
        JobSpec::Train(spec) => train::check(spec, job),
        JobSpec::Predict(spec) => predict::check(spec, job),
        JobSpec::Evaluate(spec) => evaluate::check(spec, job),
        JobSpec::MapReduce(spec) => mapreduce::check(spec, job),
        JobSpec::Sort(spec) => sort::check(spec, job),
        JobSpec::Aggregate(spec) => aggregate::check(spec, job),
        JobSpec::Join(spec) => join::check(spec, job),
        JobSpec::Import(spec) => import::check(spec),
        JobSpec::Register(spec) => register::check(spec),
        JobSpec::Repair(_) => Ok(()),
    }
    .map_err(Refusal::Invalid)
}

/// What comes after the stages that are done. Copies are made before anything is published.
pub fn next(job: &ResolvedJob, stages: &[StageView<'_>], live_workers: u32) -> Result<Next, Failure> {
    let next = match &job.spec {
        JobSpec::Ingest(spec) => ingest::next(spec, job, stages),
        JobSpec::Clean(spec) => clean::next(spec, job, stages),
        JobSpec::Dedup(spec) => dedup::next(spec, job, stages),
        JobSpec::Compare(spec) => compare::next(spec, job, stages),
        JobSpec::Split(spec) => split::next(spec, job, stages),
        JobSpec::Train(spec) => train::next(spec, job, stages),
        JobSpec::Predict(spec) => predict::next(spec, job, stages),
        JobSpec::Evaluate(spec) => evaluate::next(spec, job, stages),
        JobSpec::MapReduce(spec) => mapreduce::next(spec, job, stages),
        JobSpec::Sort(spec) => sort::next(spec, job, stages),
        JobSpec::Aggregate(spec) => aggregate::next(spec, job, stages),
        JobSpec::Join(spec) => join::next(spec, job, stages),
        JobSpec::Import(spec) => import::next(spec),
        JobSpec::Register(spec) => register::next(spec),
        JobSpec::Repair(spec) => repair::next(spec, stages),
    }?;
    match next {
        Next::Publish(publication) => Ok(plan::copies_first(job, stages, publication, live_workers)),
        other => Ok(other),
    }
}

/// The job's counters over the tasks that are done, whose counters come to `sum`. Few kinds need to look at the stages.
pub fn counters<'a>(job: &ResolvedJob, sum: Counters, stages: impl FnOnce() -> Vec<StageView<'a>>) -> Counters {
    match &job.spec {
        JobSpec::Ingest(spec) => ingest::counters(spec, &stages()),
        JobSpec::Dedup(_) => dedup::counters(&sum),
        JobSpec::Split(spec) => split::counters(spec, job, &stages()),
        JobSpec::Aggregate(_) => aggregate::counters(&stages()),
        JobSpec::Join(spec) => join::counters(spec, job, sum, stages),
        _ => sum,
    }
}

/// The rounds of a training so far.
pub fn rounds<'a>(job: &ResolvedJob, stages: impl FnOnce() -> Vec<StageView<'a>>) -> Vec<Round> {
    match &job.spec {
        JobSpec::Train(_) => train::rounds(&stages()),
        _ => Vec::new(),
    }
}
