//! Ctrl-C and SIGTERM. The first asks for an orderly end; the second ends the process at once.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use crate::error::CliError;

/// Tells whoever waits that the user wants out. Cheap to clone.
#[derive(Clone)]
pub struct Interrupt {
    raised: Arc<watch::Sender<bool>>,
}

impl Interrupt {
    /// Takes over the process's signals. Called once, inside the runtime.
    pub fn listen() -> Self {
        let raised = Arc::new(watch::Sender::new(false));
        let tell = raised.clone();
        tokio::spawn(async move {
            // Without signal handlers the system's own behaviour stays, which ends the process.
            while next_signal().await.is_ok() {
                if tell.send_replace(true) {
                    std::process::exit(130);
                }
            }
        });
        Self { raised }
    }

    /// What was to end has ended, and the process goes on: the next signal is a first one again.
    pub fn heeded(&self) {
        self.raised.send_replace(false);
    }

    /// Resolves at the first signal, at once if it came already.
    pub async fn wait(&self) {
        let mut raised = self.raised.subscribe();
        if raised.wait_for(|r| *r).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Runs `work` unless a signal comes first.
    pub async fn or_interrupted<T>(&self, work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
        tokio::select! {
            result = work => result,
            () = self.wait() => Err(CliError::Interrupted),
        }
    }
}

#[cfg(unix)]
async fn next_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn next_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
