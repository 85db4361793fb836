//! `mapreduce OUT`: the user's own map and reduce, in SQL or as programs.

use clap::Args;

use crate::cli::Context;
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct MapReduceArgs {}

pub async fn run(_context: &Context, _args: MapReduceArgs) -> Result<(), CliError> {
    Err(CliError::failed("not there yet"))
}
