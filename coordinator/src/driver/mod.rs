//! The driver: one loop that takes events and requests from a mailbox, steps the scheduler, writes the journal, and only
//! then performs the actions and answers. Everything else in the coordinator decodes, posts and encodes.

mod endpoints;
mod perform;
mod requests;
mod status;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use shardmill_common::endpoint::ServingNode;
use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::ids::{ClusterId, JobId, WorkerId};
use shardmill_common::layout::CoordinatorLayout;
use shardmill_common::message::ToWorker;
use shardmill_common::spec::JobSpec;
use shardmill_common::status::{AttemptLog, JobStatus};
use shardmill_common::time::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use crate::catalog::Catalog;
use crate::endpoints::Endpoints;
use crate::journal::{Contents, JobRow, Journal, JournalError, Write};
use crate::logs::Logs;
use crate::registry::Registry;
use crate::scheduler::{Event, Joined, Scheduler, SchedulerOptions, Task};
use crate::windows::Windows;

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(200);
/// Commands taken before the journal is written: one commit serves them all.
const BATCH: usize = 512;
/// How often those who watch a job are told where it stands, at most.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// How long nodes may still say what they counted, once the coordinator stops.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Finished jobs kept for `job list`.
const FINISHED_KEPT: usize = 1000;

/// What runs after the journal has been written.
type Reply = Box<dyn FnOnce() + Send>;
/// A request: it may change the driver; what it returns is called once the change is on disk.
type Ask = Box<dyn FnOnce(&mut Driver) -> Reply + Send>;

enum Command {
    Join {
        joined: Box<Joined>,
        session: u64,
        out: mpsc::UnboundedSender<ToWorker>,
    },
    Disconnected {
        worker: WorkerId,
        session: u64,
    },
    Event(Event),
    /// An attempt ended, with what its program wrote to standard error.
    Ended(Event, Option<String>),
    Ask(Ask),
}

/// The mailbox of a driver. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    mailbox: mpsc::Sender<Command>,
    pub cluster: ClusterId,
    pub epoch: u64,
}

/// The driver is gone: the coordinator is stopping, or its journal could not be written.
fn gone() -> Refusal {
    Refusal::Unavailable("the coordinator is stopping".into())
}

impl Handle {
    /// Runs `f` in the driver's loop; the answer comes once what it changed is on disk.
    pub async fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Driver) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (tx, rx) = oneshot::channel();
        let ask: Ask = Box::new(move |driver| {
            let answer = f(driver);
            // The asker may have gone away; then nobody misses the answer.
            Box::new(move || drop(tx.send(answer)))
        });
        self.mailbox.send(Command::Ask(ask)).await.map_err(|_| gone())?;
        rx.await.map_err(|_| gone())?
    }

    /// Tells the driver something; done once what that changed is on disk.
    pub async fn tell(&self, f: impl FnOnce(&mut Driver) + Send + 'static) -> Result<(), Refusal> {
        let told = |driver: &mut Driver| {
            f(driver);
            Ok(())
        };
        self.ask(told).await
    }

    pub async fn post(&self, event: Event) -> Result<(), Refusal> {
        self.mailbox.send(Command::Event(event)).await.map_err(|_| gone())
    }

    /// An attempt ended: `Succeeded` or `Failed`, with what its program wrote to standard error.
    pub async fn ended(&self, event: Event, log: Option<String>) -> Result<(), Refusal> {
        self.mailbox.send(Command::Ended(event, log)).await.map_err(|_| gone())
    }

    pub async fn join(
        &self,
        joined: Joined,
        session: u64,
        out: mpsc::UnboundedSender<ToWorker>,
    ) -> Result<(), Refusal> {
        self.mailbox.send(Command::Join { joined: Box::new(joined), session, out }).await.map_err(|_| gone())
    }

    pub async fn disconnected(&self, worker: WorkerId, session: u64) {
        // A driver that is gone needs no news.
        let _ = self.mailbox.send(Command::Disconnected { worker, session }).await;
    }
}

/// What the driver remembers of a job besides the scheduler's state.
#[derive(Clone, Debug)]
struct JobInfo {
    row: JobRow,
    started: Timestamp,
}

/// A worker's session, and what was said in it.
struct Session {
    number: u64,
    out: mpsc::UnboundedSender<ToWorker>,
    /// The lists of places that the worker has, by job and stage, with their versions.
    places: HashMap<(JobId, u32), u64>,
}

