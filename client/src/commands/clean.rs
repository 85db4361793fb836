//! `clean IN OUT --rules FILE`: cleaning rules, in order, over every row.

use std::path::PathBuf;

use clap::Args;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::clean::CleanSpec;
use shardmill_common::name::{DatasetName, DatasetRef};

use super::common::{DryRunArg, ReplicasArg, rules};
use crate::cli::Context;
use crate::error::CliError;
use crate::{jobs, session};

#[derive(Clone, Debug, Args)]
pub struct CleanArgs {
    /// The dataset to read, NAME or NAME@VERSION
    #[arg(value_name = "IN")]
    input: DatasetRef,
    /// The dataset to write a new version of
    #[arg(value_name = "OUT")]
    output: DatasetName,
    /// The rules, a TOML file
    #[arg(long, env = "SHARDMILL_RULES", value_name = "FILE")]
    rules: PathBuf,
    #[command(flatten)]
    replicas: ReplicasArg,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
}

pub async fn run(context: &Context, args: CleanArgs) -> Result<(), CliError> {
    let rules = rules(&args.rules)?;
    let spec = CleanSpec { input: args.input, output: args.output, rules, replicas: args.replicas.replicas };
    let order = args.dry_run.of(JobSpec::Clean(spec));
    let status = session::with_own_interrupt(context, async |s| jobs::run(context, &s.client, order).await).await?;
    jobs::report(context, &status)
}
