//! The simulated world: workers and people around a core, a clock, a disk, and everything that goes wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use shardmill_common::failure::Refusal;
use shardmill_common::ids::{AttemptId, Incarnation, JobId, ObjectId, TaskId, WorkerId};
use shardmill_common::kinds::register::RegisterSpec;
use shardmill_common::kinds::{JobSpec, Submission};
use shardmill_common::manifest::{Manifest, ObjectRef, ShardEntry};
use shardmill_common::message::{AttemptProgress, StoredObject};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::shared::{Part, Shelf};
use shardmill_common::status::{JobState, JobStatus};
use shardmill_common::task::{Launch, Peer, TaskKind};
use shardmill_common::time::Timestamp;
use shardmill_core::scheduler::{Event, Joined, SchedulerOptions, StagePlaces, invariants};
use shardmill_core::tables::Finished;
use shardmill_core::{Answer, Command, Core, Effect, Facts, Step};
use uuid::Uuid;

use super::disk::Disk;
use super::people::People;
use crate::training;

pub const ROWS: u64 = 1000;
/// Two of them are read by one task.
pub const SHARD_BYTES: u64 = 1 << 20;

/// The digests of what jobs published in the first run that published it, by test and dataset: every other run must make the same.
static PUBLISHED: Mutex<BTreeMap<(String, String), u64>> = Mutex::new(BTreeMap::new());

/// An attempt as it was sent to a worker.
pub struct Launched {
    pub launch: Launch,
    /// The lists of places that it refers to, by stage.
    pub lists: Vec<(u32, Arc<StagePlaces>)>,
}

pub struct SimWorker {
    pub incarnation: Incarnation,
    pub allow_programs: bool,
    pub up: bool,
    /// It has a session with the coordinator.
    pub connected: bool,
    /// It will not come back.
    pub gone: bool,
    pub objects: BTreeSet<ObjectId>,
    pub shuffles: BTreeSet<AttemptId>,
    pub running: BTreeMap<AttemptId, Launched>,
}

/// What is on its way.
pub enum Mail {
    /// A worker says something to the coordinator.
    Say(WorkerId, Event),
    /// A worker is done with an attempt.
    CarryOut { worker: WorkerId, incarnation: Incarnation, attempt: AttemptId },
    /// A worker dials again.
    Join(WorkerId),
    /// Somebody asks for something.
    Ask(Command),
}

pub struct Sim {
    pub rng: SmallRng,
    ids: u128,
    pub now: i64,
    pub core: Core,
    disk: Disk,
    epoch: u64,
    /// The coordinator may crash now.
    may_crash: bool,
    pub crashes: u64,
    pub workers: BTreeMap<WorkerId, SimWorker>,
    /// What is on its way: when, and a number that keeps the order of equals.
    pub mail: BTreeMap<(i64, u64), Mail>,
    mails: u64,
    pub people: People,
    /// Jobs that were accepted and told so.
    accepted: BTreeSet<JobId>,
    pub ended: BTreeMap<JobId, JobStatus>,
    /// Objects of published versions: they may never be deleted.
    pub published: BTreeSet<ObjectId>,
    /// What stands for the rows of every object, and of every attempt's shuffle file with how many there are in each partition.
    pub contents: BTreeMap<ObjectId, u64>,
    pub shuffles: BTreeMap<AttemptId, (u64, Vec<u64>)>,
    /// Every program fails; who tried which, and whether it was told that it is the last try.
    pub failed_programs: Option<Vec<(TaskId, WorkerId, bool)>>,
    /// Kinds of tasks that were carried out.
    pub kinds: BTreeSet<String>,
    pub faults: u64,
    /// Objects of lost messages: they lie about until their worker joins again and they are old.
    pub litter: BTreeSet<ObjectId>,
    /// Kinds of messages of which the next one is lost.
    pub lose_next: BTreeSet<&'static str>,
    /// Every attempt that was sent to a worker: no two may have one name, also across restarts.
    launched: BTreeSet<AttemptId>,
    /// Kinds of messages that were lost.
    pub lost: BTreeSet<&'static str>,
    /// Datasets have 120 shards of 500 columns, each the work of a task.
    pub wide: bool,
    /// Kinds of jobs that were submitted.
    pub submitted: BTreeSet<&'static str>,
    /// What the scrub asked for.
    pub verified: BTreeSet<(WorkerId, ObjectId)>,
}

