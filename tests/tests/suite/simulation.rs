//! The scheduler under a seeded simulation: workers that die, come back, fail, answer late, twice and out of order. A failure
//! prints its seed; `SHARDMILL_SEED=n` runs that one again.

mod jobs;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use shardmill_common::failure::Failure;
use shardmill_common::ids::{AttemptId, Incarnation, JobId, ObjectId, TaskId, WorkerId};
use shardmill_common::manifest::{Manifest, ObjectRef, ShardEntry};
use shardmill_common::message::StoredObject;
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::spec::JobSpec;
use shardmill_common::task::{Launch, Peer, TaskOutput};
use shardmill_common::time::Timestamp;
use shardmill_coordinator::jobs::{self as planners, Publication, ResolvedJob};
use shardmill_coordinator::scheduler::{
    Action, Event, JobEnd, Joined, Scheduler, SchedulerOptions, StagePlaces, invariants,
};
use uuid::Uuid;

use crate::training;

/// Runs of the simulation in the ordinary test; `SHARDMILL_SEEDS` asks for more.
const SEEDS: u64 = 300;
const USER_SEEDS: u64 = 150;
const ROWS: u64 = 1000;

/// The digests of what jobs published in the first run that published it, by test and dataset: every other run must make the same.
static PUBLISHED: Mutex<BTreeMap<(String, String), u64>> = Mutex::new(BTreeMap::new());

/// An attempt as it was sent to a worker.
struct Launched {
    launch: Launch,
    /// The lists of places that it refers to, by stage.
    lists: Vec<(u32, Arc<StagePlaces>)>,
}

struct SimWorker {
    incarnation: Incarnation,
    allow_programs: bool,
    up: bool,
    /// It will not come back.
    gone: bool,
    objects: BTreeSet<ObjectId>,
    shuffles: BTreeSet<AttemptId>,
    running: BTreeMap<AttemptId, Launched>,
}

struct Sim {
    rng: SmallRng,
    ids: u128,
    now: i64,
    scheduler: Scheduler,
    workers: BTreeMap<WorkerId, SimWorker>,
    /// Events on their way: when, and a number that keeps the order of equals.
    mail: BTreeMap<(i64, u64), Event>,
    mails: u64,
    ended: BTreeMap<JobId, Result<(), JobEnd>>,
    /// Objects of published versions: they may never be deleted.
    published: BTreeSet<ObjectId>,
    /// What stands for the rows of every object and of every attempt's shuffle file.
    contents: BTreeMap<ObjectId, u64>,
    shuffles: BTreeMap<AttemptId, u64>,
    /// Every program fails; who tried which, and whether it was told that it is the last try.
    failed_programs: Option<Vec<(TaskId, WorkerId, bool)>>,
    /// Kinds of tasks that were carried out.
    kinds: BTreeSet<String>,
    faults: u64,
}

fn schema() -> Schema {
    Schema::new(vec![Field::new("k", DataType::Int64), Field::new("v", DataType::String)])
}

impl Sim {
    fn new(seed: u64) -> Self {
        let options = SchedulerOptions { starvation_ms: 300_000, max_lost_attempts: 400, ..Default::default() };
        Self {
            rng: SmallRng::seed_from_u64(seed),
            ids: u128::from(seed) << 64,
            now: 0,
            scheduler: Scheduler::new(options, planners::next, 1),
            workers: BTreeMap::new(),
            mail: BTreeMap::new(),
            mails: 0,
            ended: BTreeMap::new(),
            published: BTreeSet::new(),
            contents: BTreeMap::new(),
            shuffles: BTreeMap::new(),
            failed_programs: None,
            kinds: BTreeSet::new(),
            faults: 0,
        }
    }

