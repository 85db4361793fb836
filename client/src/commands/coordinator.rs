//! `coordinator`: runs the coordinator of a cluster, in the foreground.

use std::net::SocketAddr;

use clap::Args;
use clap::builder::FalseyValueParser;
use shardmill_coordinator as coordinator;

use super::common::{address, check_exposure};
use crate::cli::Context;
use crate::embedded::bounded;
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct CoordinatorArgs {
    /// Where workers, commands (--cluster) and Arrow Flight clients connect
    #[arg(long, env = "SHARDMILL_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:7077", value_parser = address)]
    listen: SocketAddr,
    /// Where health, metrics and the page for people are
    #[arg(long, env = "SHARDMILL_HTTP", value_name = "ADDR", default_value = "127.0.0.1:7078", value_parser = address)]
    http: SocketAddr,
    /// Copies kept of each shard, on distinct workers, where a job does not say
    #[arg(long, env = "SHARDMILL_DEFAULT_REPLICAS", value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=16))]
    default_replicas: u32,
    /// Let other machines connect without TLS
    #[arg(long, env = "SHARDMILL_INSECURE", value_parser = FalseyValueParser::new())]
    insecure: bool,
}

pub async fn run(context: &Context, args: CoordinatorArgs) -> Result<(), CliError> {
    shardmill_common::telemetry::init("info");
    let global = &context.global;
    let Some(data_dir) = global.data_dir.clone() else {
        return Err(CliError::usage("say where the coordinator keeps its journal: --data-dir DIR"));
    };
    for address in [args.listen, args.http] {
        check_exposure(address, args.insecure, global.token.as_deref())?;
    }
    let running = coordinator::start(coordinator::Config {
        listen: args.listen,
        http: Some(args.http),
        data_dir,
        token: global.token.clone(),
        default_replicas: args.default_replicas,
        options: coordinator::Options::default(),
    })
    .await
    .map_err(|e| CliError::failed(e.to_string()))?;
    context.interrupt.wait().await;
    tracing::info!("stopping");
    bounded(running.stop()).await;
    Ok(())
}