pub fn schema() -> Schema {
    Schema::new(vec![Field::new("k", DataType::Int64), Field::new("v", DataType::String)])
}

fn wide_schema() -> Schema {
    let more = (2..500).map(|n| Field::new(format!("column_{n}"), DataType::Float64));
    Schema::new(schema().fields.into_iter().chain(more).collect())
}

pub fn options() -> SchedulerOptions {
    SchedulerOptions { starvation_ms: 300_000, max_lost_attempts: 400, ..Default::default() }
}

impl Sim {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            ids: u128::from(seed) << 64,
            now: 0,
            core: Core::new(options(), 1),
            disk: Disk::default(),
            epoch: 1,
            may_crash: false,
            crashes: 0,
            workers: BTreeMap::new(),
            mail: BTreeMap::new(),
            mails: 0,
            people: People::default(),
            accepted: BTreeSet::new(),
            ended: BTreeMap::new(),
            published: BTreeSet::new(),
            contents: BTreeMap::new(),
            shuffles: BTreeMap::new(),
            failed_programs: None,
            kinds: BTreeSet::new(),
            faults: 0,
            litter: BTreeSet::new(),
            lose_next: BTreeSet::new(),
            launched: BTreeSet::new(),
            lost: BTreeSet::new(),
            wide: false,
            submitted: BTreeSet::new(),
            verified: BTreeSet::new(),
        }
    }

    fn uuid(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    pub fn object(&mut self) -> ObjectRef {
        ObjectRef { id: ObjectId(self.uuid()), bytes: 1000, checksum: String::new() }
    }

    pub fn post(&mut self, delay: i64, mail: Mail) {
        self.mails += 1;
        self.mail.insert((self.now + delay, self.mails), mail);
    }

    pub fn add_worker(&mut self, allow_programs: bool) {
        let id = WorkerId(self.uuid());
        let incarnation = Incarnation(self.uuid());
        let worker = SimWorker {
            incarnation,
            allow_programs,
            up: true,
            connected: false,
            gone: false,
            objects: BTreeSet::new(),
            shuffles: BTreeSet::new(),
            running: BTreeMap::new(),
        };
        self.workers.insert(id, worker);
        self.join(id);
    }

    fn join(&mut self, id: WorkerId) {
        let w = self.workers.get_mut(&id).unwrap();
        w.connected = true;
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

    pub fn step(&mut self, event: Event) {
        // Crashed or not, there is nothing to be told.
        let _ = self.command(Command::Event(event));
    }

    /// What the driver does with a command. Refused as unavailable where the coordinator crashed over it: then nobody knows
    /// whether it took place.
    pub fn command(&mut self, command: Command) -> Result<Answer, Refusal> {
        let crashed = || Err(Refusal::Unavailable("the coordinator crashed".into()));
        let Step { rows, effects, answer } = self.core.step(Timestamp(self.now), command);
        assert_eq!(invariants::violated(self.core.scheduler()), None);
        if answer.is_err() {
            assert!(rows.writes.is_empty() && effects.is_empty(), "what is refused changes nothing: {answer:?}");
        }
        // Before the rows are written, after, or somewhere amid the effects.
        let crash = (self.may_crash && self.rng.random_ratio(1, 150)).then(|| self.rng.random_range(0..3));
        if crash == Some(0) {
            self.crash();
            return crashed();
        }
        self.disk.write(&rows);
        if self.rng.random_ratio(1, 10) {
            self.disk.sync();
        }
        let cut = match crash {
            None => effects.len(),
            Some(1) => 0,
            Some(_) => self.rng.random_range(0..=effects.len()),
        };
        let epoch = self.epoch;
        for effect in effects.into_iter().take(cut) {
            self.perform(effect);
            if self.epoch != epoch {
                // It led to a step over which the coordinator crashed.
                return crashed();
            }
        }
        if crash.is_some() {
            self.crash();
            return crashed();
        }
        if let Ok(Answer::Job(job)) = &answer {
            self.accepted.insert(*job);
        }
        answer
    }

    /// The coordinator dies and comes back with what its disk has. Its workers notice, and dial again.
    fn crash(&mut self) {
        self.faults += 1;
        self.crashes += 1;
        self.epoch += 1;
        self.disk.crash();
        self.core = self.disk.replay(options(), self.epoch, Timestamp(self.now));
        assert_eq!(invariants::violated(self.core.scheduler()), None);
        // What anybody was told is still so.
        let finished = self.disk.table::<Finished>();
        for job in &self.accepted {
            let is_over = finished.iter().any(|(over, _)| over == job);
            assert!(self.core.job_status(*job).is_some() != is_over, "{job} was accepted and is not there, or twice");
        }
        for job in self.ended.keys() {
            assert!(finished.iter().any(|(over, _)| over == job), "{job} was told to be over and is not");
        }
        self.people.check(&self.core);
        // Jobs that ended without anybody hearing of it.
        for (job, status) in finished {
            if !self.ended.contains_key(&job) {
                self.over(status);
            }
        }
        let up: Vec<WorkerId> = self.workers.iter().filter(|(_, w)| w.up).map(|(id, _)| *id).collect();
        for worker in up {
            self.workers.get_mut(&worker).unwrap().connected = false;
            let delay = self.rng.random_range(0..4_000);
            self.post(delay, Mail::Join(worker));
        }
    }

    /// Whether a message of this kind is lost now.
    fn loses(&mut self, kind: &'static str, one_in: u32) -> bool {
        let lost = self.lose_next.remove(kind) || self.may_crash && self.rng.random_ratio(1, one_in);
        if lost {
            self.faults += 1;
            self.lost.insert(kind);
        }
        lost
    }

    fn perform(&mut self, effect: Effect) {
        let kind = match &effect {
            Effect::Launch { .. } => Some("launch"),
            Effect::Kill { .. } => Some("kill"),
            Effect::Delete { .. } => Some("delete"),
            Effect::Forget { .. } => Some("forget"),
            _ => None,
        };
        if kind.is_some_and(|kind| self.loses(kind, 100)) {
            if let Effect::Delete { objects, .. } = effect {
                self.litter.extend(objects);
            }
            return;
        }
        match effect {
            Effect::Launch { worker, launch, places, parts } => {
                let launch = Box::new(as_it_arrives(&launch, parts));
                let versions: Vec<(u32, u64)> = places.iter().map(|(stage, list)| (*stage, list.version)).collect();
                assert_eq!(versions, launch.stages, "a launch refers to lists that do not come with it");
                assert!(self.launched.insert(launch.attempt), "{} is the name of two attempts", launch.attempt);
                let Some(w) = self.workers.get_mut(&worker).filter(|w| w.up && w.connected) else { return };
                let (attempt, incarnation) = (launch.attempt, w.incarnation);
                w.running.insert(attempt, Launched { launch: *launch, lists: places });
                let slow = self.rng.random_ratio(1, 30);
                let delay = if slow { self.rng.random_range(5_000..40_000) } else { self.rng.random_range(1..200) };
                self.post(delay, Mail::CarryOut { worker, incarnation, attempt });
            }
            Effect::Kill { worker, attempt } => {
                if let Some(w) = self.workers.get_mut(&worker) {
                    w.running.remove(&attempt);
                }
            }
            Effect::Delete { worker, objects } => {
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
            // What a launch needs comes with it: see `as_it_arrives`.
            Effect::DropParts { .. } => {}
            Effect::Forget { worker, job } => {
                if let Some(w) = self.workers.get_mut(&worker) {
                    w.shuffles.retain(|a| a.task.job != job);
                }
            }
            Effect::KeepModel { job, model } => {
                let _ = self.command(Command::ModelKept { job, version: model.version, problem: None });
            }
            Effect::Verify { worker, objects } => self.verified.extend(objects.into_iter().map(|o| (worker, o.id))),
            Effect::Over { status } => self.over(*status),
            Effect::Hangup { .. }
            | Effect::Deploy { .. }
            | Effect::RemoveModel { .. }
            | Effect::RemoveGraphs { .. }
            | Effect::RemoveLogs { .. } => {}
        }
    }

    /// A job is over: what it published is there, and the same as in every other run.
    fn over(&mut self, status: JobStatus) {
        let job = status.job;
        let published: Vec<Manifest> = self.core.catalog().manifests().filter(|m| m.job == job).cloned().collect();
        let detail =
            status.kind.eq("evaluate").then(|| self.core.registry().detail(&"foreign".parse().unwrap()).unwrap());
        assert_eq!(
            !published.is_empty()
                || status.model.is_some()
                || detail.is_some_and(|d| d.evaluations.iter().any(|e| e.job == job)),
            status.state == JobState::Done,
            "{job} is {:?} and published {published:?}",
            status.state
        );
        for manifest in &published {
            for object in manifest.objects() {
                let somewhere = self.workers.values().any(|w| w.objects.contains(&object.id));
                assert!(somewhere, "{job} publishes object {} that nobody has", object.id);
                self.published.insert(object.id);
            }
            self.compare(manifest);
        }
        if let Some(model) = &status.model {
            let model = self.core.registry().find(model).expect("the model was published");
            let parameters = serde_json::to_string(&model.parameters).unwrap();
            let same = model.graph().is_some() || *training::BITS.get_or_init(|| parameters.clone()) == parameters;
            assert!(same, "other faults, other bits: {parameters}");
        }
        assert!(self.ended.insert(job, status).is_none(), "{job} ended twice");
    }

    /// Whether a dataset is the one that every run publishes.
    fn compare(&self, manifest: &Manifest) {
        assert!(manifest.rows() > 0);
        let digest = self.dataset_digest(&manifest.shards);
        // A test has a thread of its own: what another one publishes under the same name is made of other inputs.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let first = *PUBLISHED.lock().unwrap().entry((test, manifest.reference().to_string())).or_insert(digest);
        assert_eq!(digest, first, "other faults, other rows in {}", manifest.reference());
    }

    fn deliver(&mut self, mail: Mail) {
        match mail {
            Mail::CarryOut { worker, incarnation, attempt } => {
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
                    self.post(late, Mail::Say(worker, report.clone()));
                }
                let delay = self.rng.random_range(0..50);
                self.post(delay, Mail::Say(worker, report));
            }
            Mail::Say(worker, event) => {
                // Without a session nobody hears it.
                if !self.workers.get(&worker).is_some_and(|w| w.connected) {
                    return;
                }
                if !self.loses("report", 100) {
                    self.step(event);
                } else if let Event::Succeeded { output, .. } = event {
                    self.litter.extend(output.wrote.iter().map(|o| o.id));
                }
            }
            Mail::Join(worker) => {
                if self.workers.get(&worker).is_some_and(|w| w.up && !w.connected) {
                    self.join(worker);
                }
            }
            // Whoever asks learns the answer, and may have to ask again.
            Mail::Ask(command) => drop(self.command(command)),
        }
    }

    pub fn kill(&mut self, id: WorkerId) {
        self.faults += 1;
        let incarnation = Incarnation(self.uuid());
        let w = self.workers.get_mut(&id).unwrap();
        let old = w.incarnation;
        let was_connected = std::mem::take(&mut w.connected);
        w.up = false;
        w.running.clear();
        // What it wrote to its disk stays; its shuffle files are cleared at the next start.
        w.shuffles.clear();
        w.incarnation = incarnation;
        if was_connected {
            self.step(Event::Disconnected { worker: id, incarnation: old });
        }
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
                    // Nor the last one that runs programs.
                    let programs = self.workers.iter().any(|(other, w)| *other != id && w.allow_programs && !w.gone);
                    if others > 3 && programs && self.published.iter().all(up) && self.rng.random_ratio(1, 2) {
                        self.workers.get_mut(&id).unwrap().gone = true;
                    }
                } else if !calm && self.workers[&id].connected && self.rng.random_ratio(1, 600) {
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

    pub fn heartbeats(&mut self) {
        let ids: Vec<WorkerId> = self.workers.iter().filter(|(_, w)| w.up && w.connected).map(|(id, _)| *id).collect();
        for worker in ids {
            let w = &self.workers[&worker];
            let progress = |attempt: &AttemptId| AttemptProgress { attempt: *attempt, rows: 0, bytes: 0, status: None };
            let running = w.running.keys().map(progress).collect();
            let incarnation = w.incarnation;
            // Some are late, and some never come.
            if !self.loses("heartbeat", 50) {
                self.step(Event::Heartbeat { worker, incarnation, running, sessions: 0 });
            }
        }
    }

    /// Lets the world go on until something holds. While it is calm nothing goes wrong.
    pub fn run_until(&mut self, what: &str, done: impl Fn(&Sim) -> bool, calm: bool) {
        let limit = self.now + 3_600_000;
        let mut last_tick = self.now;
        self.may_crash = !calm;
        while !done(self) {
            assert!(self.now < limit, "{what} did not happen; {}", self.describe());
            match self.mail.pop_first() {
                Some(((at, _), mail)) if at <= last_tick + 200 => {
                    self.now = self.now.max(at);
                    self.deliver(mail);
                }
                other => {
                    if let Some((key, mail)) = other {
                        self.mail.insert(key, mail);
                    }
                    last_tick += 200;
                    self.now = self.now.max(last_tick);
                    self.heartbeats();
                    self.step(Event::Tick);
                    self.maybe_fault(calm);
                    if !calm {
                        self.people_ask();
                    }
                }
            }
        }
        self.may_crash = false;
    }

    fn describe(&self) -> String {
        let jobs: Vec<String> = self
            .core
            .scheduler()
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
            .core
            .scheduler()
            .workers()
            .map(|w| format!("{} {:?} runs {:?}", w.id(), w.presence, w.running.keys().collect::<Vec<_>>()))
            .collect();
        let lacking = self.core.scheduler().under_replicated();
        format!("jobs: {jobs:#?}; workers: {workers:#?}; {lacking} under-replicated")
    }

    /// A published dataset of some shards, each on two workers.
    pub fn dataset(&mut self, name: &str, shards: usize) -> Manifest {
        if self.wide {
            return self.dataset_of(name, 120, wide_schema(), ROWS, 20 << 20);
        }
        self.dataset_of(name, shards, schema(), ROWS, SHARD_BYTES)
    }

    pub fn dataset_of(&mut self, name: &str, shards: usize, schema: Schema, stored_rows: u64, bytes: u64) -> Manifest {
        let ids: Vec<WorkerId> = self.workers.iter().filter(|(_, w)| w.up).map(|(id, _)| *id).collect();
        let mut entries = Vec::new();
        for n in 0..shards {
            let object = ObjectRef { bytes, ..self.object() };
            for copy in 0..2 {
                let worker = ids[(n + copy) % ids.len()];
                self.workers.get_mut(&worker).unwrap().objects.insert(object.id);
                self.step(Event::Stored { worker, object: object.id, bytes: 1000 });
            }
            self.contents.insert(object.id, u64::from(name.as_bytes()[0]) << 32 | n as u64);
            entries.push(ShardEntry { object, stored_rows, deletions: None });
        }
        let output = name.parse().unwrap();
        let job = self.submit(JobSpec::Register(RegisterSpec { output, schema, shards: entries, replicas: None }));
        self.run_until("a registration", |s| s.ended.contains_key(&job), true);
        self.core.catalog().find(&name.parse().unwrap()).unwrap().clone()
    }

    /// Submits a job, as often as it takes.
    pub fn submit(&mut self, spec: JobSpec) -> JobId {
        let newest = |core: &Core| core.running_jobs().first().map(|status| status.job);
        let before = newest(&self.core);
        self.submitted.insert(spec.kind());
        let submission = Submission { spec, who: "sim@here".into(), priority: 0, deadline_seconds: None };
        loop {
            let command = Command::Submit {
                submission: Box::new(submission.clone()),
                facts: Box::new(Facts { graph_at_hand: true, ..Facts::default() }),
            };
            match self.command(command) {
                Ok(Answer::Job(job)) => return job,
                Ok(other) => panic!("{other:?}"),
                Err(Refusal::Unavailable(_)) => {}
                Err(refusal) => panic!("{refusal}"),
            }
            if let Some(job) = newest(&self.core).filter(|job| Some(*job) > before) {
                return job;
            }
            self.now += 200;
            self.step(Event::Tick);
        }
    }
}

/// Bytes of a message that launches a task which opens or copies one thing; so many more for each of several small ones that it
/// takes together.
const LAUNCH_BYTES: usize = 1 << 10;

/// A launch as a worker reads it that has the parts that came with it and no others.
fn as_it_arrives(launch: &Launch, parts: Vec<Part>) -> Launch {
    let json = serde_json::to_string(launch).unwrap();
    let copied = if let TaskKind::Copy(task) = &launch.kind { task.objects.len() } else { 0 };
    let taken = launch.kind.opens().len().max(copied).max(1);
    assert!(json.len() < LAUNCH_BYTES * taken, "a launch of {} bytes: {json}", json.len());
    let arrived = Shelf::of(parts).reading(|| serde_json::from_str(&json)).unwrap();
    assert_eq!(*launch, arrived);
    arrived
}
