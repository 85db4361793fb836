//! What a worker can do: one file a kind of task. A task is a plain function from its spec and its inputs to its output; it
//! talks to other tasks through files alone.

mod aggregate;
mod assess;
mod bisect;
mod bounds;
mod check;
mod clean;
mod combine;
mod compact;
mod context;
mod copy;
mod count;
mod deliver;
mod delivered;
mod drop;
mod duplicates;
mod emit;
mod fit;
mod hash;
mod laws;
mod learn;
mod lookup;
mod map;
mod map_output;
mod matching;
mod merge;
mod merge_groups;
mod merged;
mod parse;
mod predict;
mod profile;
mod query;
mod range;
mod rank;
mod raw;
mod reduce;
mod sample;
mod sink;
mod split;
mod statistics;

pub use context::{Context, Progress, threads};
pub use sink::ShardSink;

use shardmill_common::failure::Failure;
use shardmill_common::task::{TaskKind, TaskOutput};

/// Runs one attempt. A panic inside a library fails the attempt, not the worker.
pub fn run(context: &Context, kind: &TaskKind) -> Result<TaskOutput, Failure> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dispatch(context, kind)));
    let outcome = outcome.unwrap_or_else(|panic| {
        let what =
            panic.downcast_ref::<&str>().map(|s| (*s).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Failure::internal(format!("a panic: {}", what.unwrap_or_else(|| "without a message".into()))))
    });
    match outcome {
        Ok(_) if context.is_cancelled() => {
            context.discard();
            Err(Failure::Killed)
        }
        Ok(mut output) => {
            output.wrote = context.wrote();
            output.forget_expected_schema(kind);
            Ok(output)
        }
        Err(failure) => {
            context.discard();
            Err(if context.is_cancelled() { Failure::Killed } else { failure })
        }
    }
}

fn dispatch(context: &Context, kind: &TaskKind) -> Result<TaskOutput, Failure> {
    match kind {
        TaskKind::Parse(task) => parse::run(context, task),
        TaskKind::Clean(task) => clean::run(context, task),
        TaskKind::Statistics(task) => statistics::summarise(context, task),
        TaskKind::MergeStatistics(task) => statistics::merge(context, task),
        TaskKind::Hash(task) => hash::run(context, task),
        TaskKind::Duplicates(task) => duplicates::run(context, task),
        TaskKind::Drop(task) => drop::run(context, task),
        TaskKind::Match(task) => matching::run(context, task),
        TaskKind::Deliver(task) => deliver::run(context, task),
        TaskKind::Emit(task) => emit::run(context, task),
        TaskKind::Compact(task) => compact::run(context, task),
        TaskKind::Count(task) => count::run(context, task),
        TaskKind::Split(task) => split::run(context, task),
        TaskKind::Profile(task) => profile::run(context, task),
        TaskKind::Learn(task) => learn::run(context, task),
        TaskKind::Fit(task) => fit::run(context, task),
        TaskKind::Predict(task) => predict::run(context, task),
        TaskKind::Assess(task) => assess::run(context, task),
        TaskKind::Rank(task) => rank::run(context, task),
        TaskKind::Check(task) => check::run(context, task),
        TaskKind::Map(task) => map::run(context, task),
        TaskKind::Combine(task) => combine::run(context, task),
        TaskKind::Reduce(task) => reduce::run(context, task),
        TaskKind::Aggregate(task) => aggregate::run(context, task),
        TaskKind::MergeGroups(task) => merge_groups::run(context, task),
        TaskKind::Sample(task) => sample::run(context, task),
        TaskKind::Bounds(task) => bounds::run(context, task),
        TaskKind::Range(task) => range::run(context, task),
        TaskKind::Merge(task) => merge::run(context, task),
        TaskKind::Lookup(task) => lookup::run(context, task),
        TaskKind::Query(task) => query::run(context, task),
        TaskKind::Copy(task) => copy::run(context, task),
    }
}
