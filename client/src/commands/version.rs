//! `version`: which program this is.

use serde_json::json;

use crate::cli::Context;
use crate::error::CliError;

pub fn run(context: &Context) -> Result<(), CliError> {
    let version = env!("CARGO_PKG_VERSION");
    context.out.line(&format!("shardmill {version}"))?;
    if context.out.json { context.out.object(&json!({"version": version})) } else { Ok(()) }
}
