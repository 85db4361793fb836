//! `sort IN OUT`: brings the rows of a dataset into order.

use clap::Args;

use crate::cli::Context;
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct SortArgs {}

pub async fn run(_context: &Context, _args: SortArgs) -> Result<(), CliError> {
    Err(CliError::failed("not there yet"))
}
