//! What the tasks of a stage that are done add up to: kept as they end, for everybody who watches.

use serde::{Deserialize, Serialize};
use shardmill_common::counters::{Counter, Counters};
use shardmill_common::task::{TaskKind, TaskOutput, TaskSpec};

use super::job::{Done, Task, TaskState};

/// Sums over a stage's tasks that are done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageSums {
    #[serde(default)]
    pub counters: Counters,
    /// Rows read.
    pub rows: u64,
    /// Bytes put into the shuffle.
    pub shuffled: u64,
    /// Bytes written to the tasks' own disks for want of memory.
    pub spilled: u64,
    pub seconds: f64,
    /// The task that took longest, and its seconds.
    pub slowest: Option<(u32, f64)>,
    /// The task that read most, and its rows.
    pub largest: Option<(u32, u64)>,
    /// Bytes of shards and chunks that all tasks read, done or not, and that those read which are done.
    pub bytes_total: u64,
    pub bytes_done: u64,
}

fn rows_of(output: &TaskOutput) -> u64 {
    output.read.max(output.counters.get(&Counter::RowsRead)).max(output.counters.get(&Counter::RowsIn))
}

fn shuffled_by(output: &TaskOutput) -> u64 {
    output.shuffle.iter().flatten().map(|size| size.bytes).sum()
}

impl StageSums {
    pub(super) fn planned<'a>(tasks: impl Iterator<Item = &'a TaskSpec>) -> Self {
        Self { bytes_total: tasks.map(|t| t.kind.input_bytes()).sum(), ..Self::default() }
    }

    pub(super) fn add(&mut self, number: u32, kind: &TaskKind, done: &Done) {
        let output = &done.output;
        self.counters.merge(&output.counters);
        self.rows += rows_of(output);
        self.shuffled += shuffled_by(output);
        self.spilled += output.spilled;
        self.seconds += done.seconds;
        self.bytes_done += kind.input_bytes();
        self.consider(number, done);
    }

    pub(super) fn remove(&mut self, kind: &TaskKind, done: &Done) {
        let output = &done.output;
        self.counters.take_away(&output.counters);
        self.rows = self.rows.saturating_sub(rows_of(output));
        self.shuffled = self.shuffled.saturating_sub(shuffled_by(output));
        self.spilled = self.spilled.saturating_sub(output.spilled);
        // Sums of fractions that are taken away again leave some dust.
        self.seconds = (self.seconds - done.seconds).max(0.0);
        self.bytes_done = self.bytes_done.saturating_sub(kind.input_bytes());
    }

    /// Whether these are the same sums, but for the dust of fractions and the sums that came to nothing.
    pub(super) fn agrees_with(&self, other: &StageSums) -> bool {
        let whole = |s: &StageSums| (s.rows, s.shuffled, s.spilled, s.bytes_total, s.bytes_done);
        let counted = |s: &StageSums| -> Vec<(Counter, u64)> {
            s.counters.0.iter().filter(|(_, n)| **n > 0).map(|(name, n)| (name.clone(), *n)).collect()
        };
        let longest = |s: &StageSums| s.slowest.map_or(0.0, |(_, seconds)| seconds);
        let most = |s: &StageSums| s.largest.map_or(0, |(_, rows)| rows);
        whole(self) == whole(other)
            && counted(self) == counted(other)
            && longest(self) == longest(other)
            && most(self) == most(other)
            && (self.seconds - other.seconds).abs() < 1e-6 * (1.0 + self.seconds)
    }

    fn consider(&mut self, number: u32, done: &Done) {
        if self.slowest.is_none_or(|(_, seconds)| done.seconds > seconds) {
            self.slowest = Some((number, done.seconds));
        }
        let rows = rows_of(&done.output);
        if self.largest.is_none_or(|(_, most)| rows > most) {
            self.largest = Some((number, rows));
        }
    }

    /// Whether a task that is to be done again was the slowest or the largest.
    pub(super) fn lost_an_extreme(&self, number: u32) -> bool {
        self.slowest.is_some_and(|(task, _)| task == number) || self.largest.is_some_and(|(task, _)| task == number)
    }

    pub(super) fn find_extremes(&mut self, tasks: &[Task]) {
        self.slowest = None;
        self.largest = None;
        for (number, task) in (0u32..).zip(tasks) {
            if let TaskState::Done(done) = &task.state {
                self.consider(number, done);
            }
        }
    }

    /// The tasks are dropped and their results are elsewhere: what they counted was theirs alone.
    pub(super) fn forget(&mut self) {
        self.counters = Counters::default();
    }
}
