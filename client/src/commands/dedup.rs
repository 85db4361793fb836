//! `dedup IN OUT`: drops duplicate rows; the survivors keep their order.

use clap::Args;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::dedup::DedupSpec;
use shardmill_common::name::{DatasetName, DatasetRef};

use super::common::{DedupOptionsArgs, DryRunArg, ReplicasArg};
use crate::cli::Context;
use crate::error::CliError;
use crate::{jobs, session};

#[derive(Clone, Debug, Args)]
pub struct DedupArgs {
    /// The dataset to read, NAME or NAME@VERSION
    #[arg(value_name = "IN")]
    input: DatasetRef,
    /// The dataset to write a new version of
    #[arg(value_name = "OUT")]
    output: DatasetName,
    #[command(flatten)]
    options: DedupOptionsArgs,
    #[command(flatten)]
    replicas: ReplicasArg,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
}

pub async fn run(context: &Context, args: DedupArgs) -> Result<(), CliError> {
    let options = args.options.options()?;
    let spec = DedupSpec { input: args.input, output: args.output, options, replicas: args.replicas.replicas };
    let order = args.dry_run.of(JobSpec::Dedup(spec));
    let status = session::with_own_interrupt(context, async |s| jobs::run(context, &s.client, order).await).await?;
    jobs::report(context, &status)
}
