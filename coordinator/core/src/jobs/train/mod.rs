//! Training: a look at the columns, then rounds of map (each shard's sums) and reduce (the optimiser's step) until it is done.

mod base;
mod begin;
mod check;
#[cfg(test)]
mod check_tests;
mod columns;
mod finish;
#[cfg(test)]
mod harness;
mod labels;
mod memo;
mod options;
mod profile;
mod rounds;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod update_tests;

pub use check::check;
pub use memo::rounds;

use shardmill_common::failure::Failure;
use shardmill_common::model::TrainSpec;

use super::plan::{Next, ResolvedJob, ShardAt, StageView, find};
use profile::PROFILE;

pub fn next(spec: &TrainSpec, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
    let input = job.inputs.first().ok_or_else(|| Failure::internal("the input is missing"))?;
    if input.rows() == 0 {
        return Err(Failure::bad_input(format!("{} has no rows: there is nothing to learn from", input.reference())));
    }
    let shards: Vec<ShardAt> = input.shards.iter().map(ShardAt::stored).collect();
    if let Some((stage, memo)) = memo::latest(stages)? {
        return rounds::advance(spec, input, &shards, stages, stage, memo);
    }
    let Some(profiled) = find(stages, PROFILE) else {
        return profile::stage(spec, input, &shards);
    };
    let whole = profile::whole(spec, input, stages, profiled)?;
    profile::check(spec, input, &whole)?;
    let fillings = match profile::fillings(spec, input, &shards, stages)? {
        profile::Fillings::Next(next) => return Ok(*next),
        profile::Fillings::Known(fillings) => fillings,
    };
    let memo = begin::begin(spec, input, &whole, &fillings)?;
    rounds::stage(spec, input, &shards, stages, memo)
}
