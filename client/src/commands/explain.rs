//! `explain VERB ...`: what a command would do, without doing it. The same as the command itself with `--dry-run`.

use clap::{Args, Subcommand};

use super::common::DryRunArg;
use super::{aggregate, clean, compact, compare, dedup, evaluate, join, mapreduce, predict, sort, split, train};
use crate::cli::Context;
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    #[command(subcommand)]
    verb: Verb,
}

/// The command to explain.
#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Apply cleaning rules to a dataset
    Clean(clean::CleanArgs),
    /// Drop duplicate rows of a dataset
    Dedup(dedup::DedupArgs),
    /// Compare two datasets row by row, or key by key
    Compare(compare::CompareArgs),
    /// Write the small shards of a dataset as fewer
    Compact(compact::CompactArgs),
    /// Run your own map and reduce over datasets, in SQL or as programs
    #[command(name = "mapreduce")]
    MapReduce(mapreduce::MapReduceArgs),
    /// Bring the rows of a dataset into order
    Sort(sort::SortArgs),
    /// Group a dataset and compute counts, sums, means and the like of every group
    Aggregate(aggregate::AggregateArgs),
    /// Join two datasets on equal keys
    Join(join::JoinArgs),
    /// Learn a model from a dataset
    #[command(subcommand)]
    Train(train::TrainCommand),
    /// Put every row of a dataset into one of several, at random but repeatably
    Split(split::SplitArgs),
    /// Predict the rows of a dataset with a model
    Predict(predict::PredictArgs),
    /// See how well a model does on a dataset whose labels are known
    Evaluate(evaluate::EvaluateArgs),
    /// Has no plan before it has read its sources
    #[command(hide = true)]
    Ingest(Anything),
}

/// Arguments that are not looked at.
#[derive(Clone, Debug, Args)]
struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _arguments: Vec<String>,
}

pub async fn run(context: &Context, args: ExplainArgs) -> Result<(), CliError> {
    match args.verb {
        Verb::Clean(mut args) => {
            args.dry_run = DryRunArg::ON;
            clean::run(context, args).await
        }
        Verb::Dedup(mut args) => {
            args.dry_run = DryRunArg::ON;
            dedup::run(context, args).await
        }
        Verb::Compare(mut args) => {
            args.dry_run = DryRunArg::ON;
            compare::run(context, args).await
        }
        Verb::Compact(mut args) => {
            args.dry_run = DryRunArg::ON;
            compact::run(context, args).await
        }
        Verb::MapReduce(mut args) => {
            args.dry_run = DryRunArg::ON;
            mapreduce::run(context, args).await
        }
        Verb::Sort(mut args) => {
            args.dry_run = DryRunArg::ON;
            sort::run(context, args).await
        }
        Verb::Aggregate(mut args) => {
            args.dry_run = DryRunArg::ON;
            aggregate::run(context, args).await
        }
        Verb::Join(mut args) => {
            args.dry_run = DryRunArg::ON;
            join::run(context, args).await
        }
        Verb::Train(command) => command.explain(context).await,
        Verb::Split(mut args) => {
            args.dry_run = DryRunArg::ON;
            split::run(context, args).await
        }
        Verb::Predict(mut args) => {
            args.dry_run = DryRunArg::ON;
            predict::run(context, args).await
        }
        Verb::Evaluate(mut args) => {
            args.dry_run = DryRunArg::ON;
            evaluate::run(context, args).await
        }
        Verb::Ingest(_) => Err(CliError::usage(
            "an ingest cannot be explained: how it is cut into tasks is found out while its sources are read",
        )),
    }
}
