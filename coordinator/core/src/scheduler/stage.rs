//! A stage and its tasks. Every change of a task's state goes through here, so that what is kept of the whole stage (who waits,
//! who runs, whose outputs are where, the sums that people see) is right without anybody walking the tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shardmill_common::ids::{AttemptId, Incarnation, WorkerId};
use shardmill_common::shared::{Part, collecting};
use shardmill_common::task::{TaskKind, TaskPlace, TaskSpec};

use super::job::{Done, Running, Task, TaskState};
use super::sums::StageSums;
use crate::jobs::Planned;
use crate::tables::{Forgotten, StageRow};
use serde::Serialize;

#[derive(Clone, Debug)]
pub struct Stage {
    pub name: String,
    pub tasks: Vec<Task>,
    /// Earlier stages whose shuffle output this or a later stage may still read.
    pub keeps: Vec<u32>,
    /// Tasks in `Waiting`, by number.
    pub waiting: BTreeSet<u32>,
    /// Tasks in `Running`, by number.
    pub running: BTreeSet<u32>,
    pub done: u32,
    pub retried: u64,
    pub memo: Option<serde_json::Value>,
    /// Tasks that were done and dropped: a later stage's memo holds what they found.
    pub forgotten: u32,
    pub planned_at: i64,
    /// When its last task ended, if that was since the coordinator started.
    pub finished_at: Option<i64>,
    /// How many of the tasks that are done each process made.
    pub makers: BTreeMap<(WorkerId, Incarnation), u32>,
    pub sums: StageSums,
    /// What its tasks share.
    pub parts: Vec<Part>,
    /// Some of its tasks copy.
    pub copies: bool,
    /// All of its tasks run programs that users bring.
    pub runs_programs: bool,
    /// Raised whenever the output of a task comes or goes.
    version: u64,
    /// Where the outputs are, as of that version.
    places: Option<Arc<StagePlaces>>,
}

/// Where the outputs of all tasks of a stage are that are done: what is sent once to a worker that reads many of them.
#[derive(Debug, PartialEq)]
pub struct StagePlaces {
    pub version: u64,
    /// In the order of the tasks, without their shards.
    pub places: Vec<TaskPlace>,
}

/// [`StageRow`] without a copy of what may be large.
#[derive(Serialize)]
struct StageRowRef<'a> {
    name: &'a str,
    tasks: Vec<&'a TaskSpec>,
    keeps: &'a [u32],
    memo: Option<&'a serde_json::Value>,
    forgotten: Option<ForgottenRef<'a>>,
}

#[derive(Serialize)]
struct ForgottenRef<'a> {
    tasks: u32,
    sums: &'a StageSums,
}

impl Stage {
    pub fn new(planned: Planned, now: i64) -> Self {
        let waiting = (0..planned.tasks.len() as u32).collect();
        let sums = StageSums::planned(planned.tasks.iter());
        let copies = planned.tasks.iter().any(|t| matches!(t.kind, TaskKind::Copy(_)));
        let runs_programs = planned.tasks.iter().all(|t| t.kind.runs_programs());
        Self {
            name: planned.name,
            tasks: planned.tasks.into_iter().map(Task::new).collect(),
            keeps: planned.keeps,
            waiting,
            running: BTreeSet::new(),
            done: 0,
            retried: 0,
            memo: planned.memo,
            forgotten: 0,
            planned_at: now,
            finished_at: None,
            makers: BTreeMap::new(),
            sums,
            parts: Vec::new(),
            copies,
            runs_programs,
            version: 0,
            places: None,
        }
    }

    /// A stage as the journal has it, none of whose tasks are known to be done.
    pub fn replayed(row: StageRow, now: i64) -> Self {
        let StageRow { name, tasks, keeps, memo, forgotten } = row;
        let mut stage = Self::new(Planned { name, tasks, keeps, memo, forgets: Vec::new() }, now);
        // Whatever it gives: of interest are the parts.
        stage.parts = collecting(|| serde_json::to_writer(std::io::sink(), &stage.row()).is_ok()).1;
        match forgotten {
            None => stage,
            Some(Forgotten { tasks, sums }) => Self { forgotten: tasks, sums, ..stage },
        }
    }