    fn uuid(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    fn object(&mut self) -> ObjectRef {
        ObjectRef { id: ObjectId(self.uuid()), bytes: 1000, checksum: String::new() }
    }

    fn post(&mut self, delay: i64, event: Event) {
        self.mails += 1;
        self.mail.insert((self.now + delay, self.mails), event);
    }

    fn add_worker(&mut self, allow_programs: bool) {
        let id = WorkerId(self.uuid());
        let incarnation = Incarnation(self.uuid());
        let worker = SimWorker {
            incarnation,
            allow_programs,
            up: true,
            gone: false,
            objects: BTreeSet::new(),
            shuffles: BTreeSet::new(),
            running: BTreeMap::new(),
        };
        self.workers.insert(id, worker);
        self.join(id);
    }

    fn join(&mut self, id: WorkerId) {
        let w = &self.workers[&id];
        let joined = Joined {
            peer: Peer { worker: id, url: String::new(), machine: String::new(), data_dir: String::new() },
            incarnation: w.incarnation,
            slots: 2,
            memory: u64::MAX,
            allow_programs: w.allow_programs,
            objects: w.objects.iter().map(|o| StoredObject { id: *o, bytes: 1000, age: 0 }).collect(),
            attempts: w.running.keys().copied().collect(),
        };
        self.step(Event::Joined(Box::new(joined)));
    }

    fn step(&mut self, event: Event) {
        let actions = self.scheduler.step(self.now, event);
        assert_eq!(invariants::violated(&self.scheduler), None);
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Launch { worker, launch, places } => {
                let versions: Vec<(u32, u64)> = places.iter().map(|(stage, list)| (*stage, list.version)).collect();
                assert_eq!(versions, launch.stages, "a launch refers to lists that do not come with it");
                let Some(w) = self.workers.get_mut(&worker).filter(|w| w.up) else { return };
                let attempt = launch.attempt;
                w.running.insert(attempt, Launched { launch: *launch, lists: places });
                let slow = self.rng.random_ratio(1, 30);
                let delay = if slow { self.rng.random_range(5_000..40_000) } else { self.rng.random_range(1..200) };
                // A heartbeat-less marker: the attempt is carried out when this mail arrives.
                self.mails += 1;
                self.mail.insert(
                    (self.now + delay, self.mails),
                    Event::Failed {
                        worker,
                        incarnation: self.workers[&worker].incarnation,
                        attempt,
                        failure: Failure::Internal { message: "carry out".into() },
                    },
                );
            }
            Action::Kill { worker, attempt } => {
                if let Some(w) = self.workers.get_mut(&worker) {
                    w.running.remove(&attempt);
                }
            }
            Action::Delete { worker, objects } => {
                for object in &objects {
                    let copies = self.workers.values().filter(|w| w.objects.contains(object)).count();
                    assert!(
                        !self.published.contains(object) || copies > 1,
                        "the last copy of a published object is deleted"
                    );
                    if let Some(w) = self.workers.get_mut(&worker) {
                        w.objects.remove(object);
                    }
                }
            }
            Action::Forget { worker, job } => {
                if let Some(w) = self.workers.get_mut(&worker) {
                    w.shuffles.retain(|a| a.task.job != job);
                }
            }
            Action::Journal(_) | Action::Verify { .. } | Action::Hangup { .. } => {}
            Action::Publish { job, publication } => {
                let mut objects = Vec::new();
                for object in publication.drafts.iter().flat_map(|d| &d.shards).flat_map(ShardEntry::objects) {
                    let somewhere = self.workers.values().any(|w| w.objects.contains(&object.id));
                    assert!(somewhere, "{job} publishes object {} that nobody has", object.id);
                    self.published.insert(object.id);
                    objects.push((object.clone(), 2));
                }
                if let Some(model) = &publication.model {
                    let parameters = serde_json::to_string(&model.parameters).unwrap();
                    assert_eq!(
                        *training::BITS.get_or_init(|| parameters.clone()),
                        parameters,
                        "other faults, other bits"
                    );
                    self.ended.insert(job, Ok(()));
                    self.step(Event::Published { job: Some(job), objects });
                    return;
                }
                self.compare(&publication);
                self.ended.insert(job, Ok(()));
                self.step(Event::Published { job: Some(job), objects });
            }
            // A repair is the coordinator's own.
            Action::Ended { end: JobEnd::Quiet, .. } => {}
            Action::Ended { job, end } => {
                self.ended.insert(job.id, Err(end));
            }
        }
    }

    /// Whether the datasets are those that every run publishes.
    fn compare(&self, publication: &Publication) {
        assert!(publication.drafts[0].shards.iter().map(ShardEntry::rows).sum::<u64>() > 0);
        for draft in &publication.drafts {
            let digest = self.dataset_digest(&draft.shards);
            // A test has a thread of its own: what another one publishes under the same name is made of other inputs.
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            let first = *PUBLISHED.lock().unwrap().entry((test, draft.name.to_string())).or_insert(digest);
            assert_eq!(digest, first, "other faults, other rows in {}", draft.name);
        }
    }

