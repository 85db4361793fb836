//! Which task runs next, and where: higher priority first, then the job with the fewest attempts running; on a worker that
//! holds the data if there is one among the next tasks, but a slot never idles to wait for it.

use std::collections::BTreeSet;

use shardmill_common::ids::{AttemptId, JobId, ObjectId, TaskId, WorkerId};
use shardmill_common::task::{Launch, TaskKind, TaskOutput, TaskPlace, TaskRange, TaskSpec};

use super::event::{Action, JournalOp};
use super::job::{Done, Job, Running, Stage, Task, TaskState};
use super::state::Scheduler;
use super::workers::Worker;

/// Waiting tasks looked through for one whose data is at the worker.
const LOCALITY_WINDOW: usize = 64;
/// For so long after a round began its tasks wait for the workers that ran them in the round before.
const HOME_WAIT_MS: i64 = 1000;

/// Whether a task could start.
enum Readiness {
    Ready,
    /// An earlier task is being made again.
    WaitsForTask,
    /// An object it needs has no holder that answers.
    WaitsForObject(ObjectId),
}

impl Scheduler {
    pub(super) fn assign(&mut self) {
        self.skip_impossible_copies();
        loop {
            let mut started = false;
            for worker in self.free_workers() {
                if let Some(task) = self.choose(worker) {
                    self.launch(worker, task);
                    started = true;
                }
            }
            if !started {
                break;
            }
        }
    }

    /// Workers with a free slot, the least busy first.
    fn free_workers(&self) -> Vec<WorkerId> {
        let mut free: Vec<&Worker> = self.workers.values().filter(|w| w.has_room(0)).collect();
        free.sort_by_key(|w| (w.running.len(), w.id()));
        free.into_iter().map(Worker::id).collect()
    }

    /// Jobs in the order in which they get the next slot.
    fn by_turn(&self) -> Vec<JobId> {
        let mut jobs: Vec<&Job> = self.jobs.values().filter(|j| !j.publishing).collect();
        jobs.sort_by_key(|j| (-i64::from(j.priority), j.running, j.id));
        jobs.into_iter().map(|j| j.id).collect()
    }

    fn choose(&self, worker: WorkerId) -> Option<TaskId> {
        let room = self.workers.get(&worker)?;
        for id in self.by_turn() {
            let Some(job) = self.jobs.get(&id) else { continue };
            for (number, stage) in job.stages.iter().enumerate() {
                let mut fallback = None;
                let mut looked_at = 0;
                for task_number in &stage.waiting {
                    let Some(task) = stage.task(*task_number) else { continue };
                    if task.not_before > self.now
                        || !room.has_room(task.spec.memory)
                        || !self.may_run_here(job, &task.spec, worker)
                    {
                        continue;
                    }
                    // Somewhere else is better than where it failed, as long as there is somewhere else.
                    if task.failed_on.contains(&worker) && self.others_could(job, task) {
                        continue;
                    }
                    if !self.is_ready(job, &task.spec) || self.belongs_elsewhere(job, stage, *task_number, worker) {
                        continue;
                    }
                    let found = TaskId { job: id, stage: number as u32, task: *task_number };
                    if self.is_local(job, &task.spec, worker) {
                        return Some(found);
                    }
                    fallback.get_or_insert(found);
                    looked_at += 1;
                    if looked_at >= LOCALITY_WINDOW {
                        break;
                    }
                }
                if fallback.is_some() {
                    return fallback;
                }
            }
        }
        None
    }

    /// Whether a training task had better wait for the worker that has its features in memory: that one is busy with other
    /// tasks of the round, and will take it soon.
    fn belongs_elsewhere(&self, job: &Job, stage: &Stage, task: u32, worker: WorkerId) -> bool {
        stage.task(task).is_some_and(|t| matches!(t.spec.kind, TaskKind::Learn(_)))
            && self.now - stage.planned_at < HOME_WAIT_MS
            && job.homes.get(&task).is_some_and(|home| *home != worker && self.is_alive(*home))
    }

    fn others_could(&self, job: &Job, task: &Task) -> bool {
        self.workers.values().any(|w| {
            w.is_alive()
                && !w.draining
                && !task.failed_on.contains(&w.id())
                && self.may_run_here(job, &task.spec, w.id())
        })
    }

