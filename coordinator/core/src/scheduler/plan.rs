//! What follows when all stages of a job are done, and the end of jobs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shardmill_common::failure::Failure;
use shardmill_common::ids::{JobId, WorkerId};
use shardmill_common::manifest::ShardEntry;
use shardmill_common::shared::collecting;

use super::event::{Action, Planner};
use super::job::{Job, JobEnd, TaskState};
use super::stage::Stage;
use super::state::{Scheduler, is_journalled};
use super::workers::Worker;
use crate::effect::Effect;
use crate::jobs::{Next, Planned, Publication};
use crate::rows::Ledger;
use crate::tables::{Jobs, Parts, Stages, Tasks};

/// Asks the planner what follows. One that panics would do so again after every start: it fails its job, once and for good.
fn plan(planner: Planner, job: &Job, live_workers: u32) -> Result<Next, Failure> {
    let asked = catch_unwind(AssertUnwindSafe(|| planner(&job.resolved, &job.views(), live_workers)));
    asked.unwrap_or_else(|cause| {
        let after = job.stages.last().map_or("the start".to_owned(), |stage| format!("stage `{}`", stage.name));
        let kind = job.resolved.spec.kind();
        Err(Failure::internal(format!("the planner of {kind} panicked after {after}: {}", message_of(&*cause))))
    })
}

/// What a panic said.
pub(crate) fn message_of(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
    text.unwrap_or("it said nothing").to_owned()
}

impl Scheduler {
    /// Plans what follows in every job whose stages are all done.
    pub(super) fn advance(&mut self) {
        let ready: Vec<JobId> = self.jobs.values().filter(|j| !j.publishing && j.all_done()).map(|j| j.id).collect();
        for id in ready {
            let live = self.live_workers();
            let planner = self.planner;
            // A stage without tasks is done at once, so planning goes on until there is something to run.
            while let Some(job) = self.jobs.get_mut(&id)
                && job.all_done()
            {
                match plan(planner, job, live) {
                    Ok(Next::Stage(planned)) => {
                        self.planned(id, *planned);
                        self.copies_checked = false;
                    }
                    Ok(Next::Publish(publication)) => {
                        if !self.is_at_hand(&publication) {
                            // Its holder may come back; if not, what it held is made again.
                            break;
                        }
                        let Some(job) = self.jobs.get_mut(&id) else { break };
                        job.publishing = true;
                        self.actions.push(Action::Publish { job: id, publication });
                        break;
                    }
                    Ok(Next::Quiet) => {
                        self.end(id, Some(JobEnd::Quiet));
                        break;
                    }
                    Err(failure) => {
                        self.end(id, Some(JobEnd::Failed(failure)));
                        break;
                    }
                }
            }
        }
    }

    /// A job has a further stage.
    fn planned(&mut self, id: JobId, planned: Planned) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let number = job.stages.len() as u32;
        let forgotten = job.plan(planned, self.now);
        // Of the coordinator's own jobs nothing is kept.
        let mut rows = Ledger::default();
        for (n, stage) in forgotten.iter().filter_map(|n| Some((*n, job.stages.get(*n as usize)?))) {
            rows.put_as::<Stages>(&(id, n), &stage.row());
            rows.remove_all::<Tasks>(&(id, n));
        }
        let row = job.stages.get(number as usize).map(Stage::row);
        let ((), parts) = collecting(|| row.iter().for_each(|row| rows.put_as::<Stages>(&(id, number), row)));
        drop(row);
        for part in job.share(number, parts) {
            rows.put_as::<Parts>(&(id, part.digest), &&*part.json);
        }
        let gone = job.drop_parts();
        gone.iter().for_each(|digest| rows.remove::<Parts>(&(id, *digest)));
        if is_journalled(id) {
            self.ledger.append(&mut rows);
        }
        if !gone.is_empty() {
            let alive: Vec<WorkerId> = self.workers.values().filter(|w| w.is_alive()).map(Worker::id).collect();
            let drop_at = |worker| Action::Do(Effect::DropParts { worker, job: id, parts: gone.clone() });
            self.actions.extend(alive.into_iter().map(drop_at));
        }
    }

    /// Whether every object that was made for this publication is on a worker that answers.
    fn is_at_hand(&self, publication: &Publication) -> bool {
        let objects = publication.drafts.iter().flat_map(|d| &d.shards).flat_map(ShardEntry::objects);
        objects
            .filter(|o| self.objects.get(o.id).is_none_or(|known| known.published == 0))
            .all(|o| self.objects.holders(o.id).any(|w| self.is_alive(w)))
    }

    /// Removes a job with all that only it needed. With `None` it was published.
    pub(super) fn end(&mut self, id: JobId, end: Option<JobEnd>) {
        let Some(job) = self.jobs.remove(&id) else { return };
        if is_journalled(id) {
            self.ledger.remove::<Jobs>(&id);
            self.ledger.remove_all::<Stages>(&id);
            self.ledger.remove_all::<Parts>(&id);
            self.ledger.remove_all::<Tasks>(&id);
        }
        for stage in &job.stages {
            for task in &stage.tasks {
                match &task.state {
                    TaskState::Running(attempts) => {
                        for r in attempts {
                            if let Some(w) = self.workers.get_mut(&r.worker) {
                                w.running.remove(&r.attempt);
                            }
                            self.actions.push(Action::Do(Effect::Kill { worker: r.worker, attempt: r.attempt }));
                        }
                    }
                    TaskState::Done(done) => {
                        for object in &done.output.wrote {
                            self.objects.release_by_job(object.id);
                            self.delete_if_unused(object.id);
                        }
                    }
                    TaskState::Waiting => {}
                }
            }
        }
        for object in crate::jobs::input_objects(&job.resolved) {
            self.objects.release_by_job(object.id);
            self.delete_if_unused(object.id);
        }
        // Also a job that only copies was sent parts.
        if !job.stages.is_empty() {
            let alive: Vec<WorkerId> = self.workers.values().filter(|w| w.is_alive()).map(Worker::id).collect();
            for worker in alive {
                self.actions.push(Action::Do(Effect::Forget { worker, job: id }));
            }
        }
        if let Some(end) = end {
            self.actions.push(Action::Ended { job: Box::new(job), end });
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
