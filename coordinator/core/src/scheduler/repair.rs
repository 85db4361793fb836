//! What time brings: workers that stay away, jobs past their deadline or starved, stragglers, and objects with too few copies.

use shardmill_common::failure::Failure;
use shardmill_common::ids::{AttemptId, JobId, ObjectId, TaskId, WorkerId};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::repair::RepairSpec;
use shardmill_common::manifest::ObjectRef;

use super::event::Action;
use super::job::{Job, JobEnd, Running, Task};
use super::objects::Object;
use super::places::Ranges;
use super::state::{FIRST_INTERNAL_JOB, Scheduler};
use super::workers::{Presence, Worker};
use crate::effect::Effect;
use crate::jobs::ResolvedJob;
use crate::tables::JobRow;
use shardmill_common::time::Timestamp;

/// A tick that comes this late tells that the coordinator stood still.
const OWN_PAUSE_MS: i64 = 5_000;
/// How often some objects are verified, and how many: slow enough not to be felt.
const SCRUB_INTERVAL_MS: i64 = 10_000;
const SCRUB_BATCH: usize = 16;
/// How often the objects are looked through.
const REPAIR_INTERVAL_MS: i64 = 2_000;

impl Scheduler {
    pub(super) fn tick(&mut self) {
        self.forgive_own_absence();
        self.judge_workers();
        self.reset_missing_inputs();
        self.judge_jobs();
        self.start_backups();
        if self.now.saturating_sub(self.repair_checked) >= REPAIR_INTERVAL_MS {
            self.repair_checked = self.now;
            self.repair();
        }
        if self.now - self.scrubbed >= SCRUB_INTERVAL_MS {
            self.scrubbed = self.now;
            self.scrub();
        }
    }

    /// If the coordinator itself stood still, nobody's silence in that time proves anything.
    fn forgive_own_absence(&mut self) {
        let gap = self.ticked.map_or(0, |ticked| self.now - ticked);
        self.ticked = Some(self.now);
        if gap <= OWN_PAUSE_MS {
            return;
        }
        for w in self.workers.values_mut() {
            w.last_seen += gap;
            if let Presence::Away { since, .. } = &mut w.presence {
                *since += gap;
            }
        }
        for job in self.jobs.values_mut() {
            job.starved_since = job.starved_since.map(|since| since + gap);
        }
    }

    /// Has the next few objects read and checked at every worker that holds them.
    fn scrub(&mut self) {
        let after = self.scrub_cursor;
        let next: Vec<(ObjectId, ObjectRef)> = self
            .objects
            .iter()
            .filter(|(id, o)| o.published > 0 && after.is_none_or(|after| *id > after))
            .filter_map(|(id, o)| Some((id, o.reference.clone()?)))
            .take(SCRUB_BATCH)
            .collect();
        // At the end of the table it begins again.
        self.scrub_cursor = next.last().map(|(id, _)| *id);
        for (id, object) in next {
            for worker in self.live_holders(id) {
                self.actions.push(Action::Do(Effect::Verify { worker, objects: vec![object.clone()] }));
            }
        }
    }

    fn judge_workers(&mut self) {
        let now = self.now;
        let mut lost = Vec::new();
        for w in self.workers.values_mut() {
            match w.presence {
                Presence::Alive if now - w.last_seen > self.options.heartbeat_timeout_ms => lost.push(w.id()),
                Presence::Away { since, grace_ms } if now - since > grace_ms => lost.push(w.id()),
                _ => {}
            }
        }
        for worker in lost {
            self.lose(worker);
            self.actions.push(Action::Do(Effect::Hangup { worker }));
        }
    }

    fn judge_jobs(&mut self) {
        let ids: Vec<JobId> = self.jobs.values().filter(|j| !j.publishing).map(|j| j.id).collect();
        let any_alive = self.workers.values().any(|w| w.is_alive() && !w.draining);
        let any_programs = self.workers.values().any(|w| w.is_alive() && !w.draining && w.allow_programs);
        for id in ids {
            let Some(job) = self.jobs.get(&id) else { continue };
            if job.deadline.is_some_and(|d| self.now > d.0) {
                self.end(id, Some(JobEnd::Failed(Failure::bad_input("the job's deadline has passed"))));
                continue;
            }
            let reason = if job.running > 0 {
                None
            } else if !any_alive {
                Some("no worker is alive".to_owned())
            } else if !any_programs && job.waits_for_programs() {
                Some("no worker that runs programs is alive: start one with --allow-programs".to_owned())
            } else {
                self.missing_object(job).map(|o| self.describe_missing(o))
            };
            let (now, limit) = (self.now, self.options.starvation_ms);
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            match reason {
                None => {
                    job.starved_since = None;
                    job.starved_for = None;
                }
                Some(reason) => {
                    let since = *job.starved_since.get_or_insert(now);
                    job.starved_for = Some(reason.clone());
                    if now - since > limit {
                        let waited = (now - since) / 1000;
                        let failure = Failure::bad_input(format!("{reason}; gave up after {waited} s"));
                        self.end(id, Some(JobEnd::Failed(failure)));
                    }
                }
            }
        }
    }

    fn describe_missing(&self, object: ObjectId) -> String {
        let holders: Vec<String> = self.objects.holders(object).map(|w| w.to_string()).collect();
        if holders.is_empty() {
            format!("no worker has a good copy of object {object}")
        } else {
            format!("no worker that holds object {object} is alive (it is on {})", holders.join(", "))
        }
    }

