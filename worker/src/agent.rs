//! The agent: dials the coordinator, reports, and runs what it is told to run, in as many threads as there are slots.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shardmill_common::failure::Failure;
use shardmill_common::ids::{AttemptId, ClusterId, Incarnation, JobId, ObjectId};
use shardmill_common::manifest::ObjectRef;
use shardmill_common::message::{AttemptProgress, FromWorker, Hello, PROTOCOL_VERSION, ToWorker};
use shardmill_common::task::{Launch, TaskPlace};
use shardmill_proto::auth::AddToken;
use shardmill_proto::dial::{DialError, dial};
use shardmill_proto::v1::Json;
use shardmill_proto::v1::coordinator_client::CoordinatorClient;
use shardmill_proto::{MAX_MESSAGE_BYTES, decode, encode};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;

use crate::backend::Backends;
use crate::fetch::{Fetcher, Where};
use crate::parts::Parts;
use crate::server::{Identity, IdentityError};
use crate::sql::Queries;
use crate::store::ReadError;
use crate::tasks::{self, Context, Progress};
use crate::train::Sessions;

const HEARTBEAT: Duration = Duration::from_millis(500);
/// Between attempts to reach a coordinator: soon at first, then less often.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(3);

/// The places of a stage's outputs, as the coordinator sent them: the version, and the places in the order of the tasks.
type StageList = (u64, Arc<Vec<TaskPlace>>);

struct RunningAttempt {
    cancelled: Arc<AtomicBool>,
    progress: Arc<Progress>,
}

/// What a worker says of itself besides its state.
pub struct Facts {
    pub identity: Identity,
    pub incarnation: Incarnation,
    pub coordinator: String,
    pub url: String,
    pub machine: String,
    pub data_dir: String,
    pub slots: u32,
    pub memory: u64,
    pub local_files: bool,
    pub allow_programs: bool,
    pub token: AddToken,
}

pub struct Agent {
    facts: Facts,
    fetch: Arc<Fetcher>,
    queries: Arc<Queries>,
    backends: Arc<Backends>,
    /// Encoded shards between rounds of training; they outlive the jobs and go when idle.
    sessions: Arc<Sessions>,
    attempts: Mutex<HashMap<AttemptId, RunningAttempt>>,
    /// Where the outputs of stages are that many attempts read, by job and stage; they go with the job.
    places: Mutex<HashMap<(JobId, u32), StageList>>,
    /// What tasks share.
    parts: Parts,
    link: Mutex<Link>,
    cluster: Mutex<Option<ClusterId>>,
    pub joined: watch::Sender<bool>,
    /// Told when endpoints may have changed: a session began, or the coordinator says so.
    pub deployments: watch::Sender<u64>,
}

/// Whether there is somebody to talk to. All of it changes at once, so that nothing that is said falls between two sessions.
///
/// ```text
///          welcomed: what was not heard is said
///   Down ---------------------------------------> Up
///     ^                                            |
///     +------------------- broken -----------------+
/// ```
enum Link {
    Down {
        /// Reports that found no session: said again in the next one.
        unsent: Vec<FromWorker>,
        /// The start count of the coordinator of the session before, to which the running attempts belong.
        epoch: Option<u64>,
    },
    Up {
        out: mpsc::UnboundedSender<FromWorker>,
        epoch: u64,
    },
}

impl Link {
    fn say(&mut self, message: FromWorker) {
        match self {
            Link::Up { out, epoch } => {
                if let Err(unsent) = out.send(message) {
                    *self = Link::Down { unsent: vec![unsent.0], epoch: Some(*epoch) };
                }
            }
            Link::Down { unsent, .. } => unsent.push(message),
        }
    }

    /// A session began. A coordinator that restarted does not know of attempts from before; it stops them itself, and reports on
    /// them would be of no use to it.
    fn welcomed(&mut self, out: mpsc::UnboundedSender<FromWorker>, epoch: u64) {
        if let Link::Down { unsent, epoch: before } = self
            && before.is_none_or(|before| before == epoch)
        {
            // One that breaks at once is dialled again; what it did not hear is found out by its heartbeats.
            unsent.drain(..).for_each(|message| drop(out.send(message)));
        }
        *self = Link::Up { out, epoch };
    }

    fn broken(&mut self) {
        if let Link::Up { epoch, .. } = self {
            *self = Link::Down { unsent: Vec::new(), epoch: Some(*epoch) };
        }
    }
}

