//! `step`: one event in, the actions it causes out.

use std::collections::{BTreeMap, BTreeSet};

use shardmill_common::failure::Failure;
use shardmill_common::ids::{AttemptId, Incarnation, ObjectId, TaskId, WorkerId};
use shardmill_common::manifest::ShardEntry;
use shardmill_common::message::AttemptProgress;
use shardmill_common::task::{TaskKind, TaskOutput};

use super::event::{Action, Event, Joined};
use super::job::{Done, Job, JobEnd, Running, TaskState};
use super::state::{Scheduler, is_journalled};
use super::workers::{Presence, Worker};
use crate::effect::Effect;
use crate::tables::{Jobs, Tasks};

impl Scheduler {
    /// Takes one event and returns what is to be done, in this order. `now` is in milliseconds and never goes back.
    pub fn step(&mut self, now: i64, event: Event) -> Vec<Action> {
        self.now = self.now.max(now);
        match event {
            Event::Joined(joined) => self.joined(*joined),
            Event::Disconnected { worker, incarnation } => self.disconnected(worker, incarnation),
            Event::Left { worker, incarnation } => {
                if self.is_current(worker, incarnation) {
                    self.lose(worker);
                }
            }
            Event::Heartbeat { worker, incarnation, running, sessions } => {
                self.heartbeat(worker, incarnation, &running, sessions);
            }
            Event::Succeeded { worker, incarnation, attempt, output, seconds } => {
                self.succeeded(worker, incarnation, attempt, *output, seconds);
            }
            Event::Failed { worker, incarnation, attempt, failure } => {
                if self.is_current(worker, incarnation) {
                    self.attempt_failed(attempt, failure);
                }
            }
            Event::Stored { worker, object, bytes } => {
                self.objects.add_holder(object, worker);
                if let Some(w) = self.workers.get_mut(&worker) {
                    w.stored_bytes += bytes;
                }
            }
            Event::Damaged { worker, objects } => self.damaged(worker, &objects),
            Event::Submitted { job, row } => {
                self.ledger.put::<Jobs>(&job, &row);
                for object in crate::jobs::input_objects(&row.resolved) {
                    self.objects.use_by_job(&object);
                }
                self.jobs.insert(job, Job::new(job, *row));
            }
            Event::Cancel { job } => {
                if self.jobs.get(&job).is_some_and(|j| !j.publishing) {
                    self.end(job, Some(JobEnd::Cancelled));
                }
            }
            Event::Published { job, objects } => {
                for (object, replicas) in &objects {
                    self.objects.publish(object, *replicas);
                }
                if let Some(job) = job {
                    self.end(job, None);
                }
            }
            Event::Unpublished { objects } => {
                for id in objects {
                    self.objects.unpublish(id);
                    self.delete_if_unused(id);
                }
            }
            Event::Drain { worker } => {
                if let Some(w) = self.workers.get_mut(&worker) {
                    w.draining = true;
                }
                self.repair_checked = i64::MIN;
                self.copies_checked = false;
            }
            Event::Tick => {
                self.copies_checked = false;
                self.tick();
            }
        }
        self.advance();
        self.assign();
        for (worker, objects) in std::mem::take(&mut self.doomed) {
            self.actions.push(Action::Do(Effect::Delete { worker, objects }));
        }
        self.steps += 1;
        debug_assert!(!super::invariants::is_due(self) || super::invariants::violated(self).is_none());
        std::mem::take(&mut self.actions)
    }

    pub(super) fn is_current(&self, worker: WorkerId, incarnation: Incarnation) -> bool {
        self.workers.get(&worker).is_some_and(|w| w.incarnation == incarnation)
    }

