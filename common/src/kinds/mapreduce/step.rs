//! A step of the user's: a statement in SQL, or a program that reads and writes streams.

use serde::{Deserialize, Serialize};

use crate::manifest::ObjectRef;
use crate::schema::Schema;

/// What a map or a reduce runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// One query over the tables it is given.
    Sql(String),
    Program(Program),
}

impl Step {
    pub const fn is_program(&self) -> bool {
        matches!(self, Step::Program(_))
    }
}

/// How rows travel to a program and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Lines of cells with tabs between them, without a header.
    #[default]
    Tsv,
    /// A JSON object a line.
    Jsonl,
    /// Arrow IPC streams.
    Arrow,
}

impl Format {
    pub const fn name(self) -> &'static str {
        match self {
            Format::Tsv => "tsv",
            Format::Jsonl => "jsonl",
            Format::Arrow => "arrow",
        }
    }
}

/// A program, run once a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Words as a shell would split them; no shell runs them.
    pub command: String,
    pub format: Format,
    /// The columns it writes. `None`: `key` and `value` (tsv), the keys and the line (jsonl, before a reduce), what the
    /// lines hold (jsonl, at the end), what the stream says (arrow).
    #[serde(default)]
    pub columns: Option<Schema>,
}

/// A file that came with the job and lies in every program's folder under its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippedFile {
    pub name: String,
    pub object: ObjectRef,
    /// The owner may execute it.
    #[serde(default)]
    pub executable: bool,
}

/// What one run of a program may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Seconds on the clock; `None`: no limit.
    pub timeout: Option<u64>,
    /// Seconds of processor time; `None`: no limit.
    pub cpu: Option<u64>,
    /// Bytes of memory of all its processes together; `None`: the task's share of the worker's.
    pub memory: Option<u64>,
    /// Bytes it may write to standard output, and to any file.
    pub output: u64,
    pub processes: u32,
    pub open_files: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: None, cpu: None, memory: None, output: 16 << 30, processes: 64, open_files: 256 }
    }
}

/// What every task of a user's job knows besides its step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    pub files: Vec<ShippedFile>,
    pub limits: Limits,
    /// Records that the job may skip because a step fails on them, once everything else was tried.
    pub skip_bad: u64,
}
