//! Keeps what endpoints were asked and answered: rows go to files on this process' disk, and from there into their datasets
//! by ordinary ingests that append.

mod files;
mod publish;
mod publisher;
mod spool;
mod versions;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shardmill_common::endpoint::EndpointRequest;
use shardmill_common::layout::CaptureLayout;
use shardmill_common::status::NodeState;
use shardmill_common::task::Peer;
use shardmill_serving::capture::Sink;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::publisher::Publisher;
use self::spool::{Flush, Spool};
use shardmill_client::{Client, ClientError};

/// How long an orderly end waits for what is left to be published. The rest is published at the next start.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// How long it then waits for a publication that is under way.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// The capture of one process.
pub struct Capture {
    spool: Arc<Spool>,
    layout: CaptureLayout,
    /// Until there is a coordinator to publish to.
    flushes: Option<mpsc::UnboundedReceiver<Flush>>,
    stop: watch::Sender<bool>,
    publisher: Option<JoinHandle<()>>,
}

impl Capture {
    /// Touches nothing yet: the data folder may be another process'.
    pub fn new(data_dir: &Path) -> Self {
        let layout = CaptureLayout::new(data_dir);
        let (spool, flushes) = Spool::new(layout.clone());
        Self {
            spool: Arc::new(spool),
            layout,
            flushes: Some(flushes),
            stop: watch::Sender::new(false),
            publisher: None,
        }
    }

    /// Whether rows of an earlier run wait to be published.
    pub fn is_left_over(data_dir: &Path) -> bool {
        CaptureLayout::new(data_dir).root().is_dir()
    }

    pub fn sink(&self) -> Arc<dyn Sink> {
        self.spool.clone()
    }

    /// Publishes from now on, first of all what an earlier run left. The data folder is this process' by now.
    pub fn publish_to(&mut self, url: String, token: Option<String>) {
        let Some(flushes) = self.flushes.take() else { return };
        let publisher = Publisher::new(self.spool.clone(), self.layout.clone(), url, token);
        self.publisher = Some(tokio::spawn(publisher.run(flushes, self.stop.subscribe())));
    }

    /// Publishes what is left, while there still are a coordinator and workers to publish to.
    pub async fn drain(&self) {
        if self.publisher.is_none() || self.spool.is_empty() {
            return;
        }
        match tokio::time::timeout(DRAIN_WITHIN, self.spool.flush()).await {
            Ok(Ok(_)) => {}
            Ok(Err(why)) => tracing::warn!(%why, "captured rows could not be published; they are at the next start"),
            Err(_) => tracing::warn!(
                "captured rows could not be published in {} s; they are at the next start",
                DRAIN_WITHIN.as_secs()
            ),
        }
    }

    /// Stops publishing, and puts all rows on disk.
    pub async fn close(mut self) {
        // The receiver is gone only if the task is.
        let _ = self.stop.send(true);
        if let Some(mut publisher) = self.publisher.take()
            && tokio::time::timeout(CLOSE_WITHIN, &mut publisher).await.is_err()
        {
            // Broken off, it is found done or is done again at the next start.
            publisher.abort();
        }
        self.spool.close().await;
    }
}

/// Publishes what all nodes of a cluster have captured until now; how many rows there were.
pub async fn flush_all(client: &Client) -> Result<u64, ClientError> {
    let mut rows = client.endpoints::<u64>(&EndpointRequest::FlushCapture).await?;
    // Whoever is drained of shards still answers requests.
    let there = |state| matches!(state, NodeState::Alive | NodeState::Draining | NodeState::Drained);
    for node in client.nodes().await?.into_iter().filter(|n| there(n.state)) {
        let peer = Peer { worker: node.worker, url: node.url, machine: String::new(), data_dir: String::new() };
        rows += client.worker(&peer).await?.flush_capture().await?;
    }
    Ok(rows)
}
