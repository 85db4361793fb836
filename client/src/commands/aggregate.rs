//! `aggregate IN OUT`: groups a dataset.

use clap::Args;

use crate::cli::Context;
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct AggregateArgs {}

pub async fn run(_context: &Context, _args: AggregateArgs) -> Result<(), CliError> {
    Err(CliError::failed("not there yet"))
}
