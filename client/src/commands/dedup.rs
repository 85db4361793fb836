//! `dedup IN OUT`: drops duplicate rows; the survivors keep their order.

use clap::Args;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::dedup::DedupSpec;
use shardmill_common::name::DatasetRef;

use super::common::{DedupOptionsArgs, DryRunArg, ReplicasArg};
use super::tables::{Input, Output, Verb, nothing_more, only};
use crate::cli::Context;
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct DedupArgs {
    /// The dataset to read, NAME or NAME@VERSION, or a file
    #[arg(value_name = "IN")]
    input: Input,
    /// The dataset to write a new version of; - prints the rows
    #[arg(value_name = "OUT")]
    output: Output,
    #[command(flatten)]
    options: DedupOptionsArgs,
    #[command(flatten)]
    replicas: ReplicasArg,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
}

pub async fn run(context: &Context, args: DedupArgs) -> Result<(), CliError> {
    let (options, replicas) = (args.options.options()?, args.replicas.replicas);
    let verb = Verb { name: "dedup", inputs: vec![args.input], output: args.output, dry_run: args.dry_run };
    let make = |inputs: &[DatasetRef], output| {
        let [input] = only(inputs)?;
        Ok(JobSpec::Dedup(DedupSpec { input, output, options, replicas }))
    };
    verb.run(context, make, nothing_more).await
}
