//! A worker's life: lock the folder, open the store, bind the door, dial the coordinator, stop within a bound.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use serde::{Deserialize, Serialize};
use shardmill_common::ids::{ClusterId, Incarnation, WorkerId};
use shardmill_common::layout::WorkerLayout;
use shardmill_proto::MAX_MESSAGE_BYTES;
use shardmill_proto::auth::{AddToken, CheckToken};
use shardmill_proto::v1::worker_server::WorkerServer;
use shardmill_serving::live::Live;
use shardmill_serving::node::Node;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::service::InterceptorLayer;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::agent::{Agent, Facts, Refused};
use crate::config::{Config, StartError};
use crate::door::Door;
use crate::fetch::Fetcher;
use crate::flight::FlightDoor;
use crate::serve::Serving;
use crate::sql::Queries;
use crate::store::Store;
use crate::tasks::threads;

/// How long running attempts and transfers may take once the worker stops.
const STOP_BOUND: Duration = Duration::from_secs(5);

/// Who a worker is, kept in its data folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    pub worker: WorkerId,
    pub cluster: Option<ClusterId>,
}

/// Why a data folder does not say whose it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{} cannot be read: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("cannot write {}: {error}", path.display())]
    Unwritable { path: PathBuf, error: std::io::Error },
}

impl Identity {
    fn load_or_make(layout: &WorkerLayout) -> Result<Self, IdentityError> {
        let unreadable = |why: String| IdentityError::Unreadable { path: layout.identity(), why };
        match std::fs::read(layout.identity()) {
            Ok(data) => serde_json::from_slice(&data).map_err(|e| unreadable(e.to_string())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let identity = Identity { worker: WorkerId::fresh(), cluster: None };
                identity.save(layout)?;
                Ok(identity)
            }
            Err(e) => Err(unreadable(e.to_string())),
        }
    }

    fn save(&self, layout: &WorkerLayout) -> Result<(), IdentityError> {
        let shown = |error: std::io::Error| IdentityError::Unwritable { path: layout.identity(), error };
        let data = serde_json::to_vec(self).map_err(|e| shown(e.into()))?;
        let tmp = layout.identity().with_extension("new");
        std::fs::write(&tmp, data).map_err(shown)?;
        std::fs::File::open(&tmp).and_then(|f| f.sync_all()).map_err(shown)?;
        std::fs::rename(&tmp, layout.identity()).map_err(shown)?;
        std::fs::File::open(layout.root()).and_then(|f| f.sync_all()).map_err(shown)
    }

    /// From now on the folder belongs to this cluster.
    pub fn join(&self, cluster: ClusterId, layout: &WorkerLayout) -> Result<(), IdentityError> {
        Identity { worker: self.worker, cluster: Some(cluster) }.save(layout)
    }
}

/// A worker that is up (and dials its coordinator until it answers).
pub struct Running {
    pub grpc: SocketAddr,
    /// Where requests to endpoints are answered, if they are.
    pub http: Option<SocketAddr>,
    serving: Option<Serving>,
    agent: Arc<Agent>,
    stop: watch::Sender<bool>,
    session: JoinHandle<Result<(), Refused>>,
    door: JoinHandle<()>,
    // Held, not read: the lock goes when the worker does.
    _lock: std::fs::File,
}

impl Running {
    /// Resolves once the worker has joined its coordinator.
    pub async fn joined(&self) {
        // The sender lives as long as `self`.
        let _ = self.agent.joined.subscribe().wait_for(|j| *j).await;
    }

    /// Says good-bye, lets running attempts end within a bound, and closes.
    pub async fn stop(mut self) {
        if let Some(serving) = self.serving.take() {
            serving.stop(STOP_BOUND).await;
        }
        self.stop.send_replace(true);
        self.agent.stop_attempts(STOP_BOUND).await;
        for task in [self.door.abort_handle(), self.session.abort_handle()] {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
            while !task.is_finished() && tokio::time::Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            task.abort();
        }
    }

    /// Resolves when the worker ended by itself: the coordinator refused it, with the reason.
    pub async fn ended(&mut self) -> String {
        match (&mut self.session).await {
            Ok(Err(why)) => format!("the coordinator refused this worker: {why}"),
            Ok(Ok(())) => "stopped".into(),
            Err(e) => e.to_string(),
        }
    }
}

