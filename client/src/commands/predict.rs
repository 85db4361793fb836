//! `predict MODEL IN OUT`: a model's predictions for every row of a dataset, or of a file.

use std::convert::Infallible;
use std::str::FromStr;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::predict::PredictOutputs;
use shardmill_common::kinds::predict::PredictSpec;
use shardmill_common::model::ModelRef;
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::text::Delimiter;
use shardmill_common::units::RejectLimit;

use super::common::{DryRunArg, ReplicasArg, columns};
use super::formats::FormatArg;
use super::predict_file;
use crate::cli::Context;
use crate::error::CliError;
use crate::{jobs, session};
use shardmill_flows::predict_file::FileJob;
use shardmill_flows::sources::parse_delimiter;

#[derive(Clone, Debug, Args)]
pub struct PredictArgs {
    /// The model: NAME (its latest version), NAME@VERSION or NAME@ALIAS
    #[arg(value_name = "MODEL")]
    model: ModelRef,
    /// The dataset to read, NAME or NAME@VERSION
    #[arg(value_name = "IN")]
    input: Option<DatasetRef>,
    /// The dataset to write a new version of
    #[arg(value_name = "OUT")]
    output: Option<DatasetName>,
    /// Columns of the input to keep: all, none, or names [default: all; none with --from]
    #[arg(long, env = "SHARDMILL_PREDICT_KEEP", value_name = "all|none|A,B")]
    keep: Option<Keep>,
    /// What to add: the prediction, the probability of each class (for clusters the distance), or both
    #[arg(
        long = "output",
        env = "SHARDMILL_PREDICT_OUTPUT",
        value_name = "WHAT",
        value_enum,
        value_delimiter = ',',
        default_value = "label,probability"
    )]
    outputs: Vec<OutputArg>,
    #[command(flatten)]
    replicas: ReplicasArg,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
    #[command(flatten)]
    file: FileArgs,
}

/// Options of a prediction from file to file.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "From file to file")]
struct FileArgs {
    /// The file to read instead of a dataset, or - for standard input
    #[arg(long, env = "SHARDMILL_PREDICT_FROM", value_name = "FILE")]
    from: Option<String>,
    /// The file to write, whole or not at all
    #[arg(long, env = "SHARDMILL_PREDICT_TO", value_name = "PATH")]
    to: Option<String>,
    /// Write the columns of the input before the prediction
    #[arg(long, env = "SHARDMILL_PREDICT_JOIN_INPUT", value_parser = FalseyValueParser::new())]
    join_input: bool,
    /// The format of both files [default: by their names, and that of --from where the name of --to does not tell]
    #[arg(long, env = "SHARDMILL_PREDICT_FORMAT", value_enum)]
    format: Option<FormatArg>,
    /// What parts the cells of --from: one character, or tab, space, comma, semicolon, pipe
    #[arg(long, env = "SHARDMILL_PREDICT_DELIMITER", value_name = "CHAR", value_parser = parse_delimiter)]
    delimiter: Option<Delimiter>,
    /// A text in --from that means null, besides the empty cell; may be repeated
    #[arg(long, env = "SHARDMILL_PREDICT_NULL", value_name = "MARK", allow_hyphen_values = true)]
    null: Vec<String>,
    /// Rows without a prediction before the command fails: a count or a percentage
    #[arg(long, env = "SHARDMILL_PREDICT_MAX_REJECTS", value_name = "LIMIT", default_value = "0")]
    max_rejects: RejectLimit,
    /// Replace what exists
    #[arg(long, env = "SHARDMILL_PREDICT_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputArg {
    /// The column `prediction`
    Label,
    /// A column `probability_CLASS` for each class; `distance` for clusters
    Probability,
}

/// Columns to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Keep {
    All,
    None,
    Columns(Vec<String>),
}

impl FromStr for Keep {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "all" => Keep::All,
            "none" => Keep::None,
            names => Keep::Columns(vec![names.to_owned()]),
        })
    }
}

impl Keep {
    /// As a job has it: `None` means all.
    fn columns(&self) -> Result<Option<Vec<String>>, CliError> {
        match self {
            Keep::All => Ok(None),
            Keep::None => Ok(Some(Vec::new())),
            Keep::Columns(names) => columns("--keep", Some(names)),
        }
    }
}

pub async fn run(context: &Context, args: PredictArgs) -> Result<(), CliError> {
    let has = |output| args.outputs.contains(&output);
    let outputs = PredictOutputs { label: has(OutputArg::Label), probability: has(OutputArg::Probability) };
    let replicas = args.replicas.replicas;
    match (args.input, args.output, args.file.from.clone(), args.file.to.clone()) {
        (Some(input), Some(output), None, None) => {
            if args.file.join_input {
                return Err(CliError::usage(
                    "--join-input belongs to --from; with datasets, --keep all is what it means",
                ));
            }
            let keep = args.keep.unwrap_or(Keep::All).columns()?;
            let spec = PredictSpec { model: args.model, input, output, keep, outputs, replicas, resolved: None };
            let order = args.dry_run.of(JobSpec::Predict(spec));
            let work = async |s: &shardmill_flows::Session| jobs::run(context, &s.client, order).await;
            let status = session::with_own_interrupt(context, work).await?;
            jobs::report(context, &status)
        }
        (None, None, Some(_), Some(_)) if args.dry_run.is_on() => Err(CliError::usage(
            "a prediction from file to file is planned while the file is read: ingest it first, then dry-run with datasets",
        )),
        (None, None, Some(_), Some(_)) if args.file.format == Some(FormatArg::Lines) => Err(CliError::usage(
            "a prediction is a table, which --format lines cannot hold: use csv, tsv, jsonl, parquet or arrow",
        )),
        (None, None, Some(from), Some(to)) => {
            let keep = match (args.keep, args.file.join_input) {
                (Some(_), true) => {
                    return Err(CliError::usage("--join-input keeps all columns: give either it or --keep"));
                }
                (None, true) => Keep::All,
                (keep, false) => keep.unwrap_or(Keep::None),
            };
            let job = FileJob {
                model: args.model,
                from,
                to,
                keep: keep.columns()?,
                outputs,
                format: args.file.format.map(Into::into),
                delimiter: args.file.delimiter.clone(),
                nulls: args.file.null,
                max_rejects: args.file.max_rejects,
                force: args.file.force,
                replicas,
            };
            predict_file::run(context, job).await
        }
        _ => Err(CliError::usage(
            "say what to predict: two datasets, IN and OUT, or two files, --from FILE and --to FILE",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_to_keep() {
        let keep = |text: &str| text.parse::<Keep>().unwrap().columns();
        assert_eq!(keep("all").unwrap(), None);
        assert_eq!(keep("none").unwrap(), Some(vec![]));
        assert_eq!(keep("a, b").unwrap(), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert!(keep("a,,b").is_err() && keep("a,a").is_err());
    }
}
