//! A whole cluster inside this process, over one locked data folder.

use std::fs::{File, TryLockError};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use shardmill_common::layout::ClusterLayout;
use shardmill_coordinator as coordinator;
use shardmill_serving::node::Limits;
use shardmill_worker as worker;

use crate::error::CliError;
use shardmill_flows::capture::Capture;
use shardmill_flows::machine;

/// How long an orderly end may take.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// How a cluster inside this process is set up.
pub struct Setup {
    pub data_dir: PathBuf,
    pub workers: u32,
    pub slots: Option<u32>,
    pub memory: Option<u64>,
    pub listen: SocketAddr,
    pub http: Option<SocketAddr>,
    pub token: Option<String>,
    /// Workers may read source files by path: true where every client is this process.
    pub local_files: bool,
    /// Workers run programs that users bring.
    pub allow_programs: bool,
    /// What requests to endpoints may take.
    pub limits: Limits,
    /// How many finished jobs and records are kept.
    pub retention: coordinator::Retention,
}

/// A cluster that is up. The lock is held for as long as this value lives.
pub struct Embedded {
    pub url: String,
    pub http: Option<SocketAddr>,
    pub token: Option<String>,
    coordinator: coordinator::Running,
    workers: Vec<worker::Running>,
    capture: Option<Capture>,
    _lock: File,
}

/// A free port that only this machine can reach.
pub const fn any_loopback_port() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}

impl Embedded {
    pub async fn start(setup: Setup) -> Result<Self, CliError> {
        let layout = ClusterLayout::new(&setup.data_dir);
        let lock = lock(&setup.data_dir, &layout.lock())?;
        let mut capture =
            (setup.http.is_some() || Capture::is_left_over(&setup.data_dir)).then(|| Capture::new(&setup.data_dir));
        let coordinator = coordinator::start(coordinator::Config {
            listen: setup.listen,
            http: setup.http,
            data_dir: layout.coordinator(),
            token: setup.token.clone(),
            // Copies on one disk protect from nothing.
            default_replicas: 1,
            // Nobody uploaded anything before this start: what no version refers to is left over from a run that broke.
            options: coordinator::Options { orphan_age: Duration::ZERO, ..Default::default() },
            retention: setup.retention,
            limits: setup.limits.clone(),
            capture: capture.as_ref().map(Capture::sink),
        })
        .await
        .map_err(CliError::failed)?;
        let url = format!("http://{}", coordinator.grpc);
        if let Some(capture) = &mut capture {
            capture.publish_to(url.clone(), setup.token.clone());
        }
        let mut cluster = Self {
            url,
            http: coordinator.http,
            token: setup.token.clone(),
            coordinator,
            workers: Vec::new(),
            capture,
            _lock: lock,
        };
        // Shards that an earlier command wrote with more workers are in those workers' folders.
        let workers = setup.workers.max(layout.existing_workers());
        for number in 0..workers {
            let config = worker::Config {
                coordinator: cluster.url.clone(),
                // Whoever reaches the coordinator must reach the workers too.
                listen: SocketAddr::new(setup.listen.ip(), 0),
                advertise: None,
                data_dir: layout.worker(number),
                slots: setup.slots.unwrap_or_else(|| machine::default_slots(workers)),
                memory: setup.memory.unwrap_or_else(|| machine::default_memory() / u64::from(workers)),
                token: setup.token.clone(),
                local_files: setup.local_files,
                isolated: false,
                allow_programs: setup.allow_programs,
                serve: None,
                limits: setup.limits.clone(),
                capture: None,
            };
            match worker::start(config).await {
                Ok(running) => cluster.workers.push(running),
                Err(e) => {
                    cluster.stop().await;
                    return Err(CliError::failed(e));
                }
            }
        }
        Ok(cluster)
    }

    /// Workers that were started: those asked for, or as many as there are folders.
    pub fn worker_count(&self) -> usize {
        self.workers.len()
    }

    /// Resolves with the reason when a worker ended by itself.
    pub async fn ended(&mut self) -> String {
        let all: Vec<_> = self.workers.iter_mut().map(|w| Box::pin(w.ended())).collect();
        if all.is_empty() {
            return std::future::pending().await;
        }
        futures::future::select_all(all).await.0
    }

    /// Captured rows first, while they can be published; then workers, so that the coordinator still hears their good-byes.
    pub async fn stop(self) {
        if let Some(capture) = &self.capture {
            capture.drain().await;
        }
        bounded(futures::future::join_all(self.workers.into_iter().map(worker::Running::stop))).await;
        bounded(self.coordinator.stop()).await;
        if let Some(capture) = self.capture {
            capture.close().await;
        }
    }
}

/// Waits for an orderly end, but not for ever.
pub async fn bounded<T>(stop: impl Future<Output = T>) {
    if tokio::time::timeout(STOP_TIMEOUT, stop).await.is_err() {
        tracing::warn!(
            "could not stop in {} s; what is unfinished is picked up at the next start",
            STOP_TIMEOUT.as_secs()
        );
    }
}

/// Takes the folder for this process. The system drops the lock when the process ends, however it ends.
fn lock(folder: &Path, path: &Path) -> Result<File, CliError> {
    let shown = folder.display();
    let unusable = |e: std::io::Error| CliError::failed(format!("the data folder {shown} cannot be used: {e}"));
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CliError::failed(format!(
            "the data folder {shown} is in use by another shardmill process: wait for it to end, give another --data-dir, \
             or let several commands share one cluster (`shardmill local`, then --cluster http://127.0.0.1:7077)"
        ))),
        Err(TryLockError::Error(e)) => Err(unusable(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = lock(folder.path(), &path).unwrap();
        let second = lock(folder.path(), &path).unwrap_err();
        assert!(second.to_string().contains(&folder.path().display().to_string()), "{second}");
        assert_eq!(second.exit_status(), 1);
        drop(first);
        lock(folder.path(), &path).unwrap();
    }
}
