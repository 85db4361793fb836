//! The only file that prints: results to standard output, everything else to standard error.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::ProgressDrawTarget;
use serde_json::{Value, json};

use crate::error::CliError;
use crate::progress::Bar;
use crate::table::Table;
use shardmill_flows::text::escape_lines;

/// How results are shown.
pub struct Output {
    pub json: bool,
    quiet: bool,
    progress: bool,
    started: Instant,
    /// Where this is the output of a step: the step's object.
    kept: Option<Mutex<Value>>,
}

impl Output {
    pub fn new(json: bool, quiet: bool, progress: bool) -> Self {
        Self { json, quiet, progress, started: Instant::now(), kept: None }
    }

    /// The output of a command that another one runs as a step: the same for people, but the object for programs is kept
    /// for the command as a whole, which prints exactly one.
    pub fn for_step(&self) -> Self {
        Self { kept: Some(Mutex::new(Value::Null)), ..Self::new(self.json, self.quiet, self.progress) }
    }

    /// What a step told programs, whether or not they asked for it.
    pub fn kept(self) -> Value {
        self.kept.map_or(Value::Null, |kept| kept.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Seconds since the command began.
    pub fn elapsed(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// The result: one JSON object for programs, or a table for people.
    pub fn result(&self, object: Value, people: impl FnOnce() -> Table) -> Result<(), CliError> {
        if !self.json {
            self.write_line(&people().to_string())?;
        }
        match &self.kept {
            Some(kept) => *kept.lock().unwrap_or_else(PoisonError::into_inner) = object,
            None if self.json => self.object(&object)?,
            None => {}
        }
        Ok(())
    }

    /// The one JSON object of `--json`.
    pub fn object(&self, object: &Value) -> Result<(), CliError> {
        self.write_line(&object.to_string())
    }

    /// A line of the result for people; nothing with `--json`.
    pub fn line(&self, text: &str) -> Result<(), CliError> {
        if self.json { Ok(()) } else { self.write_line(text) }
    }

    /// A hint on standard error, for people only.
    pub fn hint(&self, text: &str) {
        if !self.quiet && !self.json {
            self.write_error(text);
        }
    }

    /// What a person should know although the command goes on.
    pub fn notice(&self, text: &str) {
        if !self.quiet {
            self.write_error(&format!("note: {}", escape_lines(text)));
        }
    }

    /// The end of a command that failed: a line for people on standard error and, with `--json`, the object for programs.
    pub fn error(&self, error: &CliError) {
        if matches!(error, CliError::OutputClosed | CliError::Explained) {
            return;
        }
        self.write_error(&format!("error: {}", escape_lines(&error.to_string())));
        if let CliError::Job(status) = error
            && status.stages.iter().map(|s| s.retried).sum::<u64>() > 1
        {
            self.hint(&format!("what its attempts said: shardmill job logs {} --failed", status.job));
        }
        if self.json {
            let _ = self.object(&failed_object(error, self.elapsed()));
        }
    }

    /// A progress bar: shown on a terminal once the work has taken a second.
    pub fn progress(&self) -> Bar {
        let shown = self.progress && !self.quiet && std::io::stderr().is_terminal();
        Bar::new(shown.then_some(ProgressDrawTarget::stderr as fn() -> ProgressDrawTarget))
    }

    /// Standard output for data, not messages.
    pub fn data(&self) -> Box<dyn Write + Send> {
        Box::new(std::io::stdout())
    }

    fn write_line(&self, text: &str) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Err(CliError::OutputClosed),
            Err(e) => Err(CliError::failed(format!("cannot write to standard output: {e}"))),
        }
    }

    fn write_error(&self, text: &str) {
        // Where standard error is closed there is nobody left to tell.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// What programs are told of an error, in the shape of a job's result.
pub fn failed_object(error: &CliError, seconds: f64) -> Value {
    match error {
        CliError::Job(status) => crate::jobs::to_json(status, seconds),
        other => json!({
            "job": null, "state": "failed", "dataset": null, "rows": null, "counters": {},
            "seconds": shardmill_flows::text::round(seconds), "error": other.to_string(),
        }),
    }
}
