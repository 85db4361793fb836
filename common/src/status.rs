//! What a client sees of jobs, datasets and nodes.

use serde::{Deserialize, Serialize};

use crate::counters::Counters;
use crate::ids::{JobId, WorkerId};
use crate::model::{ModelRef, Round};
use crate::name::DatasetRef;
use crate::time::Timestamp;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Running,
    Done,
    Failed,
    Cancelled,
}

impl JobState {
    pub const fn is_final(self) -> bool {
        !matches!(self, JobState::Running)
    }

    pub const fn name(self) -> &'static str {
        match self {
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }
}

/// One stage of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageStatus {
    pub name: String,
    pub tasks: u64,
    pub running: u64,
    pub done: u64,
    /// Attempts that failed and were tried again.
    pub retried: u64,
    /// Rows that its tasks read, and how many of these are of attempts that still run.
    #[serde(default)]
    pub rows: u64,
    #[serde(default)]
    pub rows_running: u64,
    /// Bytes that its tasks put into the shuffle.
    #[serde(default)]
    pub shuffled: u64,
    /// Bytes that its tasks wrote to their own disks for want of memory.
    #[serde(default)]
    pub spilled: u64,
    /// Seconds of all its tasks that are done, together.
    #[serde(default)]
    pub seconds: f64,
    /// The task that took longest, and its seconds.
    #[serde(default)]
    pub slowest: Option<(u32, f64)>,
    /// The task that read most, and its rows.
    #[serde(default)]
    pub largest: Option<(u32, u64)>,
    /// The attempt that has run longest of those that run now: its task, its seconds and its worker.
    #[serde(default)]
    pub oldest: Option<(u32, f64, WorkerId)>,
    /// What a running program last said of itself.
    #[serde(default)]
    pub status: Option<String>,
}

impl StageStatus {
    /// Adds another round of the same stage.
    pub fn merge(&mut self, other: StageStatus) {
        self.tasks += other.tasks;
        self.running += other.running;
        self.done += other.done;
        self.retried += other.retried;
        self.rows += other.rows;
        self.rows_running += other.rows_running;
        self.shuffled += other.shuffled;
        self.spilled += other.spilled;
        self.seconds += other.seconds;
        if other.slowest.map_or(-1.0, |s| s.1) > self.slowest.map_or(-1.0, |s| s.1) {
            self.slowest = other.slowest;
        }
        if other.largest.map(|l| l.1) > self.largest.map(|l| l.1) {
            self.largest = other.largest;
        }
        self.oldest = other.oldest.or(self.oldest);
        self.status = other.status.or(self.status.take());
    }

    /// How many times as long as the mean task the slowest one took. `None` while fewer than two are done.
    pub fn time_skew(&self) -> Option<f64> {
        let (_, slowest) = self.slowest?;
        (self.done >= 2 && self.seconds > 0.0).then(|| slowest * self.done as f64 / self.seconds)
    }

    /// How many times as many rows as the mean task the largest one read. `None` while fewer than two are done.
    pub fn row_skew(&self) -> Option<f64> {
        let (_, largest) = self.largest?;
        let rows = self.rows.saturating_sub(self.rows_running);
        (self.done >= 2 && rows > 0).then(|| largest as f64 * self.done as f64 / rows as f64)
    }
}

/// One stage of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStage {
    pub name: String,
    /// Tasks, where that is known before anything ran.
    pub tasks: Option<u64>,
    /// What it does, for people.
    pub does: String,
}

/// What a job would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub kind: String,
    /// The versions it would read, with their rows and bytes.
    pub inputs: Vec<(DatasetRef, u64, u64)>,
    pub outputs: Vec<String>,
    pub stages: Vec<PlannedStage>,
    /// What a person should know before it runs.
    pub notes: Vec<String>,
}

/// What one attempt's program wrote to standard error, and why the attempt failed if it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLog {
    pub stage: u32,
    pub stage_name: String,
    pub task: u32,
    /// Counted from 1 within the task, since the coordinator started.
    pub attempt: u64,
    pub worker: WorkerId,
    pub ended: Timestamp,
    pub failed: bool,
    /// The failure's message.
    #[serde(default)]
    pub why: Option<String>,
    pub text: String,
}

/// The logs that are kept of a job, in the order in which the attempts ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLogs {
    pub attempts: Vec<AttemptLog>,
    /// Attempts whose log was left out because the job had written too much already, and its bytes.
    pub left_out: u64,
    pub left_out_bytes: u64,
}

/// A job as a client sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    pub job: JobId,
    pub kind: String,
    pub state: JobState,
    pub stages: Vec<StageStatus>,
    pub counters: Counters,
    /// Bytes of input that the job reads in its first stage, and how many are done: for the progress bar.
    pub bytes_total: u64,
    pub bytes_done: u64,
    pub rows_done: u64,
    /// The version it published.
    #[serde(default)]
    pub dataset: Option<DatasetRef>,
    pub rows: Option<u64>,
    /// The model it trained.
    #[serde(default)]
    pub model: Option<ModelRef>,
    /// Whether a training that is done converged.
    #[serde(default)]
    pub converged: Option<bool>,
    /// The rounds of a training so far.
    #[serde(default)]
    pub rounds: Vec<Round>,
    #[serde(default)]
    pub error: Option<String>,
    pub who: String,
    pub submitted: Timestamp,
    pub finished: Option<Timestamp>,
    /// What a person should know although the job went on: no worker alive, too few for the replicas.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// A dataset in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetSummary {
    pub dataset: DatasetRef,
    pub rows: u64,
    pub bytes: u64,
    pub shards: u64,
    pub columns: u64,
    pub replicas: u32,
    pub versions: u32,
    pub created: Timestamp,
}

/// How a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    Alive,
    /// Its session broke; it may come back with its work.
    Away,
    /// Its work was given away.
    Lost,
    /// It gets no more work, and what it holds is copied away.
    Draining,
    /// It may be stopped: nothing is only there.
    Drained,
}

impl NodeState {
    pub const ALL: [NodeState; 5] =
        [NodeState::Alive, NodeState::Away, NodeState::Lost, NodeState::Draining, NodeState::Drained];

    pub const fn name(self) -> &'static str {
        match self {
            NodeState::Alive => "alive",
            NodeState::Away => "away",
            NodeState::Lost => "lost",
            NodeState::Draining => "draining",
            NodeState::Drained => "drained",
        }
    }
}

/// A worker as the coordinator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub worker: WorkerId,
    pub url: String,
    pub state: NodeState,
    pub slots: u32,
    pub running: u32,
    pub memory: u64,
    pub objects: u64,
    pub bytes: u64,
    pub last_seen: Timestamp,
}