    /// A second attempt for tasks that run far longer than their fellows did.
    fn start_backups(&mut self) {
        let mut backups: Vec<(TaskId, WorkerId)> = Vec::new();
        for job in self.jobs.values().filter(|j| !j.publishing) {
            let mut known = Ranges::default();
            for (number, stage) in (0u32..).zip(&job.stages) {
                if stage.running.is_empty()
                    || (stage.done as usize) < 3
                    || (stage.done as usize) * 4 < stage.tasks.len() * 3
                {
                    continue;
                }
                let alone = stage.running.iter().filter_map(|n| match stage.task(*n)?.running() {
                    [only] => Some((*n, only)),
                    _ => None,
                });
                let at_least = self.options.straggler_min_ms;
                let slow: Vec<(u32, &Running)> = alone.filter(|(_, r)| self.now - r.since > at_least).collect();
                if slow.is_empty() {
                    continue;
                }
                let mut times: Vec<f64> = stage.tasks.iter().filter_map(|t| Some(t.done()?.seconds)).collect();
                times.sort_by(f64::total_cmp);
                let median_ms = times.get(times.len() / 2).copied().unwrap_or(0.0) * 1000.0;
                let limit = median_ms * self.options.straggler_factor;
                for (task, only) in slow {
                    if (self.now - only.since) as f64 > limit
                        && stage.task(task).is_some_and(|t| self.is_ready(job, &t.spec, &mut known))
                    {
                        backups.push((TaskId { job: job.id, stage: number, task }, only.worker));
                    }
                }
            }
        }
        for (id, not_here) in backups {
            let Some(job) = self.jobs.get(&id.job) else { continue };
            let Some(task) = job.task(id.stage, id.task) else { continue };
            let could = |w: &&Worker| {
                w.id() != not_here
                    && w.has_room(task.spec.memory)
                    && !task.failed_on.contains(&w.id())
                    && self.may_run_here(job, &task.spec, w.id())
            };
            if let Some(worker) = self.workers.values().find(could).map(Worker::id) {
                self.launch(worker, id);
            }
        }
    }

    /// Whether a copy at this worker still counts: not once it has been gone for long, or is being emptied.
    fn counts_as_copy(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(|w| {
            !w.draining && w.gone_since().is_none_or(|since| self.now - since <= self.options.repair_after_ms)
        })
    }

    /// Copies that an object lacks and that can be made now.
    fn lacks(&self, object: &Object) -> usize {
        let good = object.holders.iter().filter(|w| self.counts_as_copy(**w)).count();
        let possible =
            self.workers.values().filter(|w| w.is_alive() && !w.draining && !object.holders.contains(&w.id())).count();
        let source = object.holders.iter().any(|w| self.is_alive(*w));
        if source { (object.wanted as usize).saturating_sub(good).min(possible) } else { 0 }
    }

    /// One repair job at a time copies what lacks copies.
    fn repair(&mut self) {
        if self.jobs.keys().any(|j| j.0 >= FIRST_INTERNAL_JOB) {
            return;
        }
        let objects: Vec<ObjectRef> = self
            .objects
            .iter()
            .filter(|(_, o)| o.published > 0 && self.lacks(o) > 0)
            .filter_map(|(_, o)| o.reference.clone())
            .take(self.options.repair_batch)
            .collect();
        if objects.is_empty() {
            return;
        }
        self.next_internal_job += 1;
        let id = JobId(self.next_internal_job);
        let resolved = ResolvedJob { spec: JobSpec::Repair(RepairSpec { objects }), inputs: Vec::new(), replicas: 1 };
        for object in crate::jobs::input_objects(&resolved) {
            self.objects.use_by_job(&object);
        }
        let row = JobRow {
            resolved,
            who: "the coordinator".into(),
            priority: i32::MAX,
            deadline: None,
            submitted: Timestamp(self.now),
        };
        self.jobs.insert(id, Job::new(id, row));
    }

    /// Published objects with fewer copies than wanted, whether or not they can be made now.
    pub fn under_replicated(&self) -> usize {
        self.objects
            .iter()
            .filter(|(_, o)| {
                o.published > 0 && o.holders.iter().filter(|w| self.counts_as_copy(**w)).count() < o.wanted as usize
            })
            .count()
    }

    /// Whether a draining worker can go: nothing runs there, and nothing is only there.
    pub fn is_drained(&self, worker: WorkerId) -> bool {
        let Some(w) = self.workers.get(&worker) else { return false };
        if !w.draining || !w.running.is_empty() {
            return false;
        }
        let holds_last = self.objects.iter().any(|(_, o)| {
            o.is_referred_to()
                && o.holders.contains(&worker)
                && (o.holders.iter().all(|h| *h == worker || !self.is_alive(*h)) || self.lacks(o) > 0)
        });
        let mut stages = self.jobs.values().flat_map(|j| &j.stages);
        let feeds_job = stages.any(|stage| {
            stage.makers.keys().any(|(maker, _)| *maker == worker)
                && stage.tasks.iter().filter_map(Task::done).any(|d| d.worker == worker && d.output.shuffle.is_some())
        });
        !holds_last && !feeds_job
    }

    /// Every attempt that runs: its worker and since when.
    pub fn attempts(&self) -> impl Iterator<Item = (AttemptId, WorkerId, i64)> + '_ {
        let tasks = self.jobs.values().flat_map(|j| &j.stages).flat_map(|s| &s.tasks);
        tasks.flat_map(|t| t.running().iter().map(|r| (r.attempt, r.worker, r.since)))
    }
}
