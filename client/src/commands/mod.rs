//! The verbs, one a file, and the table that leads to them.

mod aggregate;
mod aggregate_text;
mod clean;
mod common;
mod compact;
mod compare;
mod coordinator;
mod dataset;
mod dataset_describe;
mod dataset_head;
mod dataset_sample;
mod dataset_show;
mod dataset_values;
mod dataset_versions;
mod dedup;
mod demo;
mod demo_ask;
mod endpoint;
mod endpoint_flush;
mod endpoint_metrics;
mod endpoint_show;
mod evaluate;
mod evaluate_captured;
mod evaluate_captured_text;
mod evaluate_text;
mod explain;
mod export;
mod formats;
mod ingest;
mod job;
mod job_logs;
mod job_show;
mod join;
mod local;
mod mapreduce;
mod mapreduce_args;
mod mapreduce_files;
mod model;
mod model_compare;
mod model_export;
mod model_import;
mod model_options;
mod model_show;
mod model_text;
mod nodes;
mod numbers;
mod predict;
mod predict_file;
mod record;
mod sort;
mod split;
mod sql;
mod sql_prompt;
mod tables;
mod train;
mod version;
mod worker;
mod writing;

use clap::Subcommand;

use crate::cli::Context;
use crate::error::CliError;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take files into a dataset
    Ingest(ingest::IngestArgs),
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
    /// Ask a question in SQL over datasets and files, or several at a prompt
    Sql(sql::SqlArgs),
    /// Show what a command would do, stage by stage, without doing it
    Explain(explain::ExplainArgs),
    /// Learn a model from a dataset
    #[command(subcommand)]
    Train(train::TrainCommand),
    /// Put every row of a dataset into one of several, at random but repeatably
    Split(split::SplitArgs),
    /// Predict the rows of a dataset or a file with a model
    Predict(predict::PredictArgs),
    /// See how well a model does on a dataset whose labels are known
    Evaluate(evaluate::EvaluateArgs),
    /// List, show, export, rename and remove datasets
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    /// List, show, compare, export and remove trained models, and point aliases at them
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Make, change and watch URLs that predict with trained models
    #[command(subcommand)]
    Endpoint(endpoint::EndpointCommand),
    /// List, show, wait for and cancel jobs
    #[command(subcommand)]
    Job(job::JobCommand),
    /// What each job read, did and made, kept for good
    #[command(subcommand)]
    Record(record::RecordCommand),
    /// List and drain the workers of a cluster
    #[command(subcommand)]
    Nodes(nodes::NodesCommand),
    /// Serve --data-dir as a cluster on this machine until Ctrl-C
    Local(local::LocalArgs),
    /// Run the coordinator of a cluster until Ctrl-C
    Coordinator(coordinator::CoordinatorArgs),
    /// Run a worker of a cluster until Ctrl-C
    Worker(worker::WorkerArgs),
    /// Show the whole loop on a small real dataset, every step a command that can be typed
    Demo(demo::DemoArgs),
    /// Print the version
    Version,
}

impl Command {
    pub async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Command::Ingest(args) => ingest::run(context, args).await,
            Command::Clean(args) => clean::run(context, args).await,
            Command::Dedup(args) => dedup::run(context, args).await,
            Command::Compare(args) => compare::run(context, args).await,
            Command::Compact(args) => compact::run(context, args).await,
            Command::MapReduce(args) => mapreduce::run(context, args).await,
            Command::Sort(args) => sort::run(context, args).await,
            Command::Aggregate(args) => aggregate::run(context, args).await,
            Command::Join(args) => join::run(context, args).await,
            Command::Sql(args) => sql::run(context, args).await,
            Command::Explain(args) => explain::run(context, args).await,
            Command::Train(command) => command.run(context).await,
            Command::Split(args) => split::run(context, args).await,
            Command::Predict(args) => predict::run(context, args).await,
            Command::Evaluate(args) => evaluate::run(context, args).await,
            Command::Dataset(command) => command.run(context).await,
            Command::Model(command) => command.run(context).await,
            Command::Endpoint(command) => command.run(context).await,
            Command::Job(command) => command.run(context).await,
            Command::Record(command) => command.run(context).await,
            Command::Nodes(command) => command.run(context).await,
            Command::Local(args) => local::run(context, args).await,
            Command::Coordinator(args) => coordinator::run(context, args).await,
            Command::Worker(args) => worker::run(context, args).await,
            Command::Demo(args) => demo::run(context, args).await,
            Command::Version => version::run(context),
        }
    }
}
