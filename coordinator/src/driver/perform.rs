//! Steps of the core, and performing what follows from them.

use shardmill_common::failure::Refusal;
use shardmill_common::ids::{JobId, WorkerId};
use shardmill_common::message::ToWorker;
use shardmill_common::model::Model;
use shardmill_common::shared::Part;
use shardmill_common::status::JobState;
use shardmill_common::time::Timestamp;
use shardmill_core::scheduler::StagePlaces;
use shardmill_core::{Command, Effect, FromAnswer, Step};

use super::Driver;
use crate::model_files;

/// Bytes of a part in one message.
const PIECE_BYTES: usize = 8 << 20;
/// Places in one message.
const PLACES_AT_ONCE: usize = 10_000;

impl Driver {
    /// Has the core take a command; its rows are written and its effects performed with the next flush.
    pub fn command<T: FromAnswer>(&mut self, command: Command) -> Result<T, Refusal> {
        let Step { mut rows, effects, answer } = self.core.step(Timestamp::now(), command);
        self.rows.append(&mut rows);
        for effect in &effects {
            if let Effect::Over { status } = effect {
                self.ending.insert(status.job, (**status).clone());
            }
        }
        self.effects.extend(effects);
        T::from_answer(answer?).ok_or_else(|| Refusal::Internal("the core answered something else".into()))
    }

    /// As [`Driver::command`], where only the core's own words would be answered.
    pub(super) fn step(&mut self, command: Command) {
        if let Err(refusal) = self.command::<()>(command) {
            tracing::warn!(%refusal, "refused");
        }
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Launch { worker, launch, places, parts } => {
                tracing::debug!(attempt = %launch.attempt, %worker, "launch");
                for (stage, list) in places {
                    self.send_places(worker, launch.attempt.task.job, stage, &list);
                }
                for part in parts {
                    self.send_part(worker, launch.attempt.task.job, &part);
                }
                self.send(worker, ToWorker::Launch(launch));
            }
            Effect::DropParts { worker, job, parts } => {
                if let Some(session) = self.sessions.get_mut(&worker) {
                    for digest in &parts {
                        session.parts.remove(&(job, *digest));
                    }
                }
                self.send(worker, ToWorker::DropParts { job, parts });
            }
            Effect::Kill { worker, attempt } => self.send(worker, ToWorker::Kill { attempt }),
            Effect::Delete { worker, objects } => self.send(worker, ToWorker::Delete { objects }),
            Effect::Verify { worker, objects } => self.send(worker, ToWorker::Verify { objects }),
            Effect::Hangup { worker } => drop(self.sessions.remove(&worker)),
            Effect::Forget { worker, job } => {
                if let Some(session) = self.sessions.get_mut(&worker) {
                    session.places.retain(|(of, _), _| *of != job);
                    session.parts.retain(|(of, _)| *of != job);
                }
                self.send(worker, ToWorker::Forget { job });
            }
            Effect::Deploy { revision } => {
                tracing::info!(revision, "endpoints changed");
                let workers: Vec<WorkerId> = self.sessions.keys().copied().collect();
                workers.into_iter().for_each(|worker| self.send(worker, ToWorker::Deploy { revision }));
                self.deployed.send_replace(revision);
            }
            Effect::KeepModel { job, model } => self.keep_model(job, &model),
            Effect::RemoveModel { job } => {
                let folder = self.layout.model(job);
                if let Err(e) = tokio::task::block_in_place(|| model_files::remove(&folder)) {
                    tracing::warn!(path = %folder.display(), error = %e, "the files of a removed model are left over");
                }
            }
            Effect::RemoveGraphs { mut digests } => {
                // A job that was accepted since may need one of them.
                digests.retain(|digest| !self.core.graphs_in_use().any(|graph| graph.digest == *digest));
                let files = self.graph_files();
                tokio::task::block_in_place(|| digests.iter().for_each(|digest| files.remove(digest)));
            }
            Effect::RemoveLogs { jobs } => self.logs.remove(jobs),
            Effect::Over { status } => {
                let error = status.error.as_deref().unwrap_or_default();
                match status.state {
                    JobState::Done => tracing::info!(job = %status.job, "job done"),
                    state => tracing::info!(job = %status.job, state = state.name(), error, "job ended"),
                }
                if let Some(watcher) = self.watchers.remove(&status.job) {
                    watcher.send_replace(*status);
                }
            }
        }
    }

    fn send(&mut self, worker: WorkerId, message: ToWorker) {
        if let Some(session) = self.sessions.get(&worker) {
            // A closed session is reported by its reader.
            let _ = session.out.send(message);
        }
    }

    /// Sends a list of places to a worker, in pieces, unless it has this version of it.
    fn send_places(&mut self, worker: WorkerId, job: JobId, stage: u32, list: &StagePlaces) {
        let Some(session) = self.sessions.get_mut(&worker) else { return };
        let version = list.version;
        if session.places.insert((job, stage), version) == Some(version) {
            return;
        }
        for (n, piece) in list.places.chunks(PLACES_AT_ONCE).enumerate() {
            let begin = (n * PLACES_AT_ONCE) as u64;
            let places = piece.to_vec();
            let _ = session.out.send(ToWorker::Places { job, stage, version, begin, places });
        }
    }

    /// Sends a part of a job's tasks to a worker, in pieces, unless it has it.
    fn send_part(&mut self, worker: WorkerId, job: JobId, part: &Part) {
        let Some(session) = self.sessions.get_mut(&worker) else { return };
        let digest = part.digest;
        if !session.parts.insert((job, digest)) {
            return;
        }
        let mut rest = part.json.get();
        loop {
            let mut end = rest.len().min(PIECE_BYTES);
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (piece, after) = rest.split_at(end);
            let last = after.is_empty();
            let _ = session.out.send(ToWorker::Part { job, digest, piece: piece.to_owned(), last });
            if last {
                break;
            }
            rest = after;
        }
    }

    fn keep_model(&mut self, job: JobId, model: &Model) {
        let folder = self.layout.model(job);
        let problem = tokio::task::block_in_place(|| model_files::write(&folder, model)).err().map(|e| {
            tracing::error!(%job, path = %folder.display(), error = %e, "the files of a model cannot be written");
            format!("{}: {e}", folder.display())
        });
        self.step(Command::ModelKept { job, version: model.version, problem });
    }
}
