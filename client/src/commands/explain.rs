//! `explain VERB ...`: what a command would do, without doing it.

use clap::Args;

use crate::cli::Context;
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {}

pub async fn run(_context: &Context, _args: ExplainArgs) -> Result<(), CliError> {
    Err(CliError::failed("not there yet"))
}
