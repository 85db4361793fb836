//! What a worker and the supervisor of a program tell each other: a plan before the run and a report after it, as files of
//! JSON that the program cannot reach.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shardmill_common::kinds::mapreduce::step::Limits;

/// The first argument that turns `shardmill` into a supervisor.
pub const SUPERVISE: &str = "__run-program";

/// What to run, and within what bounds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The worker, whose end is the supervisor's end.
    pub parent: u32,
    pub program: PathBuf,
    /// The words of the command; the first is what the program is called.
    pub words: Vec<String>,
    /// The program's private folder and current directory.
    pub home: PathBuf,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    pub limits: Limits,
    /// Bytes of memory of all its processes together.
    pub memory: u64,
    /// Files and folders it may read and execute besides the system's own.
    pub roots: Vec<PathBuf>,
    /// What it must not see even where a folder above is open to it.
    pub hidden: Vec<PathBuf>,
    pub report: PathBuf,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    Exited(i32),
    Signalled(i32),
    /// A limit was exceeded, and the program killed.
    Exceeded(Exceeded),
    /// The worker asked for it.
    Stopped,
    /// It could not be started at all.
    NotStarted {
        message: String,
        /// Of the system; 0 where there is none.
        errno: i32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Exceeded {
    Timeout,
    Cpu,
    /// So many bytes were in use.
    Memory(u64),
    /// So many processes ran.
    Processes(u32),
    /// So many bytes lay in its folder, or one file came to be too long.
    Files,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub end: End,
    /// Bytes that were sent to it and that nobody read.
    pub unread: u64,
    /// Processes that were still there when it ended, and were killed.
    pub left: u32,
    /// Of these, the name of one that could still have written to the standard output.
    pub still_writing: Option<String>,
    /// The kernel keeps the program from the rest of the file system.
    pub confined: bool,
}

impl Report {
    pub(super) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}