    fn deliver(&mut self, event: Event) {
        match event {
            Event::Failed { worker, incarnation, attempt, failure: Failure::Internal { message } }
                if message == "carry out" =>
            {
                let current = self.workers.get(&worker).is_some_and(|w| w.up && w.incarnation == incarnation);
                let launch = self.workers.get_mut(&worker).and_then(|w| w.running.remove(&attempt));
                let Some(launch) = launch.filter(|_| current) else { return };
                let report = match self.carry_out(worker, &launch) {
                    Ok(output) => {
                        Event::Succeeded { worker, incarnation, attempt, output: Box::new(output), seconds: 0.1 }
                    }
                    Err(failure) => Event::Failed { worker, incarnation, attempt, failure },
                };
                if self.rng.random_ratio(1, 20) {
                    // The report comes twice, the second time late.
                    let late = self.rng.random_range(1..5_000);
                    self.post(late, report.clone());
                }
                let delay = self.rng.random_range(0..50);
                self.post(delay, report);
            }
            other => self.step(other),
        }
    }

    fn kill(&mut self, id: WorkerId) {
        self.faults += 1;
        let incarnation = Incarnation(self.uuid());
        let w = self.workers.get_mut(&id).unwrap();
        let old = w.incarnation;
        w.up = false;
        w.running.clear();
        // What it wrote to its disk stays; its shuffle files are cleared at the next start.
        w.shuffles.clear();
        w.incarnation = incarnation;
        self.step(Event::Disconnected { worker: id, incarnation: old });
    }

    fn maybe_fault(&mut self, calm: bool) {
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in ids {
            if self.workers[&id].up {
                let alive = self.workers.values().filter(|w| w.up).count();
                if !calm && alive > 1 && self.rng.random_ratio(1, 400) {
                    self.kill(id);
                    // Of many workers some never come back, but not with the last copy of anything.
                    let others = self.workers.values().filter(|w| !w.gone).count();
                    let up = |o| self.workers.values().any(|w| w.up && w.objects.contains(o));
                    if others > 3 && self.published.iter().all(up) && self.rng.random_ratio(1, 2) {
                        self.workers.get_mut(&id).unwrap().gone = true;
                    }
                } else if !calm && self.rng.random_ratio(1, 600) {
                    // The session breaks and is opened again by the same process.
                    self.faults += 1;
                    let incarnation = self.workers[&id].incarnation;
                    self.step(Event::Disconnected { worker: id, incarnation });
                    self.now += self.rng.random_range(0..3_000);
                    self.join(id);
                }
            } else if !self.workers[&id].gone && (calm || self.rng.random_ratio(1, 50)) {
                self.workers.get_mut(&id).unwrap().up = true;
                self.join(id);
            }
        }
    }

    fn heartbeats(&mut self) {
        let ids: Vec<WorkerId> = self.workers.iter().filter(|(_, w)| w.up).map(|(id, _)| *id).collect();
        for worker in ids {
            let incarnation = self.workers[&worker].incarnation;
            self.step(Event::Heartbeat { worker, incarnation, running: vec![] });
        }
    }

    fn run_until(&mut self, what: &str, done: impl Fn(&Sim) -> bool, calm: bool) {
        let limit = self.now + 3_600_000;
        let mut last_tick = self.now;
        while !done(self) {
            assert!(self.now < limit, "{what} did not happen; {}", self.describe());
            match self.mail.pop_first() {
                Some(((at, _), event)) if at <= last_tick + 200 => {
                    self.now = self.now.max(at);
                    self.deliver(event);
                }
                other => {
                    if let Some((key, event)) = other {
                        self.mail.insert(key, event);
                    }
                    last_tick += 200;
                    self.now = self.now.max(last_tick);
                    self.heartbeats();
                    self.step(Event::Tick);
                    self.maybe_fault(calm);
                }
            }
        }
    }

