//! The worker's side of a supervisor: its start, its end, and the end of everything should it fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use shardmill_common::failure::Failure;

use super::descendants;
use super::plan::{Plan, Report, SUPERVISE};
use super::system;

/// A supervisor that was asked to stop has at least this long: it kills until nothing is left.
const STOPPING: Duration = Duration::from_secs(15);

pub(super) struct Process {
    child: Child,
    report: PathBuf,
    /// An entry of the environment that only this run's processes have.
    mark: String,
    ended: bool,
}

/// The program's ends turned round: what the worker writes to and reads from.
pub(super) struct Ends {
    pub input: ChildStdin,
    pub output: ChildStdout,
    pub error: ChildStderr,
}

impl Process {
    /// Starts a supervisor with its plan at `path`. It ends with the thread that calls this, at the latest.
    pub(super) fn start(plan: &Plan, path: &Path, mark: String) -> Result<(Self, Ends), Failure> {
        let text = serde_json::to_vec(plan).map_err(Failure::internal)?;
        let failed = |e: std::io::Error| Failure::internal(format!("cannot start a supervisor: {e}"));
        fs::write(path, text).map_err(failed)?;
        let mut command = Command::new(system::this_program().map_err(failed)?);
        // Nothing of the worker's environment reaches even the supervisor.
        command.arg(SUPERVISE).arg(path).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let ends = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Self { child, report: plan.report.clone(), mark, ended: false };
        match ends {
            (Some(input), Some(output), Some(error)) => Ok((process, Ends { input, output, error })),
            _ => Err(Failure::internal("a supervisor without pipes")),
        }
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        self.ended = self.ended || !matches!(self.child.try_wait(), Ok(None));
        self.ended
    }

    /// Ends everything, and waits until it has.
    pub(super) fn stop(&mut self) {
        if self.has_ended() {
            return;
        }
        system::ask_to_stop(self.child.id());
        let asked = Instant::now();
        while !self.has_ended() {
            if asked.elapsed() > STOPPING {
                drop(self.child.kill());
                drop(self.child.wait());
                self.ended = true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How the run ended, once it has. A supervisor that says nothing was killed: what it watched is then ended here.
    pub(super) fn report(&mut self) -> Result<Report, Failure> {
        Report::read(&self.report).ok_or_else(|| {
            descendants::kill_marked(&self.mark);
            let how = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
            Failure::ProgramFailed { message: format!("the process that watches over it ended without a word ({how})") }
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        if Report::read(&self.report).is_none() {
            descendants::kill_marked(&self.mark);
        }
    }
}
