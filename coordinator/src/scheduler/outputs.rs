//! What tasks made, and what happens when it is lost: it is made again, with whatever was built on it, and what nobody refers to
//! is deleted.

use std::collections::BTreeSet;

use shardmill_common::ids::{ObjectId, TaskId, WorkerId};

use super::event::{Action, JournalOp};
use super::job::{Job, TaskState};
use super::state::Scheduler;

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
            self.actions.push(Action::Delete { worker, objects: strays });
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
        for task in lost {
            self.lose_output(task);
        }
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
            self.actions.push(Action::Delete { worker, objects: doomed });
        }
        self.repair_checked = i64::MIN;
        self.reset_lost_outputs();
    }

    pub(super) fn lose_output(&mut self, task: TaskId) {
        if let Some(job) = self.jobs.get_mut(&task.job) {
            let wrote: Vec<ObjectId> = job
                .done(task.stage, task.task)
                .map(|d| d.output.wrote.iter().map(|o| o.id).collect())
                .unwrap_or_default();
            job.reset(task);
            // A later task may have put out the lost object again, with a deletion vector of its own: that is void, too.
            let heirs = job.tasks_showing(task.stage + 1, &wrote);
            for id in wrote {
                self.objects.release_by_job(id);
                self.delete_if_unused(id);
            }
            self.actions.push(Action::Journal(JournalOp::TaskLost {
                job: task.job,
                stage: task.stage,
                task: task.task,
            }));
            for heir in heirs {
                self.lose_output(heir);
            }
        }
    }

    pub(super) fn delete_if_unused(&mut self, id: ObjectId) {
        for worker in self.objects.take_if_unused(id) {
            self.actions.push(Action::Delete { worker, objects: vec![id] });
        }
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
        for task in lost {
            self.lose_output(task);
        }
        self.reset_missing_inputs();
    }

    /// A task that is to be made again needs its own inputs again, which nobody may have needed any more when they were lost.
    pub(super) fn reset_missing_inputs(&mut self) {
        loop {
            let missing: BTreeSet<TaskId> = self.jobs.values().flat_map(|job| self.missing_inputs(job)).collect();
            if missing.is_empty() {
                break;
            }
            for task in missing {
                self.lose_output(task);
            }
        }
    }

    /// Tasks whose shuffle output a waiting task reads and that vanished with its worker.
    fn missing_inputs(&self, job: &Job) -> Vec<TaskId> {
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
