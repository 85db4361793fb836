//! What must hold after every step: used by `debug_assert!`, by the property tests and by the simulation.

use super::job::TaskState;
use super::state::Scheduler;

/// The first invariant that does not hold, by name.
pub fn violated(s: &Scheduler) -> Option<String> {
    ALL.iter().find_map(|(name, holds)| holds(s).err().map(|why| format!("{name}: {why}")))
}

type Invariant = fn(&Scheduler) -> Result<(), String>;

const ALL: &[(&str, Invariant)] = &[
    ("a waiting task is in its stage's waiting set and no other is", waiting_sets_are_exact),
    ("a stage counts its done tasks", done_counts_are_exact),
    ("a running attempt is on exactly one worker's list", attempts_match_workers),
    ("a worker that is lost runs nothing", lost_workers_run_nothing),
    ("a worker runs no more than its slots", slots_are_kept),
    ("attempts of one task run on distinct workers", attempts_are_apart),
];

fn waiting_sets_are_exact(s: &Scheduler) -> Result<(), String> {
    for job in s.jobs() {
        for stage in &job.stages {
            for (n, task) in stage.tasks.iter().enumerate() {
                if matches!(task.state, TaskState::Waiting) != stage.waiting.contains(&(n as u32)) {
                    return Err(format!("{} {} task {n}", job.id, stage.name));
                }
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