/// The name of this machine as far as reading each other's files goes.
fn machine() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
}

/// Starts a worker; it serves until [`Running::stop`].
pub async fn start(config: Config) -> Result<Running, StartError> {
    let unusable = |message: String| StartError::DataDir { path: config.data_dir.clone(), message };
    std::fs::create_dir_all(&config.data_dir).map_err(|e| unusable(e.to_string()))?;
    let data_dir = std::fs::canonicalize(&config.data_dir).map_err(|e| unusable(e.to_string()))?;
    let layout = WorkerLayout::new(&data_dir);
    let lock = std::fs::File::create(layout.lock()).map_err(|e| unusable(e.to_string()))?;
    lock.try_lock().map_err(|_| unusable("another worker uses it".into()))?;
    let identity = Identity::load_or_make(&layout).map_err(|e| unusable(e.to_string()))?;
    let store = Arc::new(Store::open(layout, identity.worker).map_err(|e| unusable(e.to_string()))?);
    let failed = |e: std::io::Error| StartError::Listen { addr: config.listen, message: e.to_string() };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let grpc = listener.local_addr().map_err(failed)?;
    let http_listener = match config.serve {
        None => None,
        Some(addr) => {
            let failed = |e: std::io::Error| StartError::Listen { addr, message: e.to_string() };
            let listener = TcpListener::bind(addr).await.map_err(failed)?;
            let addr = listener.local_addr().map_err(failed)?;
            Some((listener, addr))
        }
    };
    let token = AddToken::new(config.token.as_deref())?;
    let runtime = tokio::runtime::Handle::current();
    // A worker that keeps to itself has a machine of its own, as far as files go.
    let machine = if config.isolated { identity.worker.to_string() } else { machine() };
    let fetch = Fetcher::new(store.clone(), identity.worker, machine.clone(), token.clone(), runtime);
    let fetch = Arc::new(fetch.with_coordinator(config.coordinator.clone()));
    let graphs = fetch.graphs.clone();
    let facts = Facts {
        identity,
        incarnation: Incarnation::fresh(),
        coordinator: config.coordinator.clone(),
        url: config.advertise.clone().unwrap_or_else(|| format!("http://{grpc}")),
        machine,
        data_dir: data_dir.to_string_lossy().into_owned(),
        slots: config.slots.max(1),
        memory: config.memory,
        local_files: config.local_files,
        allow_programs: config.allow_programs,
        token: token.clone(),
    };
    let share = facts.memory / u64::from(facts.slots);
    let queries = Arc::new(Queries::new(fetch.clone(), facts.url.clone(), share, threads(facts.slots)));
    let agent = Agent::new(facts, fetch.clone(), queries.clone());
    let serving_token = token.clone();
    let (stop, stopped) = watch::channel(false);
    let router = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_concurrent_streams(1024)
        .layer(InterceptorLayer::new(CheckToken::new(config.token.as_deref())))
        .add_service(
            WorkerServer::new(Door::new(store, agent.clone()).with_capture(config.capture.clone()))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            FlightServiceServer::new(FlightDoor::new(fetch, agent.clone(), config.coordinator.clone(), token))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(queries.service());
    let mut door_stop = stopped.clone();
    let door = tokio::spawn(async move {
        let served =
            router.serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async move {
                // An error means that the sender is gone: stop as well.
                let _ = door_stop.wait_for(|s| *s).await;
            });
        if let Err(e) = served.await {
            tracing::error!("the gRPC door closed: {e}");
        }
    });
    let serving = http_listener.map(|(listener, addr)| {
        let node = Node::new(Arc::new(Live::new(graphs)), config.limits.clone(), config.capture.clone());
        Serving::start(listener, addr, node, agent.clone(), config.coordinator.clone(), serving_token)
    });
    let http = serving.as_ref().map(|s| s.addr);
    let session = tokio::spawn(agent.clone().run(stopped));
    tracing::info!(%grpc, http = ?http, data_dir = %config.data_dir.display(), "the worker is up");
    Ok(Running { grpc, http, serving, agent, stop, session, door, _lock: lock })
}
