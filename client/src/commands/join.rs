//! `join LEFT RIGHT OUT`: joins two datasets on equal keys.

use clap::Args;

use crate::cli::Context;
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct JoinArgs {}

pub async fn run(_context: &Context, _args: JoinArgs) -> Result<(), CliError> {
    Err(CliError::failed("not there yet"))
}
