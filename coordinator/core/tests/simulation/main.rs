//! The core under a seeded simulation: workers that die, come back, fail, answer late, twice and out of order, and a coordinator
//! that crashes after any write and is replayed. A failure prints its seed; `SHARDMILL_SEED=n` runs that one again.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so by panicking")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the world around the core has what the core may not have"
)]

mod disk;
mod golden;
mod jobs;
mod people;
mod training;
mod work;
mod world;

use std::collections::BTreeSet;

use rand::Rng;
use shardmill_common::ids::{JobId, TaskId};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::join::JoinHow;
use shardmill_common::status::JobState;
use shardmill_common::task::TaskOutput;
use shardmill_core::Command;
use shardmill_core::scheduler::Event;

use self::world::{Mail, ROWS, SHARD_BYTES, Sim, schema};

/// Runs of the simulation in the ordinary test; `SHARDMILL_SEEDS` asks for more, as `.ci/run` does.
const SEEDS: u64 = 40;
const USER_SEEDS: u64 = 24;
const DATA_SEEDS: u64 = 24;
const SCATTERED_SEEDS: u64 = 5;

/// The built-in jobs that hash, match, drop and train.
fn first_jobs(sim: &mut Sim) -> Vec<JobId> {
    let (a, b) = (sim.dataset("a", 6), sim.dataset("b", 5));
    let t = sim.dataset_of("t", 5, training::schema(), ROWS, SHARD_BYTES);
    sim.dataset("x", 1);
    vec![
        sim.submit(jobs::ingest()),
        sim.submit(jobs::dedup(&a, "deduped")),
        sim.submit(jobs::compare(&a, &b)),
        sim.submit(training::spec(&t)),
    ]
}

/// The shapes that users' own maps and reduces have, and sorting and grouping.
fn user_jobs(sim: &mut Sim) -> Vec<JobId> {
    let (a, b) = (sim.dataset("a", 20), sim.dataset("b", 5));
    let large = sim.dataset_of("l", 18, schema(), 1_000_000, 20_000_000);
    vec![
        sim.submit(jobs::co_group(&large, &b)),
        sim.submit(jobs::global(&a)),
        sim.submit(jobs::map_only(&b)),
        sim.submit(jobs::programs(&b)),
        sim.submit(jobs::sort(&large)),
        sim.submit(jobs::aggregate(&a)),
    ]
}

/// Cleaning, splitting, joining, and what is done with a model from elsewhere.
fn data_jobs(sim: &mut Sim) -> Vec<JobId> {
    let (a, b) = (sim.dataset("a", 8), sim.dataset("b", 5));
    let import = sim.submit(jobs::import(sim.wide));
    sim.run_until("the model is there", |s| s.ended.contains_key(&import), true);
    vec![
        import,
        sim.submit(jobs::clean(&a)),
        sim.submit(jobs::compact(&a)),
        sim.submit(jobs::split(&a)),
        sim.submit(jobs::join(&a, &b, JoinHow::Left, 1 << 30)),
        sim.submit(jobs::join(&a, &b, JoinHow::Anti, 0)),
        sim.submit(jobs::predict(&a)),
        sim.submit(jobs::evaluate(&a)),
        sim.submit(jobs::query(&a, &b)),
    ]
}

/// What a run saw.
#[derive(Default)]
struct Seen {
    faults: u64,
    crashes: u64,
    lost: BTreeSet<&'static str>,
    kinds: BTreeSet<String>,
    jobs: BTreeSet<&'static str>,
}

