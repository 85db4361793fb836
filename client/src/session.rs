//! The cluster a command talks to: one that runs elsewhere, or one inside this process.

use std::ops::AsyncFnOnce;
use std::time::{Duration, Instant};

use crate::cli::Context;
use crate::embedded::{Embedded, Setup, any_loopback_port};
use crate::error::CliError;
use shardmill_client::Client;
use shardmill_common::status::NodeState;
use shardmill_flows::Session;

/// Workers of this process join within milliseconds; a machine that is very busy is given time.
const WAIT_FOR_WORKERS: Duration = Duration::from_secs(10);

/// Runs `work` against the cluster; Ctrl-C ends it at once.
pub async fn with<T>(
    context: &Context,
    work: impl AsyncFnOnce(&Session) -> Result<T, CliError>,
) -> Result<T, CliError> {
    with_own_interrupt(context, async |session| context.interrupt.or_interrupted(work(session)).await).await
}

/// Runs `work` against the cluster; `work` itself must heed Ctrl-C, for instance by cancelling its job.
pub async fn with_own_interrupt<T>(
    context: &Context,
    work: impl AsyncFnOnce(&Session) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let global = &context.global;
    if let Some(url) = &global.cluster {
        let client = context
            .interrupt
            .or_interrupted(async { Ok(Client::connect(url, global.token.as_deref()).await?) })
            .await?;
        return work(&Session { client, local_files: false }).await;
    }
    shardmill_common::telemetry::init("warn");
    let mut cluster = Embedded::start(Setup {
        data_dir: global.data_dir(),
        workers: global.workers,
        slots: global.slots,
        memory: global.memory,
        listen: any_loopback_port(),
        http: None,
        // The port is open to every user of this machine; a secret that only this process knows closes it.
        token: Some(uuid::Uuid::new_v4().simple().to_string()),
        local_files: true,
        retention: shardmill_coordinator::Retention::default(),
        limits: shardmill_serving::node::Limits::default(),
        allow_programs: true,
    })
    .await?;
    let (url, token, workers) = (cluster.url.clone(), cluster.token.clone(), cluster.worker_count());
    let result = tokio::select! {
        result = async {
            let client = Client::connect(&url, token.as_deref()).await?;
            workers_up(&client, workers).await?;
            work(&Session { client, local_files: true }).await
        } => result,
        reason = cluster.ended() => Err(CliError::failed(format!("a worker of this process ended: {reason}"))),
    };
    cluster.stop().await;
    result
}

/// Waits until every worker has joined: a job handed in earlier would be refused for want of workers, and shards that only
/// another worker holds would not be found.
async fn workers_up(client: &Client, wanted: usize) -> Result<(), CliError> {
    let begun = Instant::now();
    while begun.elapsed() < WAIT_FOR_WORKERS {
        let alive = client.nodes().await?.iter().filter(|n| n.state == NodeState::Alive).count();
        if alive >= wanted {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Without them the command itself tells what it lacks.
    tracing::warn!("not all workers have joined after {} s", WAIT_FOR_WORKERS.as_secs());
    Ok(())
}