    /// A copy goes where the object is not; anything else may run anywhere.
    fn may_run_here(&self, job: &Job, spec: &TaskSpec, worker: WorkerId) -> bool {
        match &spec.kind {
            TaskKind::Copy(_) => {
                let missing = self.copy_objects(job, spec).any(|o| !self.objects.is_at(o, worker));
                // Copies spread: of two workers that lack the object, the one that stores less takes it.
                missing && !self.has_better_target(job, spec, worker)
            }
            kind if kind.runs_programs() => self.workers.get(&worker).is_some_and(|w| w.allow_programs),
            _ => true,
        }
    }

    fn has_better_target(&self, job: &Job, spec: &TaskSpec, worker: WorkerId) -> bool {
        let Some(mine) = self.workers.get(&worker) else { return true };
        self.workers.values().any(|other| {
            other.id() != worker
                && other.has_room(0)
                && other.stored_bytes.saturating_add(64 << 20) < mine.stored_bytes
                && self.copy_objects(job, spec).any(|o| !self.objects.is_at(o, other.id()))
        })
    }

    /// The objects a copy task is about: published ones, or what tasks of the job wrote.
    fn copy_objects<'a>(&'a self, job: &'a Job, spec: &'a TaskSpec) -> impl Iterator<Item = ObjectId> + 'a {
        let (objects, made) = match &spec.kind {
            TaskKind::Copy(copy) => (copy.objects.as_slice(), copy.made.as_slice()),
            _ => (&[][..], &[][..]),
        };
        let made = made
            .iter()
            .flat_map(|range| range.tasks())
            .filter_map(|(stage, task)| job.done(stage, task))
            .flat_map(|done| done.output.wrote.iter().map(|o| o.id));
        objects.iter().map(|o| o.id).chain(made)
    }

    fn readiness(&self, job: &Job, spec: &TaskSpec) -> Readiness {
        if !spec.reads.iter().all(|range| job.range_is_done(*range) && self.range_is_at_hand(job, *range)) {
            return Readiness::WaitsForTask;
        }
        match spec.objects.iter().find(|o| !self.objects.holders(**o).any(|w| self.is_alive(w))) {
            Some(object) => Readiness::WaitsForObject(*object),
            None => Readiness::Ready,
        }
    }

    pub(super) fn is_ready(&self, job: &Job, spec: &TaskSpec) -> bool {
        matches!(self.readiness(job, spec), Readiness::Ready)
    }

    /// Whether the outputs of these tasks can be read now: a worker that is away may come back with them.
    fn range_is_at_hand(&self, job: &Job, range: TaskRange) -> bool {
        range.tasks().filter_map(|(stage, task)| job.done(stage, task)).all(|done| {
            self.is_alive(done.worker)
                || done.output.shuffle.is_none()
                    && done.output.wrote.iter().all(|o| self.objects.holders(o.id).any(|w| self.is_alive(w)))
        })
    }

    fn is_local(&self, job: &Job, spec: &TaskSpec, worker: WorkerId) -> bool {
        if spec.objects.iter().any(|o| self.objects.is_at(*o, worker)) {
            return true;
        }
        // A task that reads one shard of an earlier stage belongs where that shard was made; one that reads a whole
        // stage's shuffle is at home anywhere.
        let mut single = spec.reads.iter().filter(|r| r.to - r.from == 1).peekable();
        if single.peek().is_none() {
            return spec.objects.is_empty();
        }
        single.flat_map(|r| r.tasks()).any(|(stage, task)| job.done(stage, task).is_some_and(|d| d.worker == worker))
    }

    /// Whether a waiting task of the job waits for an object that nobody who answers holds.
    pub(super) fn missing_object(&self, job: &Job) -> Option<ObjectId> {
        job.stages.iter().flat_map(|s| s.waiting.iter().filter_map(|t| s.task(*t))).find_map(|task| {
            match self.readiness(job, &task.spec) {
                Readiness::WaitsForObject(object) => Some(object),
                Readiness::Ready | Readiness::WaitsForTask => None,
            }
        })
    }

    /// Starts an attempt of a task that waits, or a second one of a task that runs.
    pub(super) fn launch(&mut self, worker: WorkerId, id: TaskId) {
        let attempt = self.next_attempt(id);
        let Some(job) = self.jobs.get(&id.job) else { return };
        let Some(task) = job.task(id.stage, id.task) else { return };
        let launch = self.launch_message(job, task, attempt, worker);
        let memory = task.spec.memory;
        let since = self.now;
        let Some(job) = self.jobs.get_mut(&id.job) else { return };
        job.running += 1;
        job.starved_since = None;
        let Some(stage) = job.stages.get_mut(id.stage as usize) else { return };
        stage.waiting.remove(&id.task);
        let Some(task) = stage.tasks.get_mut(id.task as usize) else { return };
        let running = Running { attempt, worker, since, rows: 0, bytes: 0 };
        match &mut task.state {
            TaskState::Running(attempts) => attempts.push(running),
            state => *state = TaskState::Running(vec![running]),
        }
        if let Some(w) = self.workers.get_mut(&worker) {
            w.running.insert(attempt, memory);
        }
        self.actions.push(Action::Launch { worker, launch: Box::new(launch) });
    }

    fn launch_message(&self, job: &Job, task: &Task, attempt: AttemptId, worker: WorkerId) -> Launch {
        let spec = &task.spec;
        let last_try = task.failures + 1 >= self.options.max_attempts;
        let mut kind = spec.kind.clone();
        if let TaskKind::Copy(copy) = &mut kind {
            // The objects are named now, since a task that was run again made new ones.
            let made = copy.made.iter().flat_map(|r| r.tasks()).filter_map(|(s, t)| job.done(s, t));
            let objects: Vec<_> = made.flat_map(|d| d.output.wrote.iter().cloned()).collect();
            copy.objects.extend(objects);
            copy.objects.retain(|o| !self.objects.is_at(o.id, worker));
            copy.made.clear();
        }
        let places: Vec<TaskPlace> = spec
            .reads
            .iter()
            .flat_map(|r| r.tasks())
            .filter_map(|(stage, task)| job.done(stage, task))
            .map(|d: &Done| TaskPlace {
                attempt: d.attempt,
                worker: d.worker,
                shards: d.output.shards().cloned().collect(),
            })
            .collect();
        let mut wanted: BTreeSet<ObjectId> = spec.objects.iter().copied().collect();
        if let TaskKind::Copy(copy) = &kind {
            wanted.extend(copy.objects.iter().map(|o| o.id));
        }
        wanted
            .extend(places.iter().flat_map(|p| &p.shards).flat_map(|s| s.objects().map(|o| o.id).collect::<Vec<_>>()));
        let holders: Vec<(ObjectId, Vec<WorkerId>)> =
            wanted.iter().map(|o| (*o, self.live_holders(*o))).filter(|(_, h)| !h.is_empty()).collect();
        let peers =
            self.peers(places.iter().map(|p| p.worker).chain(holders.iter().flat_map(|(_, h)| h.iter().copied())));
        Launch { attempt, kind, last_try, places, holders, peers }
    }

    /// A copy for which no worker is left (one died since it was planned) is given up: the repair does it later.
    fn skip_impossible_copies(&mut self) {
        let mut skipped = Vec::new();
        for job in self.jobs.values().filter(|j| !j.publishing) {
            for (number, stage) in job.stages.iter().enumerate() {
                for task_number in &stage.waiting {
                    let Some(task) = stage.task(*task_number) else { continue };
                    if !Job::is_copy(&task.spec.kind) || !self.is_ready(job, &task.spec) {
                        continue;
                    }
                    let possible = self
                        .workers
                        .values()
                        .filter(|w| w.is_alive() && !w.draining)
                        .any(|w| self.copy_objects(job, &task.spec).any(|o| !self.objects.is_at(o, w.id())));
                    if !possible {
                        skipped.push(TaskId { job: job.id, stage: number as u32, task: *task_number });
                    }
                }
            }
        }
        let touched = !skipped.is_empty();
        for id in skipped {
            let attempt = self.next_attempt(id);
            let Some((worker, incarnation)) = self.workers.values().next().map(|w| (w.id(), w.incarnation)) else {
                return;
            };
            let Some(job) = self.jobs.get_mut(&id.job) else { continue };
            let Some(stage) = job.stages.get_mut(id.stage as usize) else { continue };
            let Some(task) = stage.tasks.get_mut(id.task as usize) else { continue };
            let done = Box::new(Done { attempt, worker, incarnation, output: TaskOutput::default(), seconds: 0.0 });
            task.state = TaskState::Done(done.clone());
            stage.waiting.remove(&id.task);
            stage.done += 1;
            self.actions.push(Action::Journal(JournalOp::TaskDone {
                job: id.job,
                stage: id.stage,
                task: id.task,
                done,
            }));
        }
        if touched {
            self.advance();
        }
    }
}