/// One run.
fn simulate(seed: u64, submit: fn(&mut Sim) -> Vec<JobId>) -> Seen {
    let mut sim = Sim::new(seed);
    for n in 0..sim.rng.random_range(2..7) {
        // Few of them run programs; the first does, so that somebody will.
        sim.add_worker(n % 3 == 0);
    }
    let submitted = submit(&mut sim);
    if sim.rng.random_ratio(1, 4) {
        let job = submitted[sim.rng.random_range(0..submitted.len())];
        let delay = sim.rng.random_range(0..2_000);
        sim.post(delay, Mail::Ask(Command::Cancel(job)));
    }
    sim.run_until("the end of all jobs", |s| submitted.iter().all(|job| s.ended.contains_key(job)), false);
    for (job, end) in &sim.ended {
        assert!(matches!(end.state, JobState::Done | JobState::Cancelled), "{job}: {end:?}");
    }
    // Once the faults are over, every object has its copies and nothing is left that nobody refers to.
    let replicated = |s: &Sim| {
        let copies = |o| s.workers.values().filter(|w| w.up && w.objects.contains(o)).count();
        s.workers.values().all(|w| w.up || w.gone) && s.published.iter().all(|o| copies(o) >= 2)
    };
    sim.run_until("full replication", replicated, true);
    sim.run_until("an empty mailbox", |s| s.mail.is_empty(), true);
    for (id, w) in sim.workers.iter().filter(|(_, w)| w.up) {
        for object in &w.objects {
            // An object written by a process that died before it could report is swept by age, which is not simulated here.
            let objects = sim.core.scheduler().objects();
            let known = objects.get(*object).is_some_and(|o| o.is_referred_to() || o.published == 0);
            assert!(known || sim.litter.contains(object), "{id} keeps {object}, of which the scheduler knows nothing");
        }
    }
    for object in &sim.published {
        let copies = sim.workers.values().filter(|w| w.up && w.objects.contains(object)).count();
        assert!(copies >= 2, "{object} has {copies} copies");
    }
    // The next job succeeds: no slot or object leaked.
    let c = sim.dataset("c", 4);
    let next = sim.submit(jobs::dedup(&c, "again"));
    sim.run_until("one more job", |s| s.ended.contains_key(&next), true);
    assert_eq!(sim.ended[&next].state, JobState::Done);
    Seen { faults: sim.faults, crashes: sim.crashes, lost: sim.lost, kinds: sim.kinds, jobs: sim.submitted }
}