pub struct Driver {
    layout: CoordinatorLayout,
    logs: Logs,
    scheduler: Scheduler,
    catalog: Catalog,
    registry: Registry,
    endpoints: Endpoints,
    /// Processes that answer requests, by name.
    serving: BTreeMap<String, ServingNode>,
    /// What was counted of endpoints and is not in the journal yet.
    windows: Windows,
    /// The last change of endpoints that is on disk.
    deployed: watch::Sender<u64>,
    journal: Journal,
    next_job: u64,
    infos: BTreeMap<JobId, JobInfo>,
    finished: BTreeMap<JobId, JobStatus>,
    sessions: HashMap<WorkerId, Session>,
    watchers: HashMap<JobId, watch::Sender<JobStatus>>,
    /// When those who watch jobs were last told, and how long that took.
    told: Instant,
    telling_took: Duration,
    /// A job ended that may be watched: its end is told at once.
    job_ended: bool,
    writes: Vec<Write>,
    outbox: Vec<(WorkerId, ToWorker)>,
    replies: Vec<Reply>,
    /// Digests of graphs that fewer refer to than before.
    doomed_graphs: Vec<String>,
}

impl Driver {
    /// A driver over a journal that was just opened, with its handle and the mailbox its loop takes.
    pub fn new(
        layout: CoordinatorLayout,
        journal: Journal,
        contents: Contents,
        options: SchedulerOptions,
    ) -> (Self, Handle, Mailbox) {
        let mut scheduler = Scheduler::new(options, crate::jobs::next, contents.epoch);
        scheduler.restore_published(contents.catalog.objects());
        let now = Timestamp::now();
        let mut infos = BTreeMap::new();
        for job in contents.unfinished {
            let Some(resolved) = job.row.resolved.clone() else { continue };
            let stages = job.stages.into_iter().map(|s| (s.restored(now.0), s.done)).collect();
            tracing::info!(job = %job.row.job, kind = resolved.spec.kind(), "taking up an unfinished job");
            scheduler.restore_job(
                now.0,
                job.row.job,
                resolved,
                job.row.priority,
                job.row.deadline.map(|d| d.0),
                stages,
            );
            infos.insert(job.row.job, JobInfo { row: job.row, started: now });
        }
        let (tx, rx) = mpsc::channel(4096);
        let handle = Handle { mailbox: tx, cluster: contents.cluster, epoch: contents.epoch };
        let finished: BTreeMap<JobId, JobStatus> = contents.finished.into_iter().map(|s| (s.job, s)).collect();
        let logs = Logs::start(layout.clone(), finished.keys().chain(infos.keys()).copied().collect());
        let driver = Self {
            layout,
            logs,
            scheduler,
            catalog: contents.catalog,
            registry: contents.registry,
            deployed: watch::Sender::new(contents.endpoints.revision()),
            endpoints: contents.endpoints,
            serving: BTreeMap::new(),
            windows: Windows::default(),
            journal,
            next_job: contents.next_job,
            infos,
            finished,
            sessions: HashMap::new(),
            watchers: HashMap::new(),
            told: Instant::now(),
            telling_took: Duration::ZERO,
            job_ended: false,
            writes: Vec::new(),
            outbox: Vec::new(),
            replies: Vec::new(),
            doomed_graphs: Vec::new(),
        };
        driver.sweep_graphs();
        (driver, handle, Mailbox(rx))
    }

