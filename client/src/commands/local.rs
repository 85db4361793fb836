//! `local`: serves the data folder as a cluster on this machine, in the foreground.

use std::net::SocketAddr;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::common::{RetentionArgs, ServingArgs, address, check_exposure};
use crate::cli::Context;
use crate::embedded::{Embedded, Setup};
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct LocalArgs {
    /// Where commands (--cluster) and Arrow Flight clients connect
    #[arg(long, env = "SHARDMILL_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:7077", value_parser = address)]
    listen: SocketAddr,
    /// Where requests to endpoints are answered, and health (/healthz), metrics (/metrics) and JSON for programs (/v1/...)
    /// are; without it, nowhere
    #[arg(long, env = "SHARDMILL_HTTP", value_name = "ADDR", value_parser = address)]
    http: Option<SocketAddr>,
    #[command(flatten)]
    retention: RetentionArgs,
    #[command(flatten)]
    serving: ServingArgs,
    /// Let other machines connect without TLS
    #[arg(long, env = "SHARDMILL_INSECURE", value_parser = FalseyValueParser::new())]
    insecure: bool,
    /// Run programs that users bring with their jobs (mapreduce --map-program, --reduce-program)
    #[arg(long, env = "SHARDMILL_ALLOW_PROGRAMS", value_parser = FalseyValueParser::new())]
    allow_programs: bool,
}

pub async fn run(context: &Context, args: LocalArgs) -> Result<(), CliError> {
    shardmill_common::telemetry::init("info");
    let global = &context.global;
    for address in [Some(args.listen), args.http].into_iter().flatten() {
        check_exposure(address, args.insecure, global.token.as_deref())?;
    }
    if args.listen.ip().is_unspecified() {
        return Err(CliError::usage(format!(
            "{} is every address of this machine, but its workers need one by which others reach them: give --listen that address",
            args.listen
        )));
    }
    let mut cluster = Embedded::start(Setup {
        data_dir: global.data_dir(),
        workers: global.workers,
        slots: global.slots,
        memory: global.memory,
        listen: args.listen,
        http: args.http,
        token: global.token.clone(),
        // Clients are other processes, maybe of other users: they must not make workers read files by path.
        local_files: false,
        allow_programs: args.allow_programs,
        retention: args.retention.retention(),
        limits: args.serving.limits(),
    })
    .await?;
    context.out.hint(&format!(
        "serving {} with {} worker(s); use it with --cluster {} (Ctrl-C stops it)",
        global.data_dir().display(),
        global.workers,
        cluster.url
    ));
    if let Some(http) = cluster.http {
        context.out.hint(&format!("endpoints: http://{http}/endpoints/NAME/invocations; health and metrics: http://{http}/healthz, http://{http}/metrics"));
    }
    let ended = tokio::select! {
        () = context.interrupt.wait() => None,
        reason = cluster.ended() => Some(reason),
    };
    cluster.stop().await;
    match ended {
        None => Ok(()),
        Some(reason) => Err(CliError::failed(format!("a worker ended: {reason}"))),
    }
}