    fn describe(&self) -> String {
        let jobs: Vec<String> = self
            .scheduler
            .jobs()
            .map(|j| {
                let stages: Vec<String> = j
                    .stages
                    .iter()
                    .map(|s| {
                        let first = s.waiting.first().and_then(|n| s.task(*n)).map(|t| format!("{:?}", t.spec.kind));
                        format!("{}: {} of {} done, first waiting: {first:?}", s.name, s.done, s.tasks.len())
                    })
                    .collect();
                format!("{} {stages:?}", j.id)
            })
            .collect();
        let workers: Vec<String> = self
            .scheduler
            .workers()
            .map(|w| format!("{} {:?} runs {:?}", w.id(), w.presence, w.running.keys().collect::<Vec<_>>()))
            .collect();
        format!("jobs: {jobs:#?}; workers: {workers:#?}; {} under-replicated", self.scheduler.under_replicated())
    }

    /// A published dataset of some shards, each on two workers.
    fn dataset(&mut self, name: &str, shards: usize) -> Manifest {
        self.dataset_of(name, shards, ROWS, 1000)
    }

    fn dataset_of(&mut self, name: &str, shards: usize, stored_rows: u64, bytes: u64) -> Manifest {
        let ids: Vec<WorkerId> = self.workers.iter().filter(|(_, w)| w.up).map(|(id, _)| *id).collect();
        let mut entries = Vec::new();
        let mut objects = Vec::new();
        for n in 0..shards {
            let object = ObjectRef { bytes, ..self.object() };
            for copy in 0..2 {
                let worker = ids[(n + copy) % ids.len()];
                self.workers.get_mut(&worker).unwrap().objects.insert(object.id);
                self.step(Event::Stored { worker, object: object.id, bytes: 1000 });
            }
            self.published.insert(object.id);
            self.contents.insert(object.id, u64::from(name.as_bytes()[0]) << 32 | n as u64);
            objects.push((object.clone(), 2));
            entries.push(ShardEntry { object, stored_rows, deletions: None });
        }
        self.step(Event::Published { job: None, objects });
        Manifest {
            name: name.parse().unwrap(),
            version: 1,
            schema: schema(),
            shards: entries,
            replicas: 2,
            job: JobId(0),
            created: Timestamp(0),
        }
    }

    fn submit(&mut self, id: u64, spec: JobSpec, inputs: Vec<Manifest>) {
        let resolved = ResolvedJob { spec, inputs, replicas: 2 };
        planners::check(&resolved).unwrap();
        self.step(Event::Submitted { job: JobId(id), resolved: Box::new(resolved), priority: 0, deadline_ms: None });
    }
}

/// The built-in jobs that hash, match, drop and train.
fn first_jobs(sim: &mut Sim) -> u64 {
    let (a, b) = (sim.dataset("a", 6), sim.dataset("b", 5));
    sim.submit(1, jobs::ingest(), vec![]);
    sim.submit(2, jobs::dedup(&a, "deduped"), vec![a.clone()]);
    sim.submit(3, jobs::compare(&a, &b), vec![a, b]);
    let mut t = sim.dataset("t", 5);
    t.schema = training::schema();
    sim.submit(4, training::spec(&t), vec![t]);
    4
}

/// The shapes that users' own maps and reduces have, and sorting and grouping.
fn user_jobs(sim: &mut Sim) -> u64 {
    let (a, b) = (sim.dataset("a", 20), sim.dataset("b", 5));
    let large = sim.dataset_of("l", 18, 1_000_000, 20_000_000);
    sim.submit(1, jobs::co_group(&large, &b), vec![large.clone(), b.clone()]);
    sim.submit(2, jobs::global(&a), vec![a.clone()]);
    sim.submit(3, jobs::map_only(&b), vec![b.clone()]);
    sim.submit(4, jobs::programs(&b), vec![b]);
    sim.submit(5, jobs::sort(&large), vec![large]);
    sim.submit(6, jobs::aggregate(&a), vec![a]);
    6
}

