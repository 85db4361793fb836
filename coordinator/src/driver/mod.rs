//! The driver: one loop that takes commands and requests from a mailbox, steps the core, writes its rows to the journal, and only
//! then performs its effects and answers. The only place of the coordinator with a clock and a journal; everything else decodes,
//! posts and encodes.

mod perform;
mod requests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use shardmill_common::endpoint::ServingNode;
use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::ids::{ClusterId, JobId, WorkerId};
use shardmill_common::layout::CoordinatorLayout;
use shardmill_common::message::ToWorker;
use shardmill_common::shared::Digest;
use shardmill_common::status::{AttemptLog, JobStatus};
use shardmill_common::time::Timestamp;
use shardmill_core::rows::Ledger;
use shardmill_core::scheduler::{Event, Joined, SchedulerOptions, Task};
use shardmill_core::tables::Finished;
use shardmill_core::{Command as CoreCommand, Core, Effect, FromAnswer};
use tokio::sync::{mpsc, oneshot, watch};

use crate::journal::{Journal, JournalError};
use crate::logs::Logs;
use crate::retention::{self, Retention};

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(200);
/// Commands taken before the journal is written: one commit serves them all.
const BATCH: usize = 512;
/// How often those who watch a job are told where it stands, at most.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// How long nodes may still say what they counted, once the coordinator stops.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How often what is not kept any longer is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

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
    Do(CoreCommand),
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

    /// Has the core take a command; the answer comes once what it changed is on disk.
    pub async fn command<T: FromAnswer + Send + 'static>(&self, command: CoreCommand) -> Result<T, Refusal> {
        self.ask(move |driver| driver.command(command)).await
    }

    /// Has the core take a command whose answer nobody waits for.
    pub async fn post(&self, command: CoreCommand) -> Result<(), Refusal> {
        self.mailbox.send(Command::Do(command)).await.map_err(|_| gone())
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

/// A worker's session, and what was said in it.
struct Session {
    number: u64,
    out: mpsc::UnboundedSender<ToWorker>,
    /// The lists of places that the worker has, by job and stage, with their versions.
    places: HashMap<(JobId, u32), u64>,
    /// The parts that it has, by job.
    parts: HashSet<(JobId, Digest)>,
}

pub struct Driver {
    layout: CoordinatorLayout,
    logs: Logs,
    core: Core,
    /// Processes that answer requests, by name.
    serving: BTreeMap<String, ServingNode>,
    /// The last change of endpoints that is on disk.
    deployed: watch::Sender<u64>,
    journal: Journal,
    retention: Retention,
    swept: Option<Instant>,
    sessions: HashMap<WorkerId, Session>,
    watchers: HashMap<JobId, watch::Sender<JobStatus>>,
    /// When those who watch jobs were last told, and how long that took.
    told: Instant,
    telling_took: Duration,
    /// Rows that are to be written next.
    rows: Ledger,
    /// What is to be done once they are.
    effects: Vec<Effect>,
    replies: Vec<Reply>,
    /// Jobs that are over and not in the journal yet.
    ending: BTreeMap<JobId, JobStatus>,
}

impl Driver {
    /// A driver over a journal that was just opened, with its handle and the mailbox its loop takes.
    pub fn new(
        layout: CoordinatorLayout,
        journal: Journal,
        options: SchedulerOptions,
        retention: Retention,
    ) -> Result<(Self, Handle, Mailbox), JournalError> {
        let core = journal.replay(options, Timestamp::now())?;
        let running = core.running_jobs();
        for job in &running {
            tracing::info!(job = %job.job, kind = job.kind, "taking up an unfinished job");
        }
        let running: HashSet<JobId> = running.into_iter().map(|status| status.job).collect();
        let (tx, rx) = mpsc::channel(4096);
        let handle = Handle { mailbox: tx, cluster: journal.cluster, epoch: journal.epoch };
        let reader = journal.reader();
        let logs = Logs::start(layout.clone(), move |job| {
            // What cannot be found out is kept.
            running.contains(&job) || reader.has::<Finished>(&job).unwrap_or(true)
        });
        let driver = Self {
            layout,
            logs,
            deployed: watch::Sender::new(core.endpoint_revision()),
            core,
            serving: BTreeMap::new(),
            journal,
            retention,
            swept: None,
            sessions: HashMap::new(),
            watchers: HashMap::new(),
            told: Instant::now(),
            telling_took: Duration::ZERO,
            rows: Ledger::default(),
            effects: Vec::new(),
            replies: Vec::new(),
            ending: BTreeMap::new(),
        };
        driver.sweep_graphs();
        driver.sweep_models();
        Ok((driver, handle, Mailbox(rx)))
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
                    self.step(CoreCommand::Event(Event::Tick));
                    self.sweep();
                    tokio::task::block_in_place(|| self.journal.settle())?;
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
            // Nobody gets any more work.
            if matches!(command, Command::Ask(_) | Command::Do(CoreCommand::Counted(_))) {
                self.take(command);
                self.flush()?;
            }
        }
        self.step(CoreCommand::FlushWindows);
        self.flush()?;
        tokio::task::block_in_place(|| self.journal.sync())
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Join { joined, session, out } => {
                let session = Session { number: session, out, places: HashMap::new(), parts: HashSet::new() };
                // An order to hang up that was not carried out yet is about the session before.
                let id = joined.peer.worker;
                self.effects.retain(|effect| !matches!(effect, Effect::Hangup { worker } if *worker == id));
                self.sessions.insert(id, session);
                self.step(CoreCommand::Event(Event::Joined(joined)));
            }
            Command::Disconnected { worker, session } => {
                // An older session that ends late says nothing of the one that took its place.
                if self.sessions.get(&worker).is_some_and(|s| s.number == session) {
                    self.sessions.remove(&worker);
                    self.serving.remove(&worker.to_string());
                    if let Some(incarnation) = self.core.scheduler().worker(worker).map(|w| w.incarnation) {
                        self.step(CoreCommand::Event(Event::Disconnected { worker, incarnation }));
                    }
                }
            }
            Command::Do(command) => self.step(command),
            Command::Ended(event, log) => {
                self.keep_log(&event, log);
                self.step(CoreCommand::Event(event));
            }
            Command::Ask(ask) => {
                let reply = ask(self);
                self.replies.push(reply);
            }
        }
    }

    /// Journal first, then the outside world.
    fn flush(&mut self) -> Result<(), JournalError> {
        loop {
            let rows = std::mem::take(&mut self.rows);
            if !rows.writes.is_empty() || rows.broken.is_some() {
                tokio::task::block_in_place(|| self.journal.write(&rows))?;
            }
            let effects = std::mem::take(&mut self.effects);
            if effects.is_empty() {
                break;
            }
            // Some of them lead to further steps.
            effects.into_iter().for_each(|effect| self.perform(effect));
        }
        self.ending.clear();
        for reply in std::mem::take(&mut self.replies) {
            reply();
        }
        self.tell_watchers();
        Ok(())
    }

    /// Removes what is not kept any longer, now and then.
    fn sweep(&mut self) {
        if self.swept.is_some_and(|swept| swept.elapsed() < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(Instant::now());
        let (reader, now) = (self.journal.reader(), Timestamp::now());
        match tokio::task::block_in_place(|| retention::sweep(&reader, self.retention, now)) {
            Ok(None) => {}
            Ok(Some(command)) => {
                self.step(command);
                // There may be more.
                self.swept = None;
            }
            Err(e) => tracing::warn!(error = %e, "finished jobs and records cannot be swept; trying again later"),
        }
    }

    /// Tells those who watch jobs where they stand, now and then, so that watching costs a small part of the work. The end of a
    /// job is told at once, as an effect.
    fn tell_watchers(&mut self) {
        let pause = TELL_EVERY.max(self.telling_took * 20);
        if self.watchers.is_empty() || self.told.elapsed() < pause {
            return;
        }
        let begun = Instant::now();
        self.watchers.retain(|_, watcher| !watcher.is_closed());
        for (id, watcher) in &self.watchers {
            let Some(status) = self.core.job_status(*id) else { continue };
            watcher.send_if_modified(|old| {
                let changed = *old != status;
                *old = status;
                changed
            });
        }
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
        let Some(stage) =
            self.core.scheduler().job(attempt.task.job).and_then(|j| j.stages.get(attempt.task.stage as usize))
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
}

/// The receiving end of a driver's mailbox.
pub struct Mailbox(mpsc::Receiver<Command>);
