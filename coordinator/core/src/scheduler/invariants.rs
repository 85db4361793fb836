//! What must hold after every step: used by `debug_assert!`, by the property tests and by the simulation.

use std::collections::BTreeMap;

use super::job::{Task, TaskState};
use super::state::Scheduler;
use super::sums::StageSums;

/// The first invariant that does not hold, by name.
pub fn violated(s: &Scheduler) -> Option<String> {
    ALL.iter().find_map(|(name, holds)| holds(s).err().map(|why| format!("{name}: {why}")))
}

/// Whether the invariants are looked at in this step: they walk everything, so large states get it now and then.
pub(super) fn is_due(s: &Scheduler) -> bool {
    let tasks: usize = s.jobs.values().flat_map(|j| &j.stages).map(|stage| stage.tasks.len()).sum();
    s.steps.is_multiple_of(1 + tasks as u64 / 100)
}

type Invariant = fn(&Scheduler) -> Result<(), String>;

const ALL: &[(&str, Invariant)] = &[
    ("a waiting task is in its stage's waiting set and no other is", waiting_sets_are_exact),
    ("a stage counts its done tasks", done_counts_are_exact),
    ("a stage's sums are those of its done tasks", sums_are_exact),
    ("a stage knows whose outputs it has", makers_are_exact),
    ("a running attempt is on exactly one worker's list", attempts_match_workers),
    ("a worker that is lost runs nothing", lost_workers_run_nothing),
    ("a worker runs no more than its slots", slots_are_kept),
    ("attempts of one task run on distinct workers", attempts_are_apart),
];

fn waiting_sets_are_exact(s: &Scheduler) -> Result<(), String> {
    for job in s.jobs() {
        for stage in &job.stages {
            for (n, task) in (0u32..).zip(&stage.tasks) {
                if matches!(task.state, TaskState::Waiting) != stage.waiting.contains(&n)
                    || matches!(task.state, TaskState::Running(_)) != stage.running.contains(&n)
                {
                    return Err(format!("{} {} task {n}", job.id, stage.name));
                }
            }
        }
    }
    Ok(())
}

fn sums_are_exact(s: &Scheduler) -> Result<(), String> {
    for job in s.jobs() {
        for stage in job.stages.iter().filter(|stage| stage.forgotten == 0) {
            let mut fresh = StageSums::planned(stage.tasks.iter().map(|t| &t.spec));
            for (n, task) in (0u32..).zip(&stage.tasks) {
                if let Some(done) = task.done() {
                    fresh.add(n, &task.spec.kind, done);
                }
            }
            if !fresh.agrees_with(&stage.sums) {
                return Err(format!("{} {}: {:?} kept, {fresh:?} found", job.id, stage.name, stage.sums));
            }
        }
    }
    Ok(())
}

fn makers_are_exact(s: &Scheduler) -> Result<(), String> {
    for job in s.jobs() {
        for stage in &job.stages {
            let mut makers = BTreeMap::new();
            for done in stage.tasks.iter().filter_map(Task::done) {
                *makers.entry((done.worker, done.incarnation)).or_insert(0) += 1;
            }
            if makers != stage.makers {
                return Err(format!("{} {}: {:?} kept, {makers:?} found", job.id, stage.name, stage.makers));
            }
        }
    }
    Ok(())
}

fn done_counts_are_exact(s: &Scheduler) -> Result<(), String> {
    for job in s.jobs() {
        for stage in &job.stages {
            let done = stage.tasks.iter().filter(|t| matches!(t.state, TaskState::Done(_))).count();
            if done != stage.done as usize {
                return Err(format!("{} {}: {} counted, {done} are", job.id, stage.name, stage.done));
            }
        }
    }
    Ok(())
}

fn attempts_match_workers(s: &Scheduler) -> Result<(), String> {
    let mut on_tasks: Vec<_> = s.attempts().map(|(a, w, _)| (a, w)).collect();
    let mut on_workers: Vec<_> = s.workers().flat_map(|w| w.running.keys().map(move |a| (*a, w.id()))).collect();
    on_tasks.sort();
    on_workers.sort();
    if on_tasks != on_workers {
        return Err(format!("tasks have {on_tasks:?}, workers have {on_workers:?}"));
    }
    for job in s.jobs() {
        let running: usize = job
            .stages
            .iter()
            .flat_map(|st| &st.tasks)
            .map(|t| if let TaskState::Running(a) = &t.state { a.len() } else { 0 })
            .sum();
        if running != job.running as usize {
            return Err(format!("{} counts {} running, {running} are", job.id, job.running));
        }
    }
    Ok(())
}

fn lost_workers_run_nothing(s: &Scheduler) -> Result<(), String> {
    match s.workers().find(|w| matches!(w.presence, super::Presence::Lost { .. }) && !w.running.is_empty()) {
        Some(w) => Err(w.id().to_string()),
        None => Ok(()),
    }
}

fn slots_are_kept(s: &Scheduler) -> Result<(), String> {
    match s.workers().find(|w| w.running.len() > w.slots as usize) {
        Some(w) => Err(format!("{} runs {} in {} slots", w.id(), w.running.len(), w.slots)),
        None => Ok(()),
    }
}

fn attempts_are_apart(s: &Scheduler) -> Result<(), String> {
    for job in s.jobs() {
        for task in job.stages.iter().flat_map(|st| &st.tasks) {
            if let TaskState::Running(attempts) = &task.state {
                let mut workers: Vec<_> = attempts.iter().map(|a| a.worker).collect();
                workers.sort();
                workers.dedup();
                if workers.len() != attempts.len() || attempts.is_empty() {
                    return Err(format!("{}: {attempts:?}", job.id));
                }
            }
        }
    }
    Ok(())
}
