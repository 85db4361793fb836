//! `compact IN [OUT]`: writes small neighbouring shards of a dataset as one.

use clap::Args;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::compact::CompactSpec;
use shardmill_common::name::{DatasetName, DatasetRef};

use super::common::{DryRunArg, ReplicasArg};
use crate::cli::Context;
use crate::error::CliError;
use crate::{jobs, session};

#[derive(Clone, Debug, Args)]
pub struct CompactArgs {
    /// The dataset to read, NAME or NAME@VERSION
    #[arg(value_name = "IN")]
    input: DatasetRef,
    /// The dataset to write a new version of [default: that of IN]
    #[arg(value_name = "OUT")]
    output: Option<DatasetName>,
    #[command(flatten)]
    replicas: ReplicasArg,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
}

pub async fn run(context: &Context, args: CompactArgs) -> Result<(), CliError> {
    let output = args.output.unwrap_or_else(|| args.input.name.clone());
    let spec = CompactSpec { input: args.input, output, replicas: args.replicas.replicas };
    let job = args.dry_run.of(JobSpec::Compact(spec));
    let status = session::with_own_interrupt(context, async |s| jobs::run(context, &s.client, job).await).await?;
    jobs::report(context, &status)
}