/// How a session ended.
enum SessionEnd {
    /// Dial again.
    Broken(String),
    /// The coordinator does not want this worker, or there can be none at its address.
    Refused(Refused),
    Stopped,
}

/// Why a worker will not be dialling again.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Address(DialError),
    /// A wrong token, or another version of the program: in the coordinator's words.
    #[error("{}", .0.message())]
    Call(Box<Status>),
    #[error("{reason}")]
    ByCoordinator { reason: String },
    #[error(transparent)]
    Identity(IdentityError),
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resolves once the worker is told to stop, or nobody is left to tell it.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|s| *s).await);
}

impl Agent {
    pub fn new(facts: Facts, fetch: Arc<Fetcher>, queries: Arc<Queries>) -> Arc<Self> {
        let cluster = Mutex::new(facts.identity.cluster);
        // The coordinator is told what they take, and gives attempts the rest.
        let sessions = Arc::new(Sessions::new(facts.memory / 2));
        let backends = Arc::new(Backends::new(fetch.store.layout.tmp()));
        Arc::new(Self {
            facts,
            fetch,
            queries,
            backends,
            sessions,
            attempts: Mutex::default(),
            places: Mutex::default(),
            parts: Parts::default(),
            link: Mutex::new(Link::Down { unsent: Vec::new(), epoch: None }),
            cluster,
            joined: watch::Sender::new(false),
            deployments: watch::Sender::new(0),
        })
    }

    /// Says something to the coordinator, now or in the next session.
    pub fn say(&self, message: FromWorker) {
        locked(&self.link).say(message);
    }

    /// Dials until told to stop; fails with the coordinator's reason if it refuses this worker.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) -> Result<(), Refused> {
        let mut wait = FIRST_RETRY;
        loop {
            let end = self.session(stop.clone()).await;
            locked(&self.link).broken();
            let was_joined = self.joined.send_replace(false);
            match end {
                SessionEnd::Stopped => return Ok(()),
                SessionEnd::Refused(reason) => return Err(reason),
                SessionEnd::Broken(why) => {
                    if was_joined {
                        wait = FIRST_RETRY;
                    }
                    tracing::info!(coordinator = self.facts.coordinator, why, "no session; trying again in {wait:?}");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = told_to_stop(&mut stop) => return Ok(()),
            }
            wait = (wait * 2).min(LAST_RETRY);
        }
    }

