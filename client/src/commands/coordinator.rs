//! `coordinator`: runs the coordinator of a cluster, in the foreground.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;
use shardmill_coordinator as coordinator;

use super::common::{RetentionArgs, ServingArgs, address, check_exposure};
use crate::cli::Context;
use crate::embedded::bounded;
use crate::error::CliError;
use shardmill_flows::capture::Capture;

#[derive(Clone, Debug, Args)]
pub struct CoordinatorArgs {
    /// Where workers, commands (--cluster) and Arrow Flight clients connect
    #[arg(long, env = "SHARDMILL_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:7077", value_parser = address)]
    listen: SocketAddr,
    /// Where requests to endpoints are answered, and health (/healthz, /readyz), metrics (/metrics) and JSON for programs
    /// (/v1/...) are
    #[arg(long, env = "SHARDMILL_HTTP", value_name = "ADDR", default_value = "127.0.0.1:7078", value_parser = address)]
    http: SocketAddr,
    /// Copies kept of each shard, on distinct workers, where a job does not say
    #[arg(long, env = "SHARDMILL_DEFAULT_REPLICAS", value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=16))]
    default_replicas: u32,
    /// Seconds a worker must be gone before what it held is copied again from other workers
    #[arg(long, env = "SHARDMILL_REPAIR_AFTER", value_name = "SECONDS", default_value_t = 60)]
    repair_after: u64,
    /// Seconds a job waits when no worker is alive, or none that holds what it needs, before it fails
    #[arg(long, env = "SHARDMILL_NO_WORKER_TIMEOUT", value_name = "SECONDS", default_value_t = 60)]
    no_worker_timeout: u64,
    #[command(flatten)]
    retention: RetentionArgs,
    #[command(flatten)]
    serving: ServingArgs,
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
    let mut capture = Capture::new(&data_dir);
    let mut running = coordinator::start(coordinator::Config {
        listen: args.listen,
        http: Some(args.http),
        data_dir,
        token: global.token.clone(),
        default_replicas: args.default_replicas,
        options: coordinator::Options {
            repair_after: Duration::from_secs(args.repair_after),
            no_worker_timeout: Duration::from_secs(args.no_worker_timeout),
            ..Default::default()
        },
        retention: args.retention.retention(),
        limits: args.serving.limits(),
        capture: Some(capture.sink()),
    })
    .await
    .map_err(CliError::failed)?;
    // Whoever listens everywhere is reached here, too.
    let own = if args.listen.ip().is_unspecified() { any_loopback(running.grpc) } else { running.grpc };
    capture.publish_to(format!("http://{own}"), global.token.clone());
    tokio::select! {
        () = context.interrupt.wait() => tracing::info!("stopping"),
        why = running.ended() => {
            capture.close().await;
            return Err(CliError::failed(why));
        }
    }
    capture.drain().await;
    bounded(running.stop()).await;
    capture.close().await;
    Ok(())
}

/// The loopback address of the same family, with this port.
fn any_loopback(address: SocketAddr) -> SocketAddr {
    let ip = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
    SocketAddr::new(ip, address.port())
}