    fn joined(&mut self, joined: Joined) {
        let id = joined.peer.worker;
        let returns = self.is_current(id, joined.incarnation) && self.is_not_lost(id);
        if self.workers.contains_key(&id) && !returns {
            // A new incarnation has none of the shuffle files and attempts of the one before.
            self.lose(id);
        }
        // A worker that was drained and started again is wanted again.
        let draining = returns && self.workers.get(&id).is_some_and(|w| w.draining);
        let running =
            if returns { self.workers.remove(&id).map(|w| w.running).unwrap_or_default() } else { Default::default() };
        // What it runs and we do not know (or gave away) is stopped; what we think it runs and it does not is lost.
        for attempt in &joined.attempts {
            if !running.contains_key(attempt) {
                self.actions.push(Action::Do(Effect::Kill { worker: id, attempt: *attempt }));
            }
        }
        let forgotten: Vec<AttemptId> = running.keys().filter(|a| !joined.attempts.contains(a)).copied().collect();
        let mut held: Vec<ObjectId> = joined.objects.iter().map(|o| o.id).collect();
        held.sort();
        let gone: Vec<ObjectId> = self
            .objects
            .iter()
            .filter(|(o, x)| x.holders.contains(&id) && held.binary_search(o).is_err())
            .map(|(o, _)| o)
            .collect();
        for object in gone {
            self.objects.remove_holder(object, id);
        }
        let mut orphans = Vec::new();
        for object in &joined.objects {
            let known = self.objects.get(object.id).is_some_and(|o| o.is_referred_to());
            if known || returns || object.age < self.options.orphan_age_s {
                self.objects.add_holder(object.id, id);
            } else {
                orphans.push(object.id);
            }
        }
        if !orphans.is_empty() {
            self.actions.push(Action::Do(Effect::Delete { worker: id, objects: orphans }));
        }
        self.workers.insert(
            id,
            Worker {
                stored_bytes: joined.objects.iter().map(|o| o.bytes).sum(),
                peer: joined.peer,
                incarnation: joined.incarnation,
                presence: Presence::Alive,
                slots: joined.slots,
                memory: joined.memory,
                allow_programs: joined.allow_programs,
                last_seen: self.now,
                draining,
                running,
                unconfirmed: BTreeMap::new(),
                sessions: 0,
            },
        );
        for attempt in forgotten {
            self.attempt_failed(attempt, Failure::WorkerLost { worker: id });
        }
        self.reset_lost_outputs();
    }

    fn disconnected(&mut self, worker: WorkerId, incarnation: Incarnation) {
        let (since, grace_ms) = (self.now, self.options.reconnect_grace_ms);
        if let Some(w) = self.workers.get_mut(&worker)
            && w.incarnation == incarnation
            && w.is_alive()
        {
            w.presence = Presence::Away { since, grace_ms };
        }
    }

    /// Gives a worker's work away: its attempts failed, its outputs that are nowhere else are made again.
    pub(super) fn lose(&mut self, worker: WorkerId) {
        let Some(w) = self.workers.get_mut(&worker) else { return };
        let since = w.gone_since().unwrap_or(self.now);
        w.presence = Presence::Lost { since };
        self.copies_checked = false;
        let attempts: Vec<AttemptId> = w.running.keys().copied().collect();
        for attempt in attempts {
            self.attempt_failed(attempt, Failure::WorkerLost { worker });
        }
        self.reset_lost_outputs();
    }

    fn heartbeat(&mut self, worker: WorkerId, incarnation: Incarnation, progress: &[AttemptProgress], sessions: u64) {
        let now = self.now;
        let Some(w) = self.workers.get_mut(&worker) else { return };
        if w.incarnation != incarnation {
            return;
        }
        (w.last_seen, w.sessions) = (now, sessions);
        // What either side believes to run and the other does not is settled: no lost message may hang a task.
        let said: BTreeSet<AttemptId> = progress.iter().map(|p| p.attempt).collect();
        let strays: Vec<AttemptId> = said.iter().filter(|attempt| !w.running.contains_key(attempt)).copied().collect();
        w.unconfirmed.retain(|attempt, _| w.running.contains_key(attempt) && !said.contains(attempt));
        for attempt in w.running.keys().filter(|attempt| !said.contains(attempt)) {
            w.unconfirmed.entry(*attempt).or_insert(now);
        }
        let overdue = |since: &i64| now - since >= self.options.unconfirmed_ms;
        let lost: Vec<AttemptId> = w.unconfirmed.iter().filter(|(_, since)| overdue(since)).map(|(a, _)| *a).collect();
        for attempt in strays {
            self.actions.push(Action::Do(Effect::Kill { worker, attempt }));
        }
        for attempt in lost {
            self.attempt_failed(attempt, Failure::AttemptLost { worker });
        }
        for p in progress {
            if let Some(task) = self.jobs.get_mut(&p.attempt.task.job).and_then(|j| j.task_mut(p.attempt.task))
                && let TaskState::Running(attempts) = &mut task.state
                && let Some(r) = attempts.iter_mut().find(|r| r.attempt == p.attempt)
            {
                r.rows = p.rows;
                r.bytes = p.bytes;
                r.status.clone_from(&p.status);
            }
        }
    }

