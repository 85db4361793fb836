//! `worker`: runs a worker of a cluster, in the foreground.

use std::net::SocketAddr;

use clap::Args;
use clap::builder::FalseyValueParser;
use shardmill_worker as worker;

use super::common::{ServingArgs, address, check_exposure};
use crate::cli::Context;
use crate::embedded::bounded;
use crate::error::CliError;
use shardmill_flows::capture::Capture;
use shardmill_flows::machine;

#[derive(Clone, Debug, Args)]
pub struct WorkerArgs {
    /// The coordinator, as http://host:port; it need not be up yet
    #[arg(long, env = "SHARDMILL_COORDINATOR", value_name = "URL", default_value = "http://127.0.0.1:7077")]
    coordinator: String,
    /// Where clients and other workers connect; port 0 takes a free one
    #[arg(long, env = "SHARDMILL_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = address)]
    listen: SocketAddr,
    /// The URL by which others reach this worker [default: made of --listen]
    #[arg(long, env = "SHARDMILL_ADVERTISE", value_name = "URL")]
    advertise: Option<String>,
    /// Answer requests to endpoints over HTTP here too, besides the coordinator; port 0 takes a free one
    #[arg(long, env = "SHARDMILL_SERVE", value_name = "ADDR", value_parser = address)]
    serve: Option<SocketAddr>,
    #[command(flatten)]
    serving: ServingArgs,
    /// Let other machines connect without TLS
    #[arg(long, env = "SHARDMILL_INSECURE", value_parser = FalseyValueParser::new())]
    insecure: bool,
    /// Run programs that users bring with their jobs (mapreduce --map-program, --reduce-program)
    #[arg(long, env = "SHARDMILL_ALLOW_PROGRAMS", value_parser = FalseyValueParser::new())]
    allow_programs: bool,
    /// Exchange data with other workers on this machine over the network only, as if each had a machine of its own
    #[arg(long, env = "SHARDMILL_ISOLATED", value_parser = FalseyValueParser::new())]
    isolated: bool,
}

pub async fn run(context: &Context, args: WorkerArgs) -> Result<(), CliError> {
    shardmill_common::telemetry::init("info");
    let global = &context.global;
    let Some(data_dir) = global.data_dir.clone() else {
        return Err(CliError::usage("say where the worker keeps its shards: --data-dir DIR (each worker its own)"));
    };
    for address in [Some(args.listen), args.serve].into_iter().flatten() {
        check_exposure(address, args.insecure, global.token.as_deref())?;
    }
    for (option, url) in [("--coordinator", Some(&args.coordinator)), ("--advertise", args.advertise.as_ref())] {
        if let Some(url) = url.filter(|u| !u.starts_with("http://")) {
            return Err(CliError::usage(format!("{option}: `{url}` is not a URL; write it as http://host:port")));
        }
    }
    if args.listen.ip().is_unspecified() && args.advertise.is_none() {
        return Err(CliError::usage(format!(
            "{} is every address of this machine, so say by which others reach it: --advertise http://host:port",
            args.listen
        )));
    }
    let mut capture = (args.serve.is_some() || Capture::is_left_over(&data_dir)).then(|| Capture::new(&data_dir));
    let mut running = worker::start(worker::Config {
        coordinator: args.coordinator.clone(),
        listen: args.listen,
        advertise: args.advertise,
        data_dir,
        slots: global.slots.unwrap_or_else(|| machine::default_slots(1)),
        memory: global.memory.unwrap_or_else(machine::default_memory),
        token: global.token.clone(),
        local_files: false,
        isolated: args.isolated,
        allow_programs: args.allow_programs,
        serve: args.serve,
        limits: args.serving.limits(),
        capture: capture.as_ref().map(Capture::sink),
    })
    .await
    .map_err(CliError::failed)?;
    if let Some(capture) = &mut capture {
        capture.publish_to(args.coordinator, global.token.clone());
    }
    let ended = tokio::select! {
        () = context.interrupt.wait() => None,
        reason = running.ended() => Some(reason),
    };
    if ended.is_none() {
        tracing::info!("stopping");
        if let Some(capture) = &capture {
            capture.drain().await;
        }
    }
    bounded(running.stop()).await;
    if let Some(capture) = capture {
        capture.close().await;
    }
    match ended {
        None => Ok(()),
        Some(reason) => Err(CliError::failed(format!("the worker ended: {reason}"))),
    }
}
