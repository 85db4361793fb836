//! Jobs, stages and tasks as the scheduler keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use shardmill_common::counters::Counters;
use shardmill_common::failure::Failure;
use shardmill_common::ids::{AttemptId, Incarnation, JobId, ObjectId, TaskId, WorkerId};
use shardmill_common::manifest::ShardEntry;
use shardmill_common::shared::{Digest, Part};
use shardmill_common::task::{TaskKind, TaskOutput, TaskRange, TaskSpec};

use super::stage::Stage;
use super::state::is_journalled;
use crate::jobs::{Planned, ResolvedJob, planner};
use crate::tables::JobRow;
use shardmill_common::time::Timestamp;

/// How a job ended, if it published nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    Failed(Failure),
    Cancelled,
    /// A repair: nothing to publish, nothing to report.
    Quiet,
}

/// One running attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    pub attempt: AttemptId,
    /// Its place among the task's attempts, from 1.
    pub number: u32,
    pub worker: WorkerId,
    pub since: i64,
    pub rows: u64,
    pub bytes: u64,
    /// What its program last said of itself.
    pub status: Option<String>,
}

/// The attempt that won, and where its output is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    pub attempt: AttemptId,
    pub worker: WorkerId,
    pub incarnation: Incarnation,
    pub output: TaskOutput,
    pub seconds: f64,
}

/// ```text
///            launch                 first success
///  Waiting ----------> Running(1..2) -------------> Done
///     ^                   |                           |
///     +-------------------+  last attempt failed      |
///     +-----------------------------------------------+  its output was lost
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum TaskState {
    Waiting,
    Running(Vec<Running>),
    Done(Box<Done>),
}

#[derive(Clone, Debug)]
pub struct Task {
    pub spec: TaskSpec,
    pub state: TaskState,
    /// Attempts sent to workers.
    pub tries: u32,
    /// Attempts that failed and count.
    pub failures: u32,
    /// Attempts lost to the faults of others.
    pub losses: u32,
    /// After a loss it is not tried again before this time, so that a fault of some seconds does not use up its attempts.
    pub not_before: i64,
    /// Workers on which it failed; others are preferred.
    pub failed_on: Vec<WorkerId>,
}

impl Task {
    pub fn new(spec: TaskSpec) -> Self {
        Self { spec, state: TaskState::Waiting, tries: 0, failures: 0, losses: 0, not_before: 0, failed_on: Vec::new() }
    }

    /// The attempts that run now.
    pub fn running(&self) -> &[Running] {
        match &self.state {
            TaskState::Running(attempts) => attempts,
            _ => &[],
        }
    }

    /// The attempt that won.
    pub fn done(&self) -> Option<&Done> {
        match &self.state {
            TaskState::Done(done) => Some(done),
            _ => None,
        }
    }
}

/// A job that is under way.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    pub resolved: ResolvedJob,
    pub who: String,
    pub priority: i32,
    pub deadline: Option<Timestamp>,
    pub submitted: Timestamp,
    pub stages: Vec<Stage>,
    /// What tasks of its stages share.
    pub parts: BTreeMap<Digest, Part>,
    /// Attempts running now, for fairness.
    pub running: u32,
    /// Since when nothing of it could run for want of a worker or an object.
    pub starved_since: Option<i64>,
    /// Why, for messages.
    pub starved_for: Option<String>,
    /// The plan is complete and handed to the catalog.
    pub publishing: bool,
    /// The worker that last ran a training task of this number: it has the shard's features in memory.
    pub homes: BTreeMap<u32, WorkerId>,
}

impl Job {
    pub fn new(id: JobId, row: JobRow) -> Self {
        let JobRow { resolved, who, priority, deadline, submitted } = row;
        Self {
            id,
            resolved,
            who,
            priority,
            deadline,
            submitted,
            stages: Vec::new(),
            parts: BTreeMap::new(),
            running: 0,
            starved_since: None,
            starved_for: None,
            publishing: false,
            homes: BTreeMap::new(),
        }
    }

    /// Whether it is in the journal: the coordinator's own jobs are planned anew after a restart.
    pub fn is_journalled(&self) -> bool {
        is_journalled(self.id)
    }

    /// Its row in the journal.
    pub fn row(&self) -> JobRow {
        JobRow {
            resolved: self.resolved.clone(),
            who: self.who.clone(),
            priority: self.priority,
            deadline: self.deadline,
            submitted: self.submitted,
        }
    }