    /// Its row in the journal.
    pub fn row(&self) -> impl Serialize + '_ {
        StageRowRef {
            name: &self.name,
            tasks: self.tasks.iter().map(|t| &t.spec).collect(),
            keeps: &self.keeps,
            memo: self.memo.as_ref(),
            forgotten: (self.forgotten > 0).then_some(ForgottenRef { tasks: self.forgotten, sums: &self.sums }),
        }
    }

    pub fn is_done(&self) -> bool {
        self.done as usize == self.tasks.len()
    }

    pub fn task(&self, number: u32) -> Option<&Task> {
        self.tasks.get(number as usize)
    }

    /// Rows and bytes that the attempts which run have read so far.
    pub fn under_way(&self) -> (u64, u64) {
        let furthest = |n: &u32| {
            let attempts = self.task(*n)?.running();
            Some((attempts.iter().map(|r| r.rows).max()?, attempts.iter().map(|r| r.bytes).max()?))
        };
        self.running.iter().filter_map(furthest).fold((0, 0), |sum, (rows, bytes)| (sum.0 + rows, sum.1 + bytes))
    }

    /// The attempt that has run longest, and its task.
    pub fn oldest(&self) -> Option<(u32, &Running)> {
        let running = self.running.iter().filter_map(|n| Some((*n, self.task(*n)?)));
        running.flat_map(|(n, t)| t.running().iter().map(move |r| (n, r))).min_by_key(|(_, r)| r.since)
    }

    /// What the first of its running programs that said something last said of itself.
    pub fn said(&self) -> Option<String> {
        let running = self.running.iter().filter_map(|n| self.task(*n));
        running.flat_map(Task::running).find_map(|r| r.status.clone())
    }

    /// Drops the tasks of a stage that is done and left no files behind; says whether it did.
    pub(super) fn forget(&mut self) -> bool {
        let left_files = |t: &Task| match &t.state {
            TaskState::Done(done) => !done.output.wrote.is_empty() || done.output.shuffle.is_some(),
            _ => true,
        };
        if self.tasks.iter().any(left_files) {
            return false;
        }
        self.forgotten += self.tasks.len() as u32;
        self.tasks = Vec::new();
        self.memo = None;
        self.parts = Vec::new();
        self.done = 0;
        self.makers.clear();
        self.sums.forget();
        self.outputs_changed();
        true
    }

    /// An attempt was sent to a worker.
    pub(super) fn start(&mut self, number: u32, attempt: AttemptId, worker: WorkerId, since: i64) {
        let Some(task) = self.tasks.get_mut(number as usize) else { return };
        task.tries += 1;
        let running = Running { attempt, number: task.tries, worker, since, rows: 0, bytes: 0, status: None };
        match &mut task.state {
            TaskState::Running(attempts) => attempts.push(running),
            state => *state = TaskState::Running(vec![running]),
        }
        self.waiting.remove(&number);
        self.running.insert(number);
    }

    /// An attempt is over, however it ended. `None` where it was not running: a late or repeated report.
    pub(super) fn take_off(&mut self, attempt: AttemptId) -> Option<Running> {
        let number = attempt.task.task;
        let task = self.tasks.get_mut(number as usize)?;
        let TaskState::Running(attempts) = &mut task.state else { return None };
        let at = attempts.iter().position(|r| r.attempt == attempt)?;
        let running = attempts.remove(at);
        if attempts.is_empty() {
            task.state = TaskState::Waiting;
            self.running.remove(&number);
            self.waiting.insert(number);
        }
        Some(running)
    }

    /// A task is done. Returns its other attempts, which lost.
    pub(super) fn finish(&mut self, number: u32, done: Box<Done>, now: i64) -> Vec<Running> {
        let Some(task) = self.tasks.get_mut(number as usize) else { return Vec::new() };
        *self.makers.entry((done.worker, done.incarnation)).or_insert(0) += 1;
        self.sums.add(number, &task.spec.kind, &done);
        let losers = match std::mem::replace(&mut task.state, TaskState::Done(done)) {
            TaskState::Running(others) => others,
            _ => Vec::new(),
        };
        self.waiting.remove(&number);
        self.running.remove(&number);
        self.done += 1;
        if self.is_done() {
            self.finished_at = Some(now);
        }
        self.outputs_changed();
        losers
    }

    /// A task that was done is to be done again. Returns what it had left.
    pub(super) fn reset(&mut self, number: u32) -> Option<Box<Done>> {
        let task = self.tasks.get_mut(number as usize)?;
        let done = match std::mem::replace(&mut task.state, TaskState::Waiting) {
            TaskState::Done(done) => done,
            other => {
                task.state = other;
                return None;
            }
        };
        let maker = (done.worker, done.incarnation);
        if let Some(count) = self.makers.get_mut(&maker) {
            *count -= 1;
            if *count == 0 {
                self.makers.remove(&maker);
            }
        }
        self.sums.remove(&task.spec.kind, &done);
        if self.sums.lost_an_extreme(number) {
            self.sums.find_extremes(&self.tasks);
        }
        self.done -= 1;
        self.retried += 1;
        self.waiting.insert(number);
        self.outputs_changed();
        Some(done)
    }

    fn outputs_changed(&mut self) {
        self.version += 1;
        self.places = None;
    }

    /// Where the outputs of its tasks are; made once for all who ask before the next change.
    pub(super) fn shared_places(&mut self) -> Arc<StagePlaces> {
        if let Some(places) = &self.places {
            return places.clone();
        }
        let done = self.tasks.iter().filter_map(|t| match &t.state {
            TaskState::Done(done) => Some(done),
            _ => None,
        });
        let places = done.map(|d| TaskPlace { attempt: d.attempt, worker: d.worker, shards: Vec::new() }).collect();
        let places = Arc::new(StagePlaces { version: self.version, places });
        self.places = Some(places.clone());
        places
    }
}
