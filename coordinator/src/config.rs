//! How a coordinator is set up.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shardmill_serving::capture::Sink;
use shardmill_serving::node::Limits;

use crate::retention::Retention;

/// Times and limits, with the defaults of a production cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// A worker whose session broke is given this long to come back before its tasks are run elsewhere.
    pub reconnect_grace: Duration,
    /// A worker that says nothing for this long is treated as gone.
    pub heartbeat_timeout: Duration,
    /// Objects of a worker that has been gone for this long are copied from their other holders.
    pub repair_after: Duration,
    /// With no worker alive for this long, jobs fail instead of waiting.
    pub no_worker_timeout: Duration,
    /// Attempts that count before a task fails its job.
    pub max_attempts: u32,
    /// Objects that nobody refers to are kept this long when their worker joins: their job may still be on its way.
    pub orphan_age: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reconnect_grace: Duration::from_secs(2),
            heartbeat_timeout: Duration::from_secs(20),
            repair_after: Duration::from_secs(60),
            no_worker_timeout: Duration::from_secs(60),
            max_attempts: 4,
            orphan_age: Duration::from_secs(24 * 3600),
        }
    }
}

#[derive(Clone)]
pub struct Config {
    /// gRPC and Arrow Flight. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// HTTP: health, metrics and requests to endpoints. `None`: no HTTP.
    pub http: Option<SocketAddr>,
    pub data_dir: PathBuf,
    pub token: Option<String>,
    /// Copies kept of each object where a job does not say: 2 in a cluster, 1 embedded.
    pub default_replicas: u32,
    pub options: Options,
    /// How many finished jobs and records are kept.
    pub retention: Retention,
    /// What requests to endpoints may take.
    pub limits: Limits,
    /// Takes what is captured of requests.
    pub capture: Option<Arc<dyn Sink>>,
}

/// Why a coordinator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {addr}: {message}")]
    Listen { addr: SocketAddr, message: String },
    #[error("the data folder {path} cannot be used: {message}")]
    DataDir { path: PathBuf, message: String },
}
