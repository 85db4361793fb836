//! `clean IN OUT --rules FILE`: cleaning rules, in order, over every row.

use std::path::PathBuf;

use clap::Args;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::clean::CleanSpec;
use shardmill_common::name::DatasetRef;

use super::common::{DryRunArg, ReplicasArg, rules};
use super::tables::{Input, Output, Verb, nothing_more, only};
use crate::cli::Context;
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct CleanArgs {
    /// The dataset to read, NAME or NAME@VERSION, or a file
    #[arg(value_name = "IN")]
    input: Input,
    /// The dataset to write a new version of; - prints the rows
    #[arg(value_name = "OUT")]
    output: Output,
    /// The rules, a TOML file
    #[arg(long, env = "SHARDMILL_RULES", value_name = "FILE")]
    rules: PathBuf,
    #[command(flatten)]
    replicas: ReplicasArg,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
}

pub async fn run(context: &Context, args: CleanArgs) -> Result<(), CliError> {
    let (rules, replicas) = (rules(&args.rules)?, args.replicas.replicas);
    let verb = Verb { name: "clean", inputs: vec![args.input], output: args.output, dry_run: args.dry_run };
    let make = |inputs: &[DatasetRef], output| {
        let [input] = only(inputs)?;
        Ok(JobSpec::Clean(CleanSpec { input, output, rules, replicas }))
    };
    verb.run(context, make, nothing_more).await
}
