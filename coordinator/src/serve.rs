//! The coordinator as a node that serves: it takes up changes of endpoints and reports what it counted.

use std::sync::Arc;
use std::time::Duration;

use shardmill_common::endpoint::ServingNode;
use shardmill_core::Command;
use shardmill_serving::live::Live;
use tokio::sync::watch;

use crate::driver::Handle;

/// The name of this node among those that serve.
const NODE: &str = "coordinator";
/// How often what was counted is told.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Until a deployment that could not be made ready is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Keeps `live` as the driver's endpoints are, until `stop` fires or the driver is gone.
pub async fn follow(handle: Handle, live: Arc<Live>, url: String, mut stop: watch::Receiver<bool>) {
    let Ok(mut changes) = handle.ask(|d| Ok(d.deployments())).await else { return };
    let mut tell = tokio::time::interval(TELL_EVERY);
    changes.mark_changed();
    loop {
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                changes.mark_unchanged();
                let Ok(deployment) = handle.ask(|d| Ok(d.core().deployment())).await else { return };
                let revision = deployment.revision;
                if let Err(why) = tokio::task::block_in_place(|| live.deploy(deployment)) {
                    tracing::error!(revision, %why, "the endpoints cannot be served as they are now; the earlier ones stay");
                    tokio::time::sleep(TRY_AGAIN).await;
                    changes.mark_changed();
                    continue;
                }
                let node = ServingNode { node: NODE.into(), url: url.clone(), revision };
                if handle.tell(move |d| d.serves(node)).await.is_err() {
                    return;
                }
            }
            _ = tell.tick() => {
                let counted = live.take();
                if !counted.is_empty() && handle.post(Command::Counted(counted)).await.is_err() {
                    return;
                }
            }
            () = async { drop(stop.wait_for(|s| *s).await) } => {
                let counted = live.take();
                drop(handle.command::<()>(Command::Counted(counted)).await);
                return;
            }
        }
    }
}
