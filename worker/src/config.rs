//! How a worker is set up.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use shardmill_proto::auth::UnfitToken;
use shardmill_serving::capture::Sink;
use shardmill_serving::node::Limits;

#[derive(Clone)]
pub struct Config {
    /// `http://host:port` of the coordinator.
    pub coordinator: String,
    /// gRPC and Arrow Flight, for clients and other workers. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The URL by which others reach this worker, where it differs from `listen`.
    pub advertise: Option<String>,
    pub data_dir: PathBuf,
    /// Attempts that run at once.
    pub slots: u32,
    /// Bytes that running attempts may need together.
    pub memory: u64,
    pub token: Option<String>,
    /// Tasks may read source files by path: only in an embedded cluster, where worker and client are one process.
    pub local_files: bool,
    /// Workers on this machine ask each other for what they hold, as if on machines of their own, instead of reading files.
    pub isolated: bool,
    /// Tasks may run programs that users bring.
    pub allow_programs: bool,
    /// Where requests to endpoints are answered over HTTP. `None`: nowhere.
    pub serve: Option<SocketAddr>,
    /// What requests may take.
    pub limits: Limits,
    /// Takes what is captured of requests.
    pub capture: Option<Arc<dyn Sink>>,
}

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {addr}: {message}")]
    Listen { addr: SocketAddr, message: String },
    #[error("the data folder {path} cannot be used: {message}")]
    DataDir { path: PathBuf, message: String },
    #[error(transparent)]
    Token(#[from] UnfitToken),
}
