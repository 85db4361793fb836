//! A coordinator's life: open the journal, bind the doors, serve, stop within a bound.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use shardmill_common::layout::CoordinatorLayout;
use shardmill_core::scheduler::SchedulerOptions;
use shardmill_proto::MAX_MESSAGE_BYTES;
use shardmill_proto::auth::{CheckProtocol, CheckToken};
use shardmill_proto::v1::coordinator_server::CoordinatorServer;
use shardmill_serving::live::Live;
use shardmill_serving::model::onnx::Graphs;
use shardmill_serving::node::Node;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::service::InterceptorLayer;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::config::{Config, Options, StartError};
use crate::driver::Driver;
use crate::flight::FlightDoor;
use crate::graph_files::GraphFiles;
use crate::grpc::Door;
use crate::journal::{Journal, JournalError};

/// How long requests under way may take once the coordinator stops.
const STOP_BOUND: Duration = Duration::from_secs(5);

/// A coordinator that is up.
pub struct Running {
    pub grpc: SocketAddr,
    pub http: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    driver: JoinHandle<Result<(), JournalError>>,
    doors: Vec<JoinHandle<()>>,
    // Held, not read: the lock goes when the coordinator does.
    _lock: std::fs::File,
}

impl Running {
    /// Stops taking requests, lets those under way end within a bound, and closes the journal.
    pub async fn stop(mut self) {
        // The receivers are gone only if the tasks are.
        let _ = self.stop.send(true);
        for door in self.doors.drain(..) {
            let abort = door.abort_handle();
            if tokio::time::timeout(STOP_BOUND, door).await.is_err() {
                abort.abort();
            }
        }
        if tokio::time::timeout(STOP_BOUND, &mut self.driver).await.is_err() {
            tracing::warn!("the driver did not stop in time");
        }
    }

    /// Resolves when the coordinator ended by itself, with the reason: its journal could not be written.
    pub async fn ended(&mut self) -> String {
        match (&mut self.driver).await {
            Ok(Err(e)) => unwritable(&e),
            Ok(Ok(())) => "stopped".into(),
            Err(e) => e.to_string(),
        }
    }
}

fn unwritable(error: &JournalError) -> String {
    format!("the journal cannot be written: {error}; nothing that was not written has been acknowledged")
}

fn scheduler_options(config: &Config) -> SchedulerOptions {
    let Options { reconnect_grace, heartbeat_timeout, repair_after, no_worker_timeout, max_attempts, orphan_age } =
        config.options;
    let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    SchedulerOptions {
        reconnect_grace_ms: ms(reconnect_grace),
        heartbeat_timeout_ms: ms(heartbeat_timeout),
        repair_after_ms: ms(repair_after),
        starvation_ms: ms(no_worker_timeout),
        max_attempts,
        orphan_age_s: orphan_age.as_secs(),
        default_replicas: config.default_replicas,
        ..Default::default()
    }
}

async fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |e: std::io::Error| StartError::Listen { addr, message: e.to_string() };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The graphs of imported models, from their files.
fn graphs(files: GraphFiles) -> Graphs {
    Graphs::new(move |wanted| files.read(&wanted.digest))
}

/// Starts a coordinator; it serves until [`Running::stop`].
pub async fn start(config: Config) -> Result<Running, StartError> {
    let layout = CoordinatorLayout::new(&config.data_dir);
    let unusable = |message: String| StartError::DataDir { path: config.data_dir.clone(), message };
    std::fs::create_dir_all(layout.root()).map_err(|e| unusable(e.to_string()))?;
    let lock = std::fs::File::create(layout.lock()).map_err(|e| unusable(e.to_string()))?;
    lock.try_lock().map_err(|_| unusable("another coordinator uses it".into()))?;
    let (grpc_listener, grpc) = bind(config.listen).await?;
    let http_listener = match config.http {
        Some(addr) => Some(bind(addr).await?),
        None => None,
    };
    let path = layout.journal();
    let journal_failed = |e| unusable(format!("the journal: {e}"));
    let journal = tokio::task::block_in_place(|| Journal::open(&path)).map_err(journal_failed)?;
    let graph_files = GraphFiles::new(layout.graphs());
    let options = scheduler_options(&config);
    let (driver, handle, mailbox) =
        tokio::task::block_in_place(|| Driver::new(layout, journal, options, config.retention))
            .map_err(journal_failed)?;
    let (stop, stopped) = watch::channel(false);
    let live = http_listener.as_ref().map(|_| Arc::new(Live::new(Arc::new(graphs(graph_files)))));
    let driver_stop = stopped.clone();
    let driver = tokio::spawn(async move {
        driver.run(mailbox, driver_stop).await.inspect_err(|e| tracing::error!("{}", unwritable(e)))
    });
    let mut doors = Vec::new();
    let router = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(1024)
        .layer(InterceptorLayer::new(CheckToken::new(config.token.as_deref())))
        .add_service(InterceptedService::new(
            CoordinatorServer::new(Door::new(handle.clone(), live.clone()).with_capture(config.capture.clone()))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
            CheckProtocol,
        ))
        .add_service(
            FlightServiceServer::new(FlightDoor::new(handle.clone())).max_encoding_message_size(MAX_MESSAGE_BYTES),
        );
    let mut grpc_stop = stopped.clone();
    doors.push(tokio::spawn(async move {
        let served = router.serve_with_incoming_shutdown(
            TcpIncoming::from(grpc_listener).with_nodelay(Some(true)),
            async move {
                // An error means that the sender is gone: stop as well.
                let _ = grpc_stop.wait_for(|s| *s).await;
            },
        );
        tokio::pin!(served);
        if let Err(e) = served.await {
            tracing::error!("the gRPC door closed: {e}");
        }
    }));
    if let (Some(live), Some((_, addr))) = (&live, &http_listener) {
        let url = format!("http://{addr}");
        doors.push(tokio::spawn(crate::serve::follow(handle.clone(), live.clone(), url, stopped.clone())));
    }
    let http = http_listener.as_ref().map(|(_, addr)| *addr);
    if let Some((listener, _)) = http_listener {
        let served = shardmill_serving::http::serve;
        let node = Node::new(live.clone().unwrap_or_default(), config.limits.clone(), config.capture.clone());
        let app = crate::http::router(handle.clone(), Arc::new(node));
        doors.push(tokio::spawn(served(listener, app, config.limits.clone(), stopped.clone())));
    }
    tracing::info!(%grpc, http = ?http, cluster = %handle.cluster, epoch = handle.epoch, "the coordinator is up");
    Ok(Running { grpc, http, stop, driver, doors, _lock: lock })
}
