//! `nodes list|drain`: the workers of a cluster.

use std::time::Duration;

use clap::Subcommand;
use clap::builder::FalseyValueParser;
use serde_json::json;
use shardmill_common::status::{NodeState, NodeStatus};
use shardmill_common::units::{show_bytes, show_count};

use crate::cli::Context;
use crate::error::CliError;
use crate::session;
use crate::table::Table;
use shardmill_client::Client;

#[derive(Clone, Debug, Subcommand)]
pub enum NodesCommand {
    /// List the workers
    List,
    /// Move everything off a worker, so that it can leave
    Drain {
        /// The worker's id, or the beginning of it
        #[arg(value_name = "ID")]
        worker: String,
        /// Return at once instead of waiting until the worker is empty
        #[arg(long, env = "SHARDMILL_NO_WAIT", value_parser = FalseyValueParser::new())]
        no_wait: bool,
    },
}

impl NodesCommand {
    pub async fn run(self, context: &Context) -> Result<(), CliError> {
        session::with(context, async |s| match self {
            NodesCommand::List => list(context, &s.client).await,
            NodesCommand::Drain { worker, no_wait } => drain(context, &s.client, &worker, no_wait).await,
        })
        .await
    }
}

async fn list(context: &Context, client: &Client) -> Result<(), CliError> {
    let nodes = client.nodes().await?;
    context.out.result(json!({"nodes": nodes}), || table(&nodes))
}

fn table(nodes: &[NodeStatus]) -> Table {
    let mut table =
        Table::new(&["worker", "state", "url", ">running", ">slots", ">memory", ">objects", ">stored", "last seen"]);
    for n in nodes {
        table.row([
            n.worker.to_string(),
            n.state.name().to_owned(),
            n.url.clone(),
            show_count(n.running.into()),
            show_count(n.slots.into()),
            show_bytes(n.memory),
            show_count(n.objects),
            show_bytes(n.bytes),
            n.last_seen.to_string(),
        ]);
    }
    table
}

/// The one worker whose id begins with `prefix`.
fn find<'a>(nodes: &'a [NodeStatus], prefix: &str) -> Result<&'a NodeStatus, CliError> {
    let prefix = prefix.to_ascii_lowercase();
    let found: Vec<&NodeStatus> = nodes.iter().filter(|n| n.worker.to_string().starts_with(&prefix)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(CliError::failed(format!("no worker `{prefix}`: see `shardmill nodes list`"))),
        several => {
            Err(CliError::failed(format!("{} workers begin with `{prefix}`: give more of the id", several.len())))
        }
    }
}

async fn drain(context: &Context, client: &Client, prefix: &str, no_wait: bool) -> Result<(), CliError> {
    let node = find(&client.nodes().await?, prefix)?.clone();
    client.drain(node.worker).await?;
    let mut bar = context.out.progress();
    let mut now = node.clone();
    while !no_wait && now.state != NodeState::Drained {
        tokio::time::sleep(Duration::from_millis(300)).await;
        match client.nodes().await?.into_iter().find(|n| n.worker == node.worker) {
            None => break,
            Some(n) if n.state == NodeState::Lost => {
                return Err(CliError::failed(format!(
                    "worker {} was lost while it was drained; what it held is copied from other workers",
                    node.worker
                )));
            }
            Some(n) => now = n,
        }
        bar.count("objects moved", node.objects.saturating_sub(now.objects), node.objects);
    }
    drop(bar);
    let state = if no_wait { NodeState::Draining } else { NodeState::Drained };
    context.out.result(json!({"worker": node.worker, "state": state}), || {
        let mut table = Table::pairs();
        table.pair("worker", node.worker.to_string());
        table.pair("state", state.name());
        table
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_common::ids::WorkerId;
    use shardmill_common::time::Timestamp;

    #[test]
    fn a_worker_is_found_by_the_beginning_of_its_id() {
        let node = |id: &str| NodeStatus {
            worker: id.parse::<WorkerId>().unwrap(),
            url: String::new(),
            state: NodeState::Alive,
            slots: 1,
            running: 0,
            memory: 0,
            objects: 0,
            bytes: 0,
            last_seen: Timestamp(0),
        };
        let nodes = [
            node("0190a000-0000-7000-8000-000000000001"),
            node("0190a000-0000-7000-8000-000000000002"),
            node("0190b000-0000-7000-8000-000000000003"),
        ];
        assert_eq!(find(&nodes, "0190B").unwrap().worker, nodes[2].worker);
        assert!(find(&nodes, "0190a").unwrap_err().to_string().starts_with("2 workers"));
        assert!(find(&nodes, "ff").is_err());
    }
}