    pub fn task(&self, stage: u32, task: u32) -> Option<&Task> {
        self.stages.get(stage as usize)?.task(task)
    }

    pub fn task_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        self.stages.get_mut(id.stage as usize)?.tasks.get_mut(id.task as usize)
    }

    /// Adds a planned stage, and drops the tasks of those it makes superfluous; returns which were dropped.
    pub(super) fn plan(&mut self, planned: Planned, now: i64) -> Vec<u32> {
        let mut forgotten = planned.forgets.clone();
        forgotten.retain(|f| self.stages.get_mut(*f as usize).is_some_and(Stage::forget));
        self.stages.push(Stage::new(planned, now));
        forgotten
    }

    /// Takes what the tasks of a new stage share; returns what the job did not have before.
    pub(super) fn share(&mut self, stage: u32, parts: Vec<Part>) -> Vec<Part> {
        let new: Vec<Part> = parts.iter().filter(|part| !self.parts.contains_key(&part.digest)).cloned().collect();
        self.parts.extend(new.iter().map(|part| (part.digest, part.clone())));
        if let Some(stage) = self.stages.get_mut(stage as usize) {
            stage.parts = parts;
        }
        new
    }

    /// Drops what no stage's tasks share any more.
    pub(super) fn drop_parts(&mut self) -> Vec<Digest> {
        let used: BTreeSet<Digest> = self.stages.iter().flat_map(|s| &s.parts).map(|part| part.digest).collect();
        let gone: Vec<Digest> = self.parts.keys().filter(|digest| !used.contains(digest)).copied().collect();
        gone.iter().for_each(|digest| drop(self.parts.remove(digest)));
        gone
    }

    /// The winning attempt of a task.
    pub fn done(&self, stage: u32, task: u32) -> Option<&Done> {
        self.task(stage, task)?.done()
    }

    pub fn range_is_done(&self, range: TaskRange) -> bool {
        match self.stages.get(range.stage as usize) {
            Some(stage) if stage.is_done() => true,
            _ => range.tasks().all(|(stage, task)| self.done(stage, task).is_some()),
        }
    }

    pub fn all_done(&self) -> bool {
        self.stages.iter().all(Stage::is_done)
    }

    /// Counters of every task that is done. Copies are housekeeping and have none.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for stage in &self.stages {
            sum.merge(&stage.sums.counters);
        }
        let known = sum.clone();
        // They are for people: a planner that panics over them must not end the coordinator.
        catch_unwind(AssertUnwindSafe(|| planner(&self.resolved.spec).counters(&self.resolved, sum, &|| self.views())))
            .unwrap_or(known)
    }

    /// The rounds of a training so far.
    pub fn rounds(&self) -> Vec<shardmill_common::model::Round> {
        catch_unwind(AssertUnwindSafe(|| planner(&self.resolved.spec).rounds(&|| self.views()))).unwrap_or_default()
    }

    /// The stages as the planner sees them: only whole when all are done.
    pub fn views(&self) -> Vec<crate::jobs::StageView<'_>> {
        self.stages
            .iter()
            .map(|stage| crate::jobs::StageView {
                name: &stage.name,
                memo: stage.memo.as_ref(),
                seconds: stage.finished_at.map_or(0.0, |end| (end - stage.planned_at) as f64 / 1000.0),
                tasks: stage.tasks.iter().map(|t| (&t.spec.kind, t.done().map(|d| &d.output))).collect(),
            })
            .collect()
    }

    /// Done tasks from a stage on whose shard refers to one of these objects without having written it.
    pub(super) fn tasks_showing(&self, from_stage: u32, objects: &BTreeSet<ObjectId>) -> Vec<TaskId> {
        let mut found = Vec::new();
        for (stage, s) in (0u32..).zip(&self.stages).skip(from_stage as usize) {
            for (task, t) in (0u32..).zip(&s.tasks) {
                if let Some(done) = t.done()
                    && done.output.shards().flat_map(ShardEntry::objects).any(|o| objects.contains(&o.id))
                {
                    found.push(TaskId { job: self.id, stage, task });
                }
            }
        }
        found
    }

    /// Whether a task of it waits that only a worker that allows programs may run.
    pub(super) fn waits_for_programs(&self) -> bool {
        let waiting =
            |stage: &Stage| stage.waiting.iter().any(|n| stage.task(*n).is_some_and(|t| t.spec.kind.runs_programs()));
        self.stages.iter().any(waiting)
    }

    pub fn is_copy(kind: &TaskKind) -> bool {
        matches!(kind, TaskKind::Copy(_))
    }
}
