//! How a run that failed is told.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::mapreduce::step::{Limits, Program};
use shardmill_common::units::show_bytes;

use super::plan::{End, Exceeded};
use super::stderr::Said;

/// One run, for messages.
pub(super) struct Told<'a> {
    pub what: &'a str,
    pub program: &'a Program,
    pub limits: &'a Limits,
    pub memory: u64,
}

impl Told<'_> {
    /// `` the map of clicks: `python3 map.py` ended with exit status 1; ... ``.
    pub(super) fn failed(&self, why: &str, said: &Said) -> Failure {
        let tail = said.last_lines().map_or_else(
            || "; it wrote nothing to standard error".to_owned(),
            |lines| format!("; standard error ends with:\n{lines}"),
        );
        Failure::ProgramFailed { message: format!("{}: `{}` {why}{tail}", self.what, self.program.command) }
    }

    /// Why the program's end is a failure; `None` where it is not.
    pub(super) fn end(&self, end: &End) -> Option<String> {
        match end {
            End::Exited(0) => None,
            // As a shell tells of what it could not run.
            End::Exited(status @ 126) => {
                Some(format!("ended with exit status {status} (something could not be executed)"))
            }
            End::Exited(status @ 127) => Some(format!("ended with exit status {status} (a command was not found)")),
            End::Exited(status) => Some(format!("ended with exit status {status}")),
            End::Signalled(signal) => Some(format!("was killed by the signal {}", signal_name(*signal))),
            End::Exceeded(exceeded) => Some(self.exceeded(*exceeded)),
            End::Stopped => Some("was stopped".into()),
            End::NotStarted { message, .. } => Some(format!("could not be started: {message}")),
        }
    }

    fn exceeded(&self, exceeded: Exceeded) -> String {
        match exceeded {
            Exceeded::Timeout => {
                format!("took longer than {} s; raise --task-timeout", self.limits.timeout.unwrap_or_default())
            }
            Exceeded::Cpu => format!(
                "used more than {} s of processor time; raise --program-cpu",
                self.limits.cpu.unwrap_or_default()
            ),
            Exceeded::Memory(used) => format!(
                "used {} of memory, more than the {} it may; raise --program-memory, or let it hold less at a time",
                show_bytes(used),
                show_bytes(self.memory)
            ),
            Exceeded::Processes(n) => format!(
                "ran {n} processes at once, more than the {} it may; raise --max-processes",
                self.limits.processes
            ),
            Exceeded::Files => {
                format!("wrote more than {} to files; raise --max-output", show_bytes(self.limits.output))
            }
        }
    }

    pub(super) fn too_much_output(&self) -> String {
        format!("wrote more than {} to standard output; raise --max-output", show_bytes(self.limits.output))
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGPIPE => "SIGPIPE (it wrote to a pipe that nobody reads)",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        other => return other.to_string(),
    };
    name.to_owned()
}
