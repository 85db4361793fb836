//! The rows of a version on their way to files.

use std::sync::Arc;

use shardmill_client::Client;
use shardmill_common::message::LocatedManifest;
use tokio::sync::mpsc;

use crate::error::FlowError;
use crate::export::{Exported, Settings, Step, Target, WriteError, write_all};
use crate::host::{Host, or_stopped};
use crate::read::Reader;

/// Batches that wait for the writer.
const BATCHES_AHEAD: usize = 2;

/// Hands rows from the workers to a writing thread; a host that stops stops both and leaves no file behind.
pub async fn export(
    host: &dyn Host,
    client: &Client,
    located: LocatedManifest,
    target: Target,
    settings: Settings,
) -> Result<Exported, FlowError> {
    let total = located.manifest.rows();
    let (send, receive) = mpsc::channel(BATCHES_AHEAD);
    let stdout = host.data();
    let writer = tokio::task::spawn_blocking(move || write_all(target, &settings, stdout, receive));
    let reader = Reader::new(client.clone(), Arc::new(located), 0, u64::MAX);
    let fed = or_stopped(host, feed(host, reader, total, &send)).await;
    drop(send);
    let written = writer.await.map_err(WriteError::Thread)?;
    // Where reading failed, the writer only says that it was stopped.
    fed.and(written)
}

async fn feed(host: &dyn Host, mut reader: Reader, total: u64, send: &mpsc::Sender<Step>) -> Result<(), FlowError> {
    let mut bar = host.progress();
    let mut rows = 0;
    while let Some(mut shard) = reader.next_shard() {
        if send.send(Step::Shard).await.is_err() {
            return Ok(());
        }
        while let Some(batch) = shard.next_batch().await {
            let batch = batch?;
            rows += batch.num_rows() as u64;
            // The writer ended early: it knows why.
            if send.send(Step::Rows(batch)).await.is_err() {
                return Ok(());
            }
            bar.count("rows written", rows, total);
        }
    }
    let _ = send.send(Step::Done).await;
    Ok(())
}
