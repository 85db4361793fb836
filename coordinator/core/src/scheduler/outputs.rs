//! What tasks made, and what happens when it is lost: it is made again, with whatever was built on it, and what nobody refers to
//! is deleted.

use std::collections::{BTreeMap, BTreeSet};

use shardmill_common::ids::{JobId, ObjectId, TaskId, WorkerId};

use super::event::Action;
use super::job::{Job, TaskState};
use super::stage::Stage;
use super::state::{Scheduler, is_journalled};
use crate::effect::Effect;
use crate::tables::Tasks;

impl Scheduler {
    /// Somebody else won, the job is over, or the report came twice: what nobody refers to goes. A copy of something that is
    /// referred to is as good as any.
    pub(super) fn stray_output(&mut self, worker: WorkerId, wrote: Vec<ObjectId>) {
        let (known, strays): (Vec<ObjectId>, Vec<ObjectId>) =
            wrote.into_iter().partition(|id| self.objects.get(*id).is_some_and(|o| o.is_referred_to()));
        for id in known {
            self.objects.add_holder(id, worker);
        }
        if !strays.is_empty() {
            self.actions.push(Action::Do(Effect::Delete { worker, objects: strays }));
        }
    }

    /// The output is made again. If its worker is gone, so are all its outputs of that stage: one failed fetch tells of all.
    pub(super) fn fetch_failed(&mut self, source: TaskId, worker: WorkerId) {
        let Some(stage) = self.jobs.get(&source.job).and_then(|j| j.stages.get(source.stage as usize)) else { return };
        let current = self.workers.get(&worker).filter(|w| w.is_alive()).map(|w| w.incarnation);
        let lost: Vec<TaskId> = (0u32..)
            .zip(&stage.tasks)
            .filter(|(number, task)| match &task.state {
                TaskState::Done(d) if d.worker == worker => *number == source.task || Some(d.incarnation) != current,
                _ => false,
            })
            .map(|(task, _)| TaskId { task, ..source })
            .collect();
        self.lose_outputs(lost);
    }

    /// A bad copy is deleted, so that a repair can write it anew, but never the last one: what is left of it may still be of
    /// use to somebody. A made object with no copy left is made again.
    pub(super) fn damaged(&mut self, worker: WorkerId, objects: &[ObjectId]) {
        let mut doomed = Vec::new();
        for id in objects {
            self.objects.remove_holder(*id, worker);
            let is_published = self.objects.get(*id).is_some_and(|o| o.published > 0);
            if !is_published || self.objects.holders(*id).next().is_some() {
                doomed.push(*id);
            }
        }
        if !doomed.is_empty() {
            self.actions.push(Action::Do(Effect::Delete { worker, objects: doomed }));
        }
        self.repair_checked = i64::MIN;
        self.reset_lost_outputs();
    }

    /// These tasks are to be done again, and with them those that put out what they wrote, with a deletion vector of their own.
    pub(super) fn lose_outputs(&mut self, tasks: Vec<TaskId>) {
        let mut lost = tasks;
        while !lost.is_empty() {
            let mut wrote: BTreeMap<JobId, (u32, BTreeSet<ObjectId>)> = BTreeMap::new();
            for id in lost {
                let Some(job) = self.jobs.get_mut(&id.job) else { continue };
                let Some(done) = job.stages.get_mut(id.stage as usize).and_then(|s| s.reset(id.task)) else { continue };
                if is_journalled(id.job) {
                    self.ledger.remove::<Tasks>(&(id.job, id.stage, id.task));
                }
                if done.output.wrote.is_empty() {
                    continue;
                }
                let (first_stage, objects) = wrote.entry(id.job).or_insert((id.stage, BTreeSet::new()));
                *first_stage = id.stage.min(*first_stage);
                for object in &done.output.wrote {
                    objects.insert(object.id);
                    self.objects.release_by_job(object.id);
                    self.delete_if_unused(object.id);
                }
            }
            lost = wrote
                .iter()
                .filter_map(|(job, (stage, objects))| Some(self.jobs.get(job)?.tasks_showing(stage + 1, objects)))
                .flatten()
                .collect();
        }
    }

    pub(super) fn delete_if_unused(&mut self, id: ObjectId) {
        for worker in self.objects.take_if_unused(id) {
            self.doomed.entry(worker).or_default().push(id);
        }
    }

    /// Whether every process that made outputs of this stage is there still, or may come back with them.
    fn makers_are_not_lost(&self, stage: &Stage) -> bool {
        stage.makers.keys().all(|(w, incarnation)| self.is_current(*w, *incarnation) && self.is_not_lost(*w))
    }

    /// Finds outputs of done tasks that are nowhere any more and are still needed, and has them made again.
    pub(super) fn reset_lost_outputs(&mut self) {
        let mut lost = Vec::new();
        for job in self.jobs.values().filter(|j| !j.publishing) {
            let last = job.stages.len();
            let keeps: Vec<u32> = job.stages.last().map(|s| s.keeps.clone()).unwrap_or_default();
            for (number, stage) in job.stages.iter().enumerate() {
                let shuffle_needed = number + 1 == last || keeps.contains(&(number as u32));
                for (task_number, task) in stage.tasks.iter().enumerate() {
                    let TaskState::Done(done) = &task.state else { continue };
                    let same = self.workers.get(&done.worker).is_some_and(|w| w.incarnation == done.incarnation);
                    let shuffle_lost =
                        done.output.shuffle.is_some() && shuffle_needed && !(same && self.is_not_lost(done.worker));
                    let object_lost =
                        done.output.wrote.iter().any(|o| !self.objects.holders(o.id).any(|w| self.is_not_lost(w)));
                    if shuffle_lost || object_lost {
                        lost.push(TaskId { job: job.id, stage: number as u32, task: task_number as u32 });
                    }
                }
            }
        }
        self.lose_outputs(lost);
        self.reset_missing_inputs();
    }

    /// A task that is to be made again needs its own inputs again, which nobody may have needed any more when they were lost.
    pub(super) fn reset_missing_inputs(&mut self) {
        loop {
            let missing: BTreeSet<TaskId> = self.jobs.values().flat_map(|job| self.missing_inputs(job)).collect();
            if missing.is_empty() {
                break;
            }
            self.lose_outputs(missing.into_iter().collect());
        }
    }

    /// Tasks whose shuffle output a waiting task reads and that vanished with its worker.
    fn missing_inputs(&self, job: &Job) -> Vec<TaskId> {
        if job.stages.iter().all(|stage| self.makers_are_not_lost(stage)) {
            return Vec::new();
        }
        let waiting = job.stages.iter().flat_map(|s| s.waiting.iter().filter_map(|n| s.task(*n)));
        let ranges: BTreeSet<(u32, u32, u32)> =
            waiting.flat_map(|t| t.spec.reads.iter().map(|r| (r.stage, r.from, r.to))).collect();
        let tasks = ranges.into_iter().flat_map(|(stage, from, to)| (from..to).map(move |task| (stage, task)));
        tasks
            .filter(|(stage, task)| {
                job.done(*stage, *task).is_some_and(|done| {
                    done.output.shuffle.is_some()
                        && !(self.is_current(done.worker, done.incarnation) && self.is_not_lost(done.worker))
                })
            })
            .map(|(stage, task)| TaskId { job: job.id, stage, task })
            .collect()
    }
}