    async fn session(self: &Arc<Self>, mut stop: watch::Receiver<bool>) -> SessionEnd {
        if *stop.borrow() {
            return SessionEnd::Stopped;
        }
        let channel = match dial(&self.facts.coordinator).await {
            Ok(channel) => channel,
            Err(e @ DialError::Url { .. }) => return SessionEnd::Refused(Refused::Address(e)),
            Err(e @ DialError::Unreachable { .. }) => return SessionEnd::Broken(format!("cannot connect: {e}")),
        };
        let mut client = CoordinatorClient::with_interceptor(channel, self.facts.token.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let (out, messages) = mpsc::unbounded_channel::<FromWorker>();
        match self.hello() {
            // The receiver is right here.
            Ok(hello) => drop(out.send(FromWorker::Hello(hello))),
            Err(e) => return SessionEnd::Broken(format!("cannot list the store: {e}")),
        }
        let outgoing = UnboundedReceiverStream::new(messages)
            .map(|message| encode(&message).unwrap_or_else(|_| Json { json: Vec::new() }));
        let mut incoming = match client.session(outgoing).await {
            Ok(answer) => answer.into_inner(),
            // Neither a wrong token nor another version of the program mends itself.
            Err(s) if matches!(s.code(), tonic::Code::Unauthenticated | tonic::Code::OutOfRange) => {
                return SessionEnd::Refused(Refused::Call(Box::new(s)));
            }
            Err(s) => return SessionEnd::Broken(s.message().to_owned()),
        };
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                message = incoming.message() => {
                    let message = match message {
                        Ok(Some(message)) => message,
                        Ok(None) => return SessionEnd::Broken("the coordinator closed the session".into()),
                        Err(s) => return SessionEnd::Broken(s.message().to_owned()),
                    };
                    match self.parts.reading(|| decode::<ToWorker>(&message)) {
                        Ok(ToWorker::Refused { reason }) => return SessionEnd::Refused(Refused::ByCoordinator { reason }),
                        Ok(ToWorker::Welcome { cluster, epoch }) => {
                            if let Err(e) = self.welcomed(cluster, epoch, &out) {
                                return SessionEnd::Refused(Refused::Identity(e));
                            }
                        }
                        Ok(message) => self.obey(message),
                        Err(s) => return SessionEnd::Broken(s.message().to_owned()),
                    }
                }
                _ = heartbeat.tick() => {
                    let outlived = self.backends.outlived();
                    if !outlived.is_empty() {
                        tokio::task::spawn_blocking(move || drop(outlived));
                    }
                    let beat = FromWorker::Heartbeat { running: self.progress(), sessions: self.sessions.bytes() };
                    if *self.joined.borrow() && out.send(beat).is_err() {
                        return SessionEnd::Broken("the session's outgoing side is closed".into());
                    }
                }
                () = told_to_stop(&mut stop) => {
                    drop(out.send(FromWorker::Leaving));
                    // Long enough for the word to reach a coordinator that listens.
                    drop(out);
                    locked(&self.link).broken();
                    drop(tokio::time::timeout(Duration::from_millis(200), incoming.message()).await);
                    return SessionEnd::Stopped;
                }
            }
        }
    }

    fn hello(&self) -> std::io::Result<Hello> {
        Ok(Hello {
            protocol: PROTOCOL_VERSION,
            program: concat!("shardmill ", env!("CARGO_PKG_VERSION")).into(),
            worker: self.facts.identity.worker,
            incarnation: self.facts.incarnation,
            cluster: *locked(&self.cluster),
            url: self.facts.url.clone(),
            machine: self.facts.machine.clone(),
            data_dir: self.facts.data_dir.clone(),
            slots: self.facts.slots,
            memory: self.facts.memory,
            allow_programs: self.facts.allow_programs,
            objects: self.fetch.store.list()?,
            attempts: locked(&self.attempts).keys().copied().collect(),
        })
    }

    fn welcomed(
        &self,
        cluster: ClusterId,
        epoch: u64,
        out: &mpsc::UnboundedSender<FromWorker>,
    ) -> Result<(), IdentityError> {
        if locked(&self.cluster).is_none() {
            self.facts.identity.join(cluster, &self.fetch.store.layout)?;
            *locked(&self.cluster) = Some(cluster);
        }
        self.parts.clear();
        locked(&self.link).welcomed(out.clone(), epoch);
        self.joined.send_replace(true);
        self.deployments.send_modify(|n| *n += 1);
        tracing::info!(coordinator = self.facts.coordinator, %cluster, epoch, "joined");
        Ok(())
    }

    fn progress(&self) -> Vec<AttemptProgress> {
        locked(&self.attempts)
            .iter()
            .map(|(attempt, running)| AttemptProgress {
                attempt: *attempt,
                rows: running.progress.rows.load(Ordering::Relaxed),
                bytes: running.progress.bytes.load(Ordering::Relaxed),
                status: running.progress.status(),
            })
            .collect()
    }

    fn obey(self: &Arc<Self>, message: ToWorker) {
        match message {
            ToWorker::Launch(launch) => self.launch(*launch),
            ToWorker::Kill { attempt } => {
                if let Some(running) = locked(&self.attempts).get(&attempt) {
                    running.cancelled.store(true, Ordering::Relaxed);
                }
            }
            ToWorker::Delete { objects } => self.fetch.store.delete(&objects),
            ToWorker::Verify { objects } => self.verify(objects),
            ToWorker::Forget { job } => {
                locked(&self.places).retain(|(of, _), _| *of != job);
                self.parts.forget(job);
                self.fetch.store.forget_job(job);
            }
            ToWorker::Places { job, stage, version, begin, places } => {
                let mut lists = locked(&self.places);
                let (known, list) = lists.entry((job, stage)).or_default();
                if begin == 0 {
                    (*known, *list) = (version, Arc::default());
                }
                // Attempts that run keep the list they began with.
                Arc::make_mut(list).extend(places);
            }
            ToWorker::Part { job, digest, piece, last } => self.parts.take(job, digest, &piece, last),
            ToWorker::DropParts { job, parts } => self.parts.drop_parts(job, &parts),
            ToWorker::Deploy { revision } => {
                tracing::debug!(revision, "endpoints changed");
                self.deployments.send_modify(|n| *n += 1);
            }
            ToWorker::Welcome { .. } | ToWorker::Refused { .. } => {}
        }
    }

    /// Reads objects and reports those whose copy here is no good.
    fn verify(self: &Arc<Self>, objects: Vec<ObjectRef>) {
        let agent = self.clone();
        tokio::task::spawn_blocking(move || {
            let bad: Vec<ObjectId> = objects
                .iter()
                .filter(|o| matches!(agent.fetch.store.read(o), Err(ReadError::Missing | ReadError::Damaged(_))))
                .map(|o| o.id)
                .collect();
            if !bad.is_empty() {
                agent.say(FromWorker::Damaged { objects: bad });
            }
        });
    }

    fn launch(self: &Arc<Self>, launch: Launch) {
        let cancelled = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(Progress::default());
        let running = RunningAttempt { cancelled: cancelled.clone(), progress: progress.clone() };
        locked(&self.attempts).insert(launch.attempt, running);
        let job = launch.attempt.task.job;
        let lists = {
            let known = locked(&self.places);
            let list = |(stage, version): &(u32, u64)| {
                let (_, list) = known.get(&(job, *stage)).filter(|(known, _)| known == version)?;
                Some((*stage, list.clone()))
            };
            launch.stages.iter().filter_map(list).collect()
        };
        let agent = self.clone();
        tokio::task::spawn_blocking(move || {
            let attempt = launch.attempt;
            let started = Instant::now();
            let place = Where { holders: launch.holders, peers: launch.peers.to_vec() };
            let context = Context::new(
                attempt,
                agent.fetch.clone(),
                place,
                launch.places,
                cancelled,
                progress,
                agent.facts.local_files,
            )
            .with_sessions(agent.sessions.clone())
            .with_queries(agent.queries.clone())
            .with_backends(agent.backends.clone())
            .with_stages(lists)
            .with_limits(agent.facts.memory, agent.facts.slots, launch.last_try);
            let outcome = tasks::run(&context, &launch.kind);
            let seconds = started.elapsed().as_secs_f64();
            tracing::debug!(%attempt, seconds, ok = outcome.is_ok(), "attempt ended");
            locked(&agent.attempts).remove(&attempt);
            let log = context.progress.take_log();
            agent.say(match outcome {
                Ok(mut output) => {
                    output.read = context.progress.rows.load(Ordering::Relaxed);
                    FromWorker::Succeeded { attempt, output: Box::new(output), seconds, log }
                }
                Err(failure) => {
                    if !matches!(failure, Failure::Killed | Failure::BadInput { .. } | Failure::ProgramFailed { .. }) {
                        tracing::warn!(%attempt, %failure, "attempt failed");
                    }
                    FromWorker::Failed { attempt, failure, log }
                }
            });
        });
    }

    /// Tells every attempt to stop and waits until they have, within `bound`.
    pub async fn stop_attempts(&self, bound: Duration) {
        for running in locked(&self.attempts).values() {
            running.cancelled.store(true, Ordering::Relaxed);
        }
        let deadline = Instant::now() + bound;
        while !locked(&self.attempts).is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn stored(&self, object: ObjectId, bytes: u64) {
        self.say(FromWorker::Stored { object, bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(n: u64) -> FromWorker {
        FromWorker::Serving { url: String::new(), revision: n }
    }

    fn heard(receiver: &mut mpsc::UnboundedReceiver<FromWorker>) -> Vec<FromWorker> {
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    #[test]
    fn what_was_said_without_a_session_is_said_in_the_next_one_of_the_same_coordinator() {
        let mut link = Link::Down { unsent: Vec::new(), epoch: None };
        link.say(said(1));
        let (out, mut first) = mpsc::unbounded_channel();
        link.welcomed(out, 7);
        link.say(said(2));
        assert_eq!(heard(&mut first), [said(1), said(2)]);
        drop(first);
        // The session is over before anybody noticed.
        link.say(said(3));
        link.broken();
        link.say(said(4));
        let (out, mut second) = mpsc::unbounded_channel();
        link.welcomed(out, 7);
        assert_eq!(heard(&mut second), [said(3), said(4)]);
        link.broken();
        link.say(said(5));
        let (out, mut third) = mpsc::unbounded_channel();
        link.welcomed(out, 8);
        assert_eq!(heard(&mut third), [], "another coordinator does not know the attempts");
    }
}
