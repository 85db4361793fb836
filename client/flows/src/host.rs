//! Whoever runs a workflow: a person at a terminal, or another process.

use std::future::Future;
use std::io::Write;
use std::pin::Pin;

use shardmill_common::model::Round;

use crate::error::FlowError;

/// What a workflow needs of whoever runs it.
pub trait Host: Send + Sync {
    /// Something to know although the work goes on.
    fn notice(&self, text: &str);

    /// Something that may interest, and may as well be left out.
    fn hint(&self, _text: &str) {}

    /// A piece of work begins, whose progress can be shown until this is dropped.
    fn progress(&self) -> Box<dyn Progress + '_>;

    /// Resolves when the work is to end, at once if that was said before.
    fn stopped(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Where data goes that is written to no file.
    fn data(&self) -> Box<dyn Write + Send>;
}

/// How far a piece of work has come.
pub trait Progress: Send {
    /// In bytes of its input.
    fn bytes(&mut self, label: &str, rows: Option<u64>, done: u64, total: u64);

    /// In some countable unit.
    fn count(&mut self, label: &str, done: u64, total: u64);

    /// A round of a training is done.
    fn round(&mut self, round: &Round);

    /// Something to know although the work goes on.
    fn notice(&mut self, text: &str);
}

/// Runs `work` unless it is to end before.
pub async fn or_stopped<T>(host: &dyn Host, work: impl Future<Output = Result<T, FlowError>>) -> Result<T, FlowError> {
    tokio::select! {
        result = work => result,
        () = host.stopped() => Err(FlowError::Stopped),
    }
}

/// A host that shows nothing, never stops, and has notices written to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Host for Quiet {
    fn notice(&self, text: &str) {
        tracing::info!("{text}");
    }

    fn progress(&self) -> Box<dyn Progress + '_> {
        Box::new(Quiet)
    }

    fn stopped(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    fn data(&self) -> Box<dyn Write + Send> {
        Box::new(Nowhere)
    }
}

/// Rows that are to be written to a host that has no place for them must not be lost in silence.
struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("there is no standard output here: name a file"))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Progress for Quiet {
    fn bytes(&mut self, _label: &str, _rows: Option<u64>, _done: u64, _total: u64) {}

    fn count(&mut self, _label: &str, _done: u64, _total: u64) {}

    fn round(&mut self, _round: &Round) {}

    fn notice(&mut self, text: &str) {
        tracing::info!("{text}");
    }
}