/// One run; how many faults fired in it, and the kinds of tasks it saw.
fn simulate(seed: u64, submit: fn(&mut Sim) -> u64) -> (u64, BTreeSet<String>) {
    let mut sim = Sim::new(seed);
    for n in 0..sim.rng.random_range(2..7) {
        // Few of them run programs; the first does, so that somebody will.
        sim.add_worker(n % 3 == 0);
    }
    let submitted = submit(&mut sim);
    if sim.rng.random_ratio(1, 4) {
        let job = JobId(sim.rng.random_range(1..=submitted));
        let delay = sim.rng.random_range(0..2_000);
        sim.post(delay, Event::Cancel { job });
    }
    sim.run_until("the end of all jobs", |s| s.ended.len() as u64 == submitted, false);
    for (job, end) in &sim.ended {
        assert!(matches!(end, Ok(()) | Err(JobEnd::Cancelled)), "{job}: {end:?}");
    }
    // Once the faults are over, every object has its copies and nothing is left that nobody refers to.
    let replicated = |s: &Sim| {
        let copies = |o| s.workers.values().filter(|w| w.up && w.objects.contains(o)).count();
        s.workers.values().all(|w| w.up || w.gone) && s.published.iter().all(|o| copies(o) >= 2)
    };
    sim.run_until("full replication", replicated, true);
    sim.run_until("an empty mailbox", |s| s.mail.is_empty(), true);
    for (id, w) in &sim.workers {
        for object in &w.objects {
            // An object written by a process that died before it could report is swept by age, which is not simulated here.
            let known = sim.scheduler.objects().get(*object).is_some_and(|o| o.is_referred_to() || o.published == 0);
            assert!(known, "{id} keeps {object}, of which the scheduler knows nothing");
        }
    }
    for object in &sim.published {
        let copies = sim.workers.values().filter(|w| w.up && w.objects.contains(object)).count();
        assert!(copies >= 2, "{object} has {copies} copies");
    }
    // The next job succeeds: no slot or object leaked.
    let c = sim.dataset("c", 4);
    let next = JobId(submitted + 1);
    sim.submit(next.0, jobs::dedup(&c, "again"), vec![c]);
    sim.run_until("one more job", |s| s.ended.contains_key(&next), true);
    assert_eq!(sim.ended[&next], Ok(()));
    (sim.faults, sim.kinds)
}