    /// Takes a running attempt off its worker and its task. `None` where it is not running: a late or repeated report.
    fn take_off(&mut self, attempt: AttemptId) -> Option<Running> {
        let job = self.jobs.get_mut(&attempt.task.job)?;
        let running = job.stages.get_mut(attempt.task.stage as usize)?.take_off(attempt)?;
        job.running -= 1;
        if let Some(w) = self.workers.get_mut(&running.worker) {
            w.running.remove(&attempt);
        }
        Some(running)
    }

    fn succeeded(
        &mut self,
        worker: WorkerId,
        incarnation: Incarnation,
        attempt: AttemptId,
        output: TaskOutput,
        seconds: f64,
    ) {
        let wrote: Vec<ObjectId> = output.wrote.iter().map(|o| o.id).collect();
        if !self.is_current(worker, incarnation) || self.take_off(attempt).is_none() {
            self.stray_output(worker, wrote);
            return;
        }
        let shown = output.shards().flat_map(ShardEntry::objects).map(|o| o.id);
        if shown.filter(|id| !wrote.contains(id)).any(|id| !self.objects.get(id).is_some_and(|o| o.is_referred_to())) {
            // The shard it built on was lost meanwhile, and is being made again under another name.
            self.stray_output(worker, wrote);
            return;
        }
        let TaskId { job: job_id, stage, task } = attempt.task;
        for object in &output.wrote {
            self.objects.use_by_job(object);
            self.objects.add_holder(object.id, worker);
        }
        if let Some(w) = self.workers.get_mut(&worker) {
            w.stored_bytes += output.wrote.iter().map(|o| o.bytes).sum::<u64>();
        }
        let Some(job) = self.jobs.get_mut(&job_id) else { return };
        let Some(stage_) = job.stages.get_mut(stage as usize) else { return };
        let Some(task_) = stage_.task(task) else { return };
        if matches!(task_.spec.kind, TaskKind::Learn(_)) {
            job.homes.insert(task, worker);
        }
        let done = Box::new(Done { attempt, worker, incarnation, output, seconds });
        if is_journalled(job_id) {
            self.ledger.put::<Tasks>(&(job_id, stage, task), &done);
        }
        // A second attempt may still run; it lost.
        let losers = stage_.finish(task, done, self.now);
        job.running -= losers.len() as u32;
        for loser in losers {
            if let Some(w) = self.workers.get_mut(&loser.worker) {
                w.running.remove(&loser.attempt);
            }
            self.actions.push(Action::Do(Effect::Kill { worker: loser.worker, attempt: loser.attempt }));
        }
    }

    pub(super) fn attempt_failed(&mut self, attempt: AttemptId, failure: Failure) {
        let Some(Running { worker, .. }) = self.take_off(attempt) else { return };
        let id = attempt.task;
        let (now, max_attempts, max_lost) = (self.now, self.options.max_attempts, self.options.max_lost_attempts);
        let Some(job) = self.jobs.get_mut(&id.job) else { return };
        if let Some(stage) = job.stages.get_mut(id.stage as usize) {
            stage.retried += 1;
        }
        let Some(task) = job.task_mut(id) else { return };
        if failure.counts() {
            task.failures += 1;
        } else {
            task.losses += 1;
            task.not_before = now + (50 << task.losses.min(6));
        }
        if failure.counts() && !task.failed_on.contains(&worker) {
            task.failed_on.push(worker);
        }
        let end = if !failure.is_retried() {
            Some(failure.clone())
        } else if task.failures >= max_attempts || task.losses >= max_lost {
            let tries = task.failures + task.losses;
            let message = format!("task {id} failed {tries} times; the last time: {failure}");
            Some(match failure {
                // The user's program, not ours, is what does not work.
                Failure::ProgramFailed { .. } => Failure::ProgramFailed { message },
                _ => Failure::internal(message),
            })
        } else {
            None
        };
        if let Some(failure) = end {
            self.end(id.job, Some(JobEnd::Failed(failure)));
            return;
        }
        match failure {
            Failure::FetchFailed { task: source, worker, .. } if source.job == id.job => {
                self.fetch_failed(source, worker)
            }
            Failure::ObjectUnavailable { object, bad_copies, .. } => {
                for worker in bad_copies {
                    self.damaged(worker, &[object]);
                }
            }
            _ => {}
        }
    }
}