/// Many runs, in which all of these kinds of tasks must be seen.
fn simulate_all(seeds: u64, submit: fn(&mut Sim) -> Vec<JobId>, kinds: &[&str]) {
    let kinds = kinds.iter().chain(&["hash", "duplicates", "drop", "copy"]);
    if let Ok(seed) = std::env::var("SHARDMILL_SEED") {
        simulate(seed.parse().unwrap(), submit);
        return;
    }
    let seeds = std::env::var("SHARDMILL_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(seeds);
    let mut all = Seen::default();
    for seed in 0..seeds {
        let run = std::panic::catch_unwind(|| simulate(seed, submit));
        match run {
            Ok(seen) => {
                all.faults += seen.faults;
                all.crashes += seen.crashes;
                all.lost.extend(seen.lost);
                all.kinds.extend(seen.kinds);
            }
            Err(cause) => {
                eprintln!("seed {seed} fails: SHARDMILL_SEED={seed} runs it again");
                std::panic::resume_unwind(cause);
            }
        }
    }
    let Seen { faults, crashes, lost, kinds: seen, .. } = all;
    let every = BTreeSet::from(["delete", "forget", "heartbeat", "kill", "launch", "report"]);
    assert!(seeds < 150 || lost == every, "of messages only these were lost: {lost:?}");
    assert!(faults > seeds, "only {faults} faults fired in {seeds} runs: the simulation proves nothing");
    assert!(
        crashes * 2 > seeds,
        "only {crashes} crashes of the coordinator in {seeds} runs: the simulation proves nothing"
    );
    let expected: BTreeSet<String> = kinds.map(|k| (*k).to_owned()).collect();
    assert_eq!(seen, expected, "other kinds of tasks were seen than were meant to be");
}

#[test]
fn jobs_end_well_whatever_happens_to_workers() {
    let kinds = ["parse", "match", "deliver", "emit", "profile", "learn"];
    simulate_all(SEEDS, first_jobs, &kinds);
}

#[test]
fn users_jobs_end_well_whatever_happens_to_workers() {
    let kinds = [
        "check",
        "map",
        "combine",
        "compact",
        "reduce",
        "sample",
        "bounds",
        "range",
        "merge",
        "aggregate",
        "merge_groups",
    ];
    simulate_all(USER_SEEDS, user_jobs, &kinds);
}

#[test]
fn jobs_over_data_and_models_end_well_whatever_happens_to_workers() {
    let kinds = [
        "clean",
        "compact",
        "statistics",
        "merge_statistics",
        "count",
        "split",
        "lookup",
        "match",
        "predict",
        "query",
        "assess",
        "rank",
    ];
    simulate_all(DATA_SEEDS, data_jobs, &kinds);
}

#[test]
fn outputs_in_many_small_shards_are_compacted_whatever_happens_to_workers() {
    let jobs = |sim: &mut Sim| {
        let many = sim.dataset("many", 70);
        vec![sim.submit(jobs::split(&many))]
    };
    simulate_all(SCATTERED_SEEDS, jobs, &["count", "split", "compact"]);
}

/// As in [`as_it_arrives`](world), on tables of 500 columns, with a model of 10 MB.
#[test]
fn launches_are_short_on_wide_tables_too() {
    for jobs in [user_jobs, data_jobs, |sim: &mut Sim| {
        let (a, b) = (sim.dataset("a", 0), sim.dataset("b", 0));
        vec![sim.submit(jobs::dedup(&a, "deduped")), sim.submit(jobs::compare(&a, &b))]
    }] {
        let mut sim = Sim::new(7);
        sim.wide = true;
        (0..3).for_each(|_| sim.add_worker(true));
        let submitted = jobs(&mut sim);
        sim.run_until("the end of all jobs", |s| submitted.iter().all(|job| s.ended.contains_key(job)), true);
    }
}

#[test]
fn no_kind_of_job_is_left_out() {
    let jobs: [fn(&mut Sim) -> Vec<JobId>; 3] = [first_jobs, user_jobs, data_jobs];
    // What they publish is told apart by the name of the thread.
    let run =
        |(n, jobs)| std::thread::Builder::new().name(format!("kinds {n}")).spawn(move || simulate(3, jobs)).unwrap();
    let runs: Vec<_> = (0..).zip(jobs).map(run).collect();
    let simulated: BTreeSet<&str> = runs.into_iter().flat_map(|run| run.join().unwrap().jobs).collect();
    // Repairs are made by the coordinator: the end of every run waits for them.
    let all: BTreeSet<&str> = JobSpec::KINDS.iter().copied().filter(|kind| *kind != "repair").collect();
    assert_eq!(simulated, all);
}

#[test]
fn a_coordinator_that_stood_still_blames_nobody() {
    let mut sim = Sim::new(2);
    sim.add_worker(true);
    sim.add_worker(true);
    sim.step(Event::Tick);
    sim.now += 120_000;
    sim.step(Event::Tick);
    assert_eq!(sim.core.scheduler().live_workers(), 2);
    // Ticks that come as they should make silence count again.
    for _ in 0..120 {
        sim.now += 200;
        sim.step(Event::Tick);
    }
    assert_eq!(sim.core.scheduler().live_workers(), 0);
}

#[test]
fn a_program_that_fails_is_tried_elsewhere_first_and_told_when_it_is_the_last_time() {
    let mut sim = Sim::new(4);
    for allow_programs in [true, false, true, false] {
        sim.add_worker(allow_programs);
    }
    sim.failed_programs = Some(Vec::new());
    let b = sim.dataset("b", 1);
    let job = sim.submit(jobs::programs(&b));
    sim.run_until("the end", |s| s.ended.contains_key(&job), true);
    let message = sim.ended[&job].error.as_deref().unwrap();
    assert!(message.contains("failed 4 times") && !message.contains("internal"), "{message}");
    let tries = sim.failed_programs.take().unwrap();
    assert_eq!(tries.iter().map(|(_, _, last)| *last).collect::<Vec<_>>(), [false, false, false, true]);
    assert_ne!(tries[0].1, tries[1].1, "tried again where it had failed, although another worker runs programs");
}

/// A job with programs is refused where no worker runs them; here the one that would is gone when the job is accepted.
fn submit_without_programs(sim: &mut Sim, spec: shardmill_common::kinds::JobSpec) -> JobId {
    sim.add_worker(true);
    let leaving = *sim.workers.iter().find(|(_, w)| w.allow_programs).unwrap().0;
    let job = sim.submit(spec);
    sim.kill(leaving);
    sim.workers.get_mut(&leaving).unwrap().gone = true;
    job
}

#[test]
fn programs_without_a_worker_that_runs_them_are_told_of_and_given_up() {
    let mut sim = Sim::new(5);
    sim.add_worker(false);
    sim.add_worker(false);
    let b = sim.dataset("b", 1);
    let job = submit_without_programs(&mut sim, jobs::programs(&b));
    sim.run_until("a notice", |s| s.core.scheduler().jobs().any(|j| j.starved_for.is_some()), true);
    let why = sim.core.scheduler().job(job).and_then(|j| j.starved_for.clone()).unwrap();
    assert_eq!(why, "no worker that runs programs is alive: start one with --allow-programs");
    // One that comes along takes the work.
    sim.add_worker(true);
    sim.run_until("the end", |s| s.ended.contains_key(&job), true);
    assert_eq!(sim.ended[&job].state, JobState::Done);
    let mut sim = Sim::new(5);
    sim.add_worker(false);
    sim.add_worker(false);
    let b = sim.dataset("b", 1);
    let job = submit_without_programs(&mut sim, jobs::programs(&b));
    sim.run_until("the end", |s| s.ended.contains_key(&job), true);
    let failure = sim.ended[&job].error.as_deref().unwrap();
    assert!(failure.contains("--allow-programs; gave up after"), "{failure}");
}

#[test]
fn a_launch_and_a_report_that_are_lost_hang_nothing() {
    for kind in ["launch", "report"] {
        let mut sim = Sim::new(6);
        sim.add_worker(true);
        sim.add_worker(true);
        let a = sim.dataset("a", 1);
        sim.lose_next.insert(kind);
        let job = sim.submit(jobs::dedup(&a, "d"));
        let submitted = sim.now;
        sim.run_until("the end", |s| s.ended.contains_key(&job), true);
        assert_eq!((sim.ended[&job].state, sim.lost.contains(kind)), (JobState::Done, true));
        assert!(sim.now - submitted < 60_000, "it took {} ms", sim.now - submitted);
    }
}

#[test]
fn every_published_object_is_verified_in_turn() {
    let mut sim = Sim::new(3);
    sim.add_worker(true);
    sim.add_worker(true);
    let dataset = sim.dataset("a", 40);
    for _ in 0..2_000 {
        sim.now += 200;
        sim.heartbeats();
        sim.step(Event::Tick);
    }
    let expected = dataset.shards.len() * 2;
    assert_eq!(sim.verified.len(), expected);
}

#[test]
fn a_late_success_of_a_lost_attempt_changes_nothing() {
    let mut sim = Sim::new(1);
    sim.add_worker(true);
    sim.add_worker(true);
    let a = sim.dataset("a", 1);
    let job = sim.submit(jobs::dedup(&a, "d"));
    let (worker, attempt) =
        sim.workers.iter().find_map(|(id, w)| w.running.keys().next().map(|a| (*id, *a))).expect("a task was launched");
    let incarnation = sim.workers[&worker].incarnation;
    assert_eq!(attempt.task, TaskId { job, stage: 0, task: 0 });
    sim.kill(worker);
    sim.now += 10_000;
    sim.step(Event::Tick);
    let stray = sim.object();
    let output = TaskOutput { wrote: vec![stray.clone()], ..Default::default() };
    sim.workers.get_mut(&worker).unwrap().objects.insert(stray.id);
    let late = Event::Succeeded { worker, incarnation, attempt, output: Box::new(output), seconds: 1.0 };
    sim.step(late);
    let job = sim.core.scheduler().job(job).unwrap();
    assert!(job.done(0, 0).is_none(), "a lost attempt committed");
    assert!(!sim.workers[&worker].objects.contains(&stray.id), "what it wrote was left behind");
}
