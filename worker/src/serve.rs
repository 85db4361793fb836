//! The worker as a node that serves: it asks the coordinator for the endpoints whenever they change, answers requests over
//! HTTP, and reports what it counted. While the coordinator is away it goes on with the endpoints it knows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use shardmill_common::endpoint::{Deployment, EndpointRequest};
use shardmill_common::message::FromWorker;
use shardmill_proto::auth::AddToken;
use shardmill_proto::dial::{DialError, dial};
use shardmill_proto::v1::coordinator_client::CoordinatorClient;
use shardmill_proto::{MAX_MESSAGE_BYTES, decode, encode};
use shardmill_serving::http;
use shardmill_serving::live::{DeployError, Live};
use shardmill_serving::node::Node;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::agent::Agent;

/// How often what was counted is told.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Until a deployment that could not be had or made ready is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A worker's HTTP door.
pub struct Serving {
    pub addr: SocketAddr,
    live: Arc<Live>,
    agent: Arc<Agent>,
    stop: watch::Sender<bool>,
    door: JoinHandle<()>,
    follower: JoinHandle<()>,
}

fn router(node: Arc<Node>) -> Router {
    let own = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(node.clone());
    http::router(node).merge(own)
}

async fn ready(State(node): State<Arc<Node>>) -> impl IntoResponse {
    if node.is_ready() {
        (StatusCode::OK, format!("{} endpoints\n", node.live.routes().endpoints.len()))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the coordinator has not said yet which endpoints there are\n".to_owned())
    }
}

async fn metrics(State(node): State<Arc<Node>>) -> impl IntoResponse {
    let mut text = String::new();
    shardmill_serving::metrics::render(&node.live, &mut text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

impl Serving {
    /// Serves on `listener` until it is stopped.
    pub fn start(
        listener: TcpListener,
        addr: SocketAddr,
        node: Node,
        agent: Arc<Agent>,
        coordinator: String,
        token: AddToken,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (live, limits) = (node.live.clone(), node.limits.clone());
        let door = tokio::spawn(http::serve(listener, router(Arc::new(node)), limits, stopped));
        let url = format!("http://{addr}");
        let follower = tokio::spawn(follow(agent.clone(), live.clone(), url, coordinator, token));
        Self { addr, live, agent, stop, door, follower }
    }

    /// Answers the requests that are under way, within `bound`, and reports what is not reported yet.
    pub async fn stop(self, bound: Duration) {
        self.stop.send_replace(true);
        let door = self.door.abort_handle();
        if tokio::time::timeout(bound, self.door).await.is_err() {
            tracing::warn!("some requests were not answered within {bound:?}");
            door.abort();
        }
        self.follower.abort();
        let counted = self.live.take();
        if !counted.is_empty() {
            self.agent.say(FromWorker::Counted { counted });
        }
    }
}

/// Why the endpoints of now are not served.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{}", .0.message())]
    Call(#[from] Status),
    #[error(transparent)]
    Deploy(#[from] DeployError),
}

async fn ask(coordinator: &str, token: &AddToken) -> Result<Deployment, FollowError> {
    let channel = dial(coordinator).await?;
    let mut client = CoordinatorClient::with_interceptor(channel, token.clone())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let request = encode(&EndpointRequest::Deployment)?;
    let answer = client.endpoints(request).await?;
    Ok(decode(answer.get_ref())?)
}

/// Keeps `live` as the coordinator's endpoints are.
async fn follow(agent: Arc<Agent>, live: Arc<Live>, url: String, coordinator: String, token: AddToken) {
    let mut changes = agent.deployments.subscribe();
    let mut tell = tokio::time::interval(TELL_EVERY);
    loop {
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                changes.mark_unchanged();
                let deployed = match ask(&coordinator, &token).await {
                    Ok(deployment) => {
                        let revision = deployment.revision;
                        tokio::task::block_in_place(|| live.deploy(deployment)).map(|()| revision).map_err(FollowError::from)
                    }
                    Err(why) => Err(why),
                };
                match deployed {
                    Ok(revision) => agent.say(FromWorker::Serving { url: url.clone(), revision }),
                    Err(why) => {
                        tracing::warn!(%why, "the endpoints cannot be taken up as they are now; the earlier ones stay");
                        tokio::time::sleep(TRY_AGAIN).await;
                        changes.mark_changed();
                    }
                }
            }
            _ = tell.tick() => {
                // What is counted while the coordinator is away is told when it is back.
                if *agent.joined.borrow() {
                    let counted = live.take();
                    if !counted.is_empty() {
                        agent.say(FromWorker::Counted { counted });
                    }
                }
            }
        }
    }
}
