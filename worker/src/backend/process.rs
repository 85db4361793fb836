//! The worker's side of one backend: its start, its answers and its end.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::message::{Answer, Ask, BACKEND, receive, send};
use super::rows;
use crate::program::system;

/// How often it is asked whether the answer is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// The file of an input of more bytes is emptied after use.
const KEPT: u64 = 64 << 20;

/// A process that computes, killed when this value goes.
#[derive(Debug)]
pub struct Backend {
    child: Child,
    socket: UnixStream,
    /// What it reads. It is written before it is asked, and then stays as it is until there is an answer.
    pub input: File,
    /// For what its sorts cannot hold. It goes with this value.
    _scratch: TempDir,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Gone {
    /// Nobody wants it any more.
    Stopped,
    /// The process ended.
    Ended(ExitStatus),
    Failed(io::Error),
}

impl Backend {
    /// Its folder for what it cannot hold lies in this one.
    pub fn start(scratch: &Path) -> io::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("backend-").tempdir_in(scratch)?;
        let (socket, theirs) = UnixStream::pair()?;
        let mut command = Command::new(system::this_program()?);
        command.arg0("shardmill").arg(BACKEND);
        // Nothing of the worker's environment reaches it. What its allocator only reserves counts as used: less than it would.
        command.env_clear().env("MIMALLOC_ARENA_RESERVE", "64MiB").env("TMPDIR", scratch.path());
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        let me = Self { child: command.spawn()?, socket, input: rows::file()?, _scratch: scratch };
        send(&me.socket, &(), Some(me.input.as_fd()))?;
        Ok(me)
    }

    pub fn kill(&mut self) {
        // It may have ended.
        drop(self.child.kill());
    }

    /// Lets go of what a large statement left.
    pub fn trim(&self) -> io::Result<()> {
        if self.input.metadata()?.len() > KEPT { self.input.set_len(0) } else { Ok(()) }
    }

    #[cfg(test)]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it can be asked.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its answer, with the rows in a file that was empty. After anything else it cannot be asked again.
    pub fn ask(&mut self, ask: &Ask, output: &File, wanted: &dyn Fn() -> bool) -> Result<Answer, Gone> {
        // Where the other end is gone, so is the process, or it is about to be.
        let failed = |me: &mut Self, e: io::Error| match e.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                me.child.wait().map_or_else(Gone::Failed, Gone::Ended)
            }
            _ => Gone::Failed(e),
        };
        if let Err(e) = send(&self.socket, ask, Some(output.as_fd())) {
            return Err(failed(self, e));
        }
        while !system::readable(&self.socket, LOOK) {
            if !wanted() {
                return Err(Gone::Stopped);
            }
        }
        match receive::<Answer>(&self.socket) {
            Ok(Some((answer, _))) => Ok(answer),
            Ok(None) => Err(self.child.wait().map_or_else(Gone::Failed, Gone::Ended)),
            Err(e) => Err(failed(self, e)),
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
        drop(self.child.wait());
    }
}