/// Many runs, in which all of these kinds of tasks must be seen.
fn simulate_all(seeds: u64, submit: fn(&mut Sim) -> u64, kinds: &[&str]) {
    if let Ok(seed) = std::env::var("SHARDMILL_SEED") {
        simulate(seed.parse().unwrap(), submit);
        return;
    }
    let seeds = std::env::var("SHARDMILL_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(seeds);
    let (mut faults, mut seen) = (0, BTreeSet::new());
    for seed in 0..seeds {
        let run = std::panic::catch_unwind(|| simulate(seed, submit));
        match run {
            Ok((n, kinds)) => {
                faults += n;
                seen.extend(kinds);
            }
            Err(cause) => {
                eprintln!("seed {seed} fails: SHARDMILL_SEED={seed} runs it again");
                std::panic::resume_unwind(cause);
            }
        }
    }
    assert!(faults > seeds, "only {faults} faults fired in {seeds} runs: the simulation proves nothing");
    let expected: BTreeSet<String> = kinds.iter().map(|k| (*k).to_owned()).collect();
    assert_eq!(seen, expected, "other kinds of tasks were seen than were meant to be");
}

#[test]
fn jobs_end_well_whatever_happens_to_workers() {
    let kinds = ["parse", "hash", "duplicates", "drop", "match", "deliver", "emit", "profile", "learn", "copy"];
    simulate_all(SEEDS, first_jobs, &kinds);
}

#[test]
fn users_jobs_end_well_whatever_happens_to_workers() {
    let kinds = [
        "check",
        "map",
        "combine",
        "reduce",
        "conform",
        "sample",
        "bounds",
        "range",
        "merge",
        "aggregate",
        "merge_groups",
        "hash",
        "duplicates",
        "drop",
        "copy",
    ];
    simulate_all(USER_SEEDS, user_jobs, &kinds);
}

#[test]
fn a_coordinator_that_stood_still_blames_nobody() {
    let mut sim = Sim::new(2);
    sim.add_worker(true);
    sim.add_worker(true);
    sim.step(Event::Tick);
    sim.now += 120_000;
    sim.step(Event::Tick);
    assert_eq!(sim.scheduler.live_workers(), 2);
    // Ticks that come as they should make silence count again.
    for _ in 0..120 {
        sim.now += 200;
        sim.step(Event::Tick);
    }
    assert_eq!(sim.scheduler.live_workers(), 0);
}

#[test]
fn a_program_that_fails_is_tried_elsewhere_first_and_told_when_it_is_the_last_time() {
    let mut sim = Sim::new(4);
    for allow_programs in [true, false, true, false] {
        sim.add_worker(allow_programs);
    }
    sim.failed_programs = Some(Vec::new());
    let b = sim.dataset("b", 1);
    sim.submit(1, jobs::programs(&b), vec![b]);
    sim.run_until("the end", |s| s.ended.len() == 1, true);
    let Err(JobEnd::Failed(Failure::ProgramFailed { message })) = &sim.ended[&JobId(1)] else {
        panic!("{:?}", sim.ended)
    };
    assert!(message.contains("failed 4 times") && !message.contains("internal"), "{message}");
    let tries = sim.failed_programs.take().unwrap();
    assert_eq!(tries.iter().map(|(_, _, last)| *last).collect::<Vec<_>>(), [false, false, false, true]);
    assert_ne!(tries[0].1, tries[1].1, "tried again where it had failed, although another worker runs programs");
}

#[test]
fn programs_without_a_worker_that_runs_them_are_told_of_and_given_up() {
    let mut sim = Sim::new(5);
    sim.add_worker(false);
    sim.add_worker(false);
    let b = sim.dataset("b", 1);
    sim.submit(1, jobs::programs(&b), vec![b]);
    sim.run_until("a notice", |s| s.scheduler.jobs().any(|j| j.starved_for.is_some()), true);
    let why = sim.scheduler.job(JobId(1)).and_then(|j| j.starved_for.clone()).unwrap();
    assert_eq!(why, "no worker that runs programs is alive: start one with --allow-programs");
    // One that comes along takes the work.
    sim.add_worker(true);
    sim.run_until("the end", |s| s.ended.len() == 1, true);
    assert_eq!(sim.ended[&JobId(1)], Ok(()));
    let mut sim = Sim::new(5);
    sim.add_worker(false);
    sim.add_worker(false);
    let b = sim.dataset("b", 1);
    sim.submit(1, jobs::programs(&b), vec![b]);
    sim.run_until("the end", |s| s.ended.len() == 1, true);
    let Err(JobEnd::Failed(failure)) = &sim.ended[&JobId(1)] else { panic!("{:?}", sim.ended) };
    assert!(failure.to_string().contains("--allow-programs; gave up after"), "{failure}");
}

#[test]
fn every_published_object_is_verified_in_turn() {
    let mut sim = Sim::new(3);
    sim.add_worker(true);
    sim.add_worker(true);
    let dataset = sim.dataset("a", 40);
    let mut verified = BTreeSet::new();
    for _ in 0..2_000 {
        sim.now += 200;
        sim.heartbeats();
        for action in sim.scheduler.step(sim.now, Event::Tick) {
            if let Action::Verify { worker, objects } = action {
                verified.extend(objects.into_iter().map(|o| (worker, o.id)));
            }
        }
    }
    let expected = dataset.shards.len() * 2;
    assert_eq!(verified.len(), expected);
}

#[test]
fn a_late_success_of_a_lost_attempt_changes_nothing() {
    let mut sim = Sim::new(1);
    sim.add_worker(true);
    sim.add_worker(true);
    let a = sim.dataset("a", 1);
    sim.submit(1, jobs::dedup(&a, "d"), vec![a]);
    let (worker, attempt) =
        sim.workers.iter().find_map(|(id, w)| w.running.keys().next().map(|a| (*id, *a))).expect("a task was launched");
    let incarnation = sim.workers[&worker].incarnation;
    assert_eq!(attempt.task, TaskId { job: JobId(1), stage: 0, task: 0 });
    sim.kill(worker);
    sim.now += 10_000;
    sim.step(Event::Tick);
    let stray = sim.object();
    let output = TaskOutput { wrote: vec![stray.clone()], ..Default::default() };
    sim.workers.get_mut(&worker).unwrap().objects.insert(stray.id);
    let late = Event::Succeeded { worker, incarnation, attempt, output: Box::new(output), seconds: 1.0 };
    sim.step(late);
    let job = sim.scheduler.job(JobId(1)).unwrap();
    assert!(job.done(0, 0).is_none(), "a lost attempt committed");
    assert!(!sim.workers[&worker].objects.contains(&stray.id), "what it wrote was left behind");
}
