//! The backends of a worker: one for every statement that runs, kept for a while for the next.

use std::fs::File;
use std::io::Seek;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use shardmill_common::units::clip;
use shardmill_sql::SqlError;

use super::full::FULL;
use super::message::{Ask, Table, Work};
use super::process::{Backend, Gone};
use super::rows::{self, next};

/// An idle backend has some memory that it may not need again.
const KEPT: Duration = Duration::from_secs(30);
/// So much of a statement is shown in messages.
const SHOWN: usize = 120;

#[derive(Debug)]
pub struct Backends {
    /// Where each has its folder for what it cannot hold.
    scratch: PathBuf,
    /// The one used last at the end, each with the time since when.
    idle: Mutex<Vec<(Backend, Instant)>>,
}

/// What a statement may use.
pub struct Bounds<'a> {
    pub memory: u64,
    /// Whether its result is still wanted.
    pub wanted: &'a dyn Fn() -> bool,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Unmade {
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error("stopped")]
    Stopped,
    /// The process, or what lies between.
    #[error("{0}")]
    Broken(String),
}

impl Backends {
    /// None so far; each will have its folder for what it cannot hold in this one.
    pub fn new(scratch: PathBuf) -> Self {
        Self { scratch, idle: Mutex::default() }
    }

    /// What comes of rows.
    pub fn compute(
        &self,
        work: Work,
        tables: &[(&str, RecordBatch)],
        bounds: &Bounds<'_>,
    ) -> Result<RecordBatch, Unmade> {
        let memory = broken("no file in memory for the rows of a statement");
        let mut backend = self.take().map_err(|e| broken("a statement has no process")(&e))?;
        let tables = written(&backend.input, tables).map_err(|e| memory(&e))?;
        let ask = Ask { work, tables, memory: bounds.memory };
        let output = rows::file().map_err(|e| memory(&e))?;
        let answer = backend.ask(&ask, &output, bounds.wanted).map_err(|gone| match gone {
            Gone::Stopped => Unmade::Stopped,
            Gone::Failed(e) => broken("the process of a statement does not answer")(&e),
            Gone::Ended(status) => ended(status, &ask),
        })?;
        backend.trim().map_err(|e| memory(&e))?;
        self.give_back(backend);
        let unread = broken("what came of a statement cannot be read");
        let bytes = usize::try_from(answer?).map_err(|e| unread(&e))?;
        let made = rows::sealed(&output, bytes).map_err(|e| unread(&e))?;
        let made = rows::batches(&made).map_err(|e| unread(&e))?;
        let schema = made.first().ok_or_else(|| unread(&"nothing came"))?.schema();
        match <[RecordBatch; 1]>::try_from(made) {
            Ok([only]) => Ok(only),
            Err(several) => concat_batches(&schema, &several).map_err(|e| unread(&e)),
        }
    }

    /// Those that nobody needed for a while; they end where this is dropped.
    pub fn outlived(&self) -> Vec<impl Sized + Send + use<>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let young = idle.iter().position(|(_, since)| since.elapsed() < KEPT).unwrap_or(idle.len());
        idle.drain(..young).collect()
    }

    fn take(&self) -> std::io::Result<Backend> {
        loop {
            let last = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match last {
                Some((mut backend, _)) => {
                    if backend.is_alive() {
                        return Ok(backend);
                    }
                }
                None => return Backend::start(&self.scratch),
            }
        }
    }

    fn give_back(&self, backend: Backend) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((backend, Instant::now()));
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        // All of them end at the same time, and are then waited for.
        for (backend, _) in self.idle.get_mut().unwrap_or_else(PoisonError::into_inner) {
            backend.kill();
        }
    }
}

/// An error behind what was being done.
fn broken<'a>(what: &'a str) -> impl Fn(&dyn std::fmt::Display) -> Unmade + use<'a> {
    move |e| Unmade::Broken(format!("{what}: {e}"))
}

/// Writes the tables, one after the other.
fn written(mut input: &File, tables: &[(&str, RecordBatch)]) -> Result<Vec<Table>, ArrowError> {
    input.rewind()?;
    let mut from = 0;
    let mut places = Vec::with_capacity(tables.len());
    for (name, batch) in tables {
        let mut rows = rows::Batches::new(input);
        rows.write(batch)?;
        let to = rows.finish()?;
        places.push(Table { name: (*name).to_owned(), from, to });
        from = next(to);
    }
    Ok(places)
}

/// How the end of a process is told.
fn ended(status: ExitStatus, ask: &Ask) -> Unmade {
    let shown = format!("`{}`", clip(ask.work.text(), SHOWN));
    if status.code() == Some(FULL) {
        return SqlError::Memory { limit: ask.memory, why: format!("{shown} asked for more than that") }.into();
    }
    Unmade::Broken(match status.signal() {
        Some(libc::SIGKILL) => format!(
            "the process that computed {shown} was killed, by someone or by the system because the machine had no memory left"
        ),
        Some(signal) => format!("the process that computed {shown} was ended by signal {signal}"),
        None => format!("the process that computed {shown} ended by itself ({status})"),
    })
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