    /// Runs until every handle is gone or `stop` fires. Fails when the journal cannot be written: then nothing that was not
    /// written has been promised to anyone.
    pub async fn run(mut self, mailbox: Mailbox, mut stop: watch::Receiver<bool>) -> Result<(), JournalError> {
        let Mailbox(mut mailbox) = mailbox;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                command = mailbox.recv() => match command {
                    Some(command) => self.take(command),
                    None => return Ok(()),
                },
                _ = tick.tick() => {
                    self.step(Event::Tick);
                    self.keep_windows();
                }
                () = async { drop(stop.wait_for(|s| *s).await) } => return self.close(mailbox).await,
            }
            for _ in 0..BATCH {
                match mailbox.try_recv() {
                    Ok(command) => self.take(command),
                    Err(_) => break,
                }
            }
            self.flush()?;
        }
    }

    /// Takes in what nodes counted last, and leaves everything on disk.
    async fn close(mut self, mut mailbox: mpsc::Receiver<Command>) -> Result<(), JournalError> {
        let wait = if self.serving.is_empty() { Duration::ZERO } else { LAST_WORDS };
        let end = tokio::time::Instant::now() + wait;
        while let Ok(Some(command)) = tokio::time::timeout_at(end, mailbox.recv()).await {
            if let Command::Ask(ask) = command {
                let reply = ask(&mut self);
                self.replies.push(reply);
                self.flush()?;
            }
        }
        self.flush_windows();
        self.flush()?;
        tokio::task::block_in_place(|| self.journal.sync())
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Join { joined, session, out } => {
                let session = Session { number: session, out, places: HashMap::new() };
                self.sessions.insert(joined.peer.worker, session);
                self.step(Event::Joined(joined));
            }
            Command::Disconnected { worker, session } => {
                // An older session that ends late says nothing of the one that took its place.
                if self.sessions.get(&worker).is_some_and(|s| s.number == session) {
                    self.sessions.remove(&worker);
                    self.serving.remove(&worker.to_string());
                    if let Some(incarnation) = self.scheduler.worker(worker).map(|w| w.incarnation) {
                        self.step(Event::Disconnected { worker, incarnation });
                    }
                }
            }
            Command::Event(event) => self.step(event),
            Command::Ended(event, log) => {
                self.keep_log(&event, log);
                self.step(event);
            }
            Command::Ask(ask) => {
                let reply = ask(self);
                self.replies.push(reply);
            }
        }
    }

    /// Journal first, then the outside world.
    fn flush(&mut self) -> Result<(), JournalError> {
        let writes = std::mem::take(&mut self.writes);
        if !writes.is_empty() {
            tokio::task::block_in_place(|| self.journal.write(&writes))?;
        }
        self.drop_graphs();
        for (worker, message) in std::mem::take(&mut self.outbox) {
            if let Some(session) = self.sessions.get(&worker) {
                // A closed session is reported by its reader.
                let _ = session.out.send(message);
            }
        }
        for reply in std::mem::take(&mut self.replies) {
            reply();
        }
        self.tell_watchers();
        Ok(())
    }

    /// Tells those who watch jobs where they stand: the end of a job at once, anything else now and then, so that watching
    /// costs a small part of the work.
    fn tell_watchers(&mut self) {
        let pause = TELL_EVERY.max(self.telling_took * 20);
        if self.watchers.is_empty() || (!self.job_ended && self.told.elapsed() < pause) {
            self.job_ended = false;
            return;
        }
        let begun = Instant::now();
        let ids: Vec<JobId> = self.watchers.keys().copied().collect();
        for id in ids {
            if self.watchers.get(&id).is_none_or(watch::Sender::is_closed) {
                self.watchers.remove(&id);
                continue;
            }
            let Ok(status) = self.job_status(id) else { continue };
            let is_final = status.state.is_final();
            if let Some(watcher) = self.watchers.get(&id) {
                watcher.send_if_modified(|old| {
                    let changed = *old != status;
                    *old = status;
                    changed
                });
                if is_final {
                    self.watchers.remove(&id);
                }
            }
        }
        self.job_ended = false;
        self.told = Instant::now();
        self.telling_took = begun.elapsed();
    }

    /// Keeps what an attempt left for people to read, if it left anything.
    fn keep_log(&self, event: &Event, log: Option<String>) {
        let (attempt, worker, why) = match event {
            Event::Succeeded { attempt, worker, .. } => (attempt, worker, None),
            Event::Failed { failure: Failure::Killed, .. } => return,
            Event::Failed { attempt, worker, failure, .. } => (attempt, worker, Some(failure.to_string())),
            _ => return,
        };
        if log.is_none() && why.is_none() {
            return;
        }
        // An attempt that lost its task already is of no interest.
        let Some(stage) = self.scheduler.job(attempt.task.job).and_then(|j| j.stages.get(attempt.task.stage as usize))
        else {
            return;
        };
        let running = stage.task(attempt.task.task).map(Task::running).unwrap_or_default();
        let Some(running) = running.iter().find(|r| r.attempt == *attempt) else { return };
        let entry = AttemptLog {
            stage: attempt.task.stage,
            stage_name: stage.name.clone(),
            task: attempt.task.task,
            attempt: u64::from(running.number),
            worker: *worker,
            ended: Timestamp::now(),
            failed: why.is_some(),
            why,
            text: log.unwrap_or_default(),
        };
        self.logs.keep(attempt.task.job, entry);
    }

    /// Jobs under way that write this dataset, or read and write anything of its name.
    fn writer_of(&self, name: &shardmill_common::name::DatasetName) -> Option<JobId> {
        self.scheduler
            .jobs()
            .filter(|j| !matches!(j.resolved.spec, JobSpec::Repair(_)))
            .find(|j| {
                j.resolved.spec.outputs().into_iter().any(|o| o == name || o.rejects() == *name || name.rejects() == *o)
            })
            .map(|j| j.id)
    }
}

/// The receiving end of a driver's mailbox.
pub struct Mailbox(mpsc::Receiver<Command>);
