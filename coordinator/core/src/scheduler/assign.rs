//! Which task runs next, and where: higher priority first, then the job with the fewest attempts running; on a worker that
//! holds the data if there is one among the next tasks, but a slot never idles to wait for it.

use shardmill_common::ids::{JobId, ObjectId, TaskId, WorkerId};
use shardmill_common::task::{TaskKind, TaskOutput, TaskSpec};

use super::event::Action;
use super::job::{Done, Job, Task};
use super::places::Ranges;
use super::stage::Stage;
use super::state::{Scheduler, is_journalled};
use super::workers::Worker;
use crate::effect::Effect;
use crate::tables::Tasks;

/// Waiting tasks looked through for one whose data is at the worker.
const LOCALITY_WINDOW: usize = 64;
/// For so long after a round began its tasks wait for the workers that ran them in the round before.
const HOME_WAIT_MS: i64 = 1000;

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
        let mut free: Vec<&Worker> = self.workers.values().filter(|w| w.has_slot()).collect();
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
        let here = self.workers.get(&worker)?;
        let room = here.room();
        for id in self.by_turn() {
            let Some(job) = self.jobs.get(&id) else { continue };
            let mut known = Ranges::default();
            for (number, stage) in job.stages.iter().enumerate() {
                if stage.runs_programs && !here.allow_programs {
                    continue;
                }
                let mut fallback = None;
                let mut looked_at = 0;
                for task_number in &stage.waiting {
                    let Some(task) = stage.task(*task_number) else { continue };
                    if task.not_before > self.now
                        || task.spec.memory > room
                        || !self.may_run_here(job, &task.spec, worker)
                    {
                        continue;
                    }
                    // Somewhere else is better than where it failed, as long as there is somewhere else.
                    if task.failed_on.contains(&worker) && self.others_could(job, task) {
                        continue;
                    }
                    if !self.is_ready(job, &task.spec, &mut known)
                        || self.belongs_elsewhere(job, stage, *task_number, worker)
                    {
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
    pub(super) fn may_run_here(&self, job: &Job, spec: &TaskSpec, worker: WorkerId) -> bool {
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
                && other.has_slot()
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

    /// Starts an attempt of a task that waits, or a second one of a task that runs.
    pub(super) fn launch(&mut self, worker: WorkerId, id: TaskId) {
        let attempt = self.next_attempt(id);
        let peers = self.all_peers();
        let Some(places) = self.jobs.get_mut(&id.job).map(|job| Self::shared_places(job, id)) else { return };
        let Some(job) = self.jobs.get(&id.job) else { return };
        let Some(task) = job.task(id.stage, id.task) else { return };
        let mut parts = job.stages.get(id.stage as usize).map_or(Vec::new(), |stage| stage.parts.clone());
        parts.extend(peers.part().ok().cloned());
        let launch = self.launch_message(job, task, attempt, worker, &places, peers);
        let memory = task.spec.memory;
        let since = self.now;
        let Some(job) = self.jobs.get_mut(&id.job) else { return };
        job.running += 1;
        job.starved_since = None;
        let Some(stage) = job.stages.get_mut(id.stage as usize) else { return };
        stage.start(id.task, attempt, worker, since);
        if let Some(w) = self.workers.get_mut(&worker) {
            w.running.insert(attempt, memory);
        }
        self.actions.push(Action::Do(Effect::Launch { worker, launch: Box::new(launch), places, parts }));
    }

    /// A copy for which no worker is left (one died since it was planned) is given up: the repair does it later.
    fn skip_impossible_copies(&mut self) {
        if std::mem::replace(&mut self.copies_checked, true) {
            return;
        }
        let mut skipped = Vec::new();
        for job in self.jobs.values().filter(|j| !j.publishing) {
            let mut known = Ranges::default();
            for (number, stage) in job.stages.iter().enumerate().filter(|(_, stage)| stage.copies) {
                for task_number in &stage.waiting {
                    let Some(task) = stage.task(*task_number) else { continue };
                    if !Job::is_copy(&task.spec.kind) || !self.is_ready(job, &task.spec, &mut known) {
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
            let done = Box::new(Done { attempt, worker, incarnation, output: TaskOutput::default(), seconds: 0.0 });
            if is_journalled(id.job) {
                self.ledger.put::<Tasks>(&(id.job, id.stage, id.task), &done);
            }
            stage.finish(id.task, done, self.now);
        }
        if touched {
            self.advance();
        }
    }
}
