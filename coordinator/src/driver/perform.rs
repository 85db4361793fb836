//! Performing the scheduler's actions: into the journal's next batch, into the workers' outbox, into the catalog.

use shardmill_common::ids::{JobId, WorkerId};
use shardmill_common::message::ToWorker;
use shardmill_common::model::Evaluation;
use shardmill_common::record::{Ending, Record};
use shardmill_common::spec::JobSpec;
use shardmill_common::status::{JobState, JobStatus};
use shardmill_common::time::Timestamp;

use super::{Driver, FINISHED_KEPT};
use crate::catalog::{Change, output_record};
use crate::jobs::{Publication, ResolvedJob};
use crate::journal::{JobRow, Write};
use crate::model_files;
use crate::registry::ModelChange;
use crate::scheduler::{Action, Event, Job, JobEnd, StagePlaces};

/// Places in one message.
const PLACES_AT_ONCE: usize = 10_000;

impl Driver {
    pub(super) fn step(&mut self, event: Event) {
        let actions = self.scheduler.step(Timestamp::now().0, event);
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Launch { worker, launch, places } => {
                tracing::debug!(attempt = %launch.attempt, %worker, "launch");
                for (stage, list) in places {
                    self.send_places(worker, launch.attempt.task.job, stage, &list);
                }
                self.outbox.push((worker, ToWorker::Launch(launch)));
            }
            Action::Kill { worker, attempt } => self.outbox.push((worker, ToWorker::Kill { attempt })),
            Action::Delete { worker, objects } => self.outbox.push((worker, ToWorker::Delete { objects })),
            Action::Verify { worker, objects } => self.outbox.push((worker, ToWorker::Verify { objects })),
            Action::Hangup { worker } => {
                self.sessions.remove(&worker);
            }
            Action::Forget { worker, job } => {
                if let Some(session) = self.sessions.get_mut(&worker) {
                    session.places.retain(|(of, _), _| *of != job);
                }
                self.outbox.push((worker, ToWorker::Forget { job }));
            }
            Action::Journal(op) => {
                // The coordinator's own jobs are planned anew after a restart.
                let job = match &op {
                    crate::scheduler::JournalOp::StagePlanned { job, .. }
                    | crate::scheduler::JournalOp::TaskDone { job, .. }
                    | crate::scheduler::JournalOp::TaskLost { job, .. } => *job,
                };
                if self.infos.contains_key(&job) {
                    self.writes.push(Write::Progress(op));
                }
            }
            Action::Publish { job, publication } => self.publish(job, &publication),
            Action::Ended { job, end } => self.ended(&job, end),
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
            self.outbox.push((worker, ToWorker::Places { job, stage, version, begin, places }));
        }
    }

    fn publish(&mut self, id: JobId, publication: &Publication) {
        let now = Timestamp::now();
        let (Some(job), Some(info)) = (self.scheduler.job(id), self.infos.get(&id)) else { return };
        let mut spec = job.resolved.spec.clone();
        let taken: Vec<String> = match &mut spec {
            JobSpec::Ingest(ingest) => {
                for (source, rows) in ingest.sources.iter_mut().zip(&publication.source_rows) {
                    source.rows = Some(*rows);
                }
                ingest.sources.iter().map(|s| s.checksum.clone()).collect()
            }
            _ => Vec::new(),
        };
        let (changes, manifests) = self.catalog.publish(publication, &taken, job.resolved.replicas, id, now);
        let mut status = self.running_status(job, &info.row);
        status.state = JobState::Done;
        status.finished = Some(now);
        status.notices.clear();
        status.dataset = manifests.first().map(|m| m.reference());
        status.rows = manifests.first().map(|m| m.rows());
        let mut record = record_of(&job.resolved, &spec, &status, &info.row, info.started, Ending::Done, now);
        record.outputs = manifests.iter().map(output_record).collect();
        for change in changes {
            self.put(change);
        }
        if let Some(model) = &publication.model {
            let (changes, numbered) = self.registry.publish((**model).clone(), id, now);
            let reference = numbered.reference();
            let folder = self.layout.model(id);
            if let Err(e) = tokio::task::block_in_place(|| model_files::write(&folder, &numbered)) {
                tracing::error!(job = %id, path = %folder.display(), error = %e, "the files of a model cannot be written");
                status.notices.push(format!(
                    "{reference} predicts, but cannot be updated: its files could not be written to {}: {e}",
                    folder.display()
                ));
            }
            changes.into_iter().for_each(|change| self.put_model(change));
            status.notices.extend(model.training.notices.iter().cloned());
            if model.spec.is_some() {
                status.rounds = model.training.rounds.clone();
                status.rows = Some(model.training.rows);
                status.converged = Some(model.training.converged);
            }
            status.model = Some(reference.clone());
            record.model = Some(reference);
        }
        if let Some(evaluation) = &publication.evaluation {
            let evaluation = Evaluation { job: id, created: now, ..(**evaluation).clone() };
            status.rows = Some(evaluation.rows);
            if let Some(change) = self.registry.evaluated(evaluation.clone()) {
                self.put_model(change);
            }
            record.evaluation = Some(evaluation);
        }
        let objects = manifests.iter().flat_map(|m| m.objects().map(|o| (o.clone(), m.replicas))).collect();
        self.finish(status, record);
        self.step(Event::Published { job: Some(id), objects });
    }

    fn ended(&mut self, job: &Job, end: JobEnd) {
        let Some(info) = self.infos.get(&job.id) else { return };
        let now = Timestamp::now();
        let (state, ending, error) = match end {
            JobEnd::Failed(failure) => (JobState::Failed, Ending::Failed, Some(failure.to_string())),
            JobEnd::Cancelled => (JobState::Cancelled, Ending::Cancelled, None),
            JobEnd::Quiet => return,
        };
        let mut status = self.running_status(job, &info.row);
        status.state = state;
        status.finished = Some(now);
        status.notices.clear();
        for stage in &mut status.stages {
            // What ran was stopped.
            stage.rows -= stage.rows_running;
            (stage.running, stage.rows_running, stage.oldest, stage.status) = (0, 0, None, None);
        }
        status.error = error;
        let record = record_of(&job.resolved, &job.resolved.spec, &status, &info.row, info.started, ending, now);
        tracing::info!(job = %job.id, state = state.name(), error = status.error.as_deref().unwrap_or(""), "job ended");
        self.finish(status, record);
    }

    /// Applies a change of the catalog and has it written.
    pub(super) fn put(&mut self, change: Change) {
        self.writes.push(Write::Catalog(change.clone()));
        self.catalog.apply(change);
    }

    pub(super) fn put_model(&mut self, change: ModelChange) {
        self.writes.push(Write::Registry(change.clone()));
        self.registry.apply(change);
    }

    fn finish(&mut self, status: JobStatus, record: Record) {
        let id = status.job;
        self.put(Change::PutRecord(Box::new(record)));
        if let Some(info) = self.infos.remove(&id) {
            // What failed to import, or used a model that was removed meanwhile, was the last to need the file.
            let graph = info.row.resolved.as_ref().and_then(|r| r.spec.graph());
            self.doomed_graphs.extend(graph.map(|g| g.digest.clone()));
            let row = JobRow { resolved: None, status: Some(status.clone()), ..info.row };
            self.writes.push(Write::EndJob(Box::new(row)));
        }
        self.finished.insert(id, status);
        self.job_ended = true;
        while self.finished.len() > FINISHED_KEPT {
            if let Some((old, _)) = self.finished.pop_first() {
                self.logs.remove(old);
            }
        }
    }
}

fn record_of(
    resolved: &ResolvedJob,
    spec: &JobSpec,
    status: &JobStatus,
    row: &JobRow,
    started: Timestamp,
    ending: Ending,
    finished: Timestamp,
) -> Record {
    let mut parameters = spec.clone();
    let mut sources = Vec::new();
    let mut inputs: Vec<_> = resolved.inputs.iter().map(|m| m.reference()).collect();
    if let JobSpec::Ingest(ingest) = &mut parameters {
        // Chunks are how the sources travelled, not what was asked for.
        ingest.chunks.clear();
        sources = std::mem::take(&mut ingest.sources);
        inputs.extend(ingest.base.take().map(|b| b.reference()));
    }
    match &mut parameters {
        // A model that a job refers to is in the registry, not in the record.
        JobSpec::Train(train) => train.base = None,
        JobSpec::Predict(predict) => predict.resolved = None,
        JobSpec::Evaluate(evaluate) => evaluate.resolved = None,
        _ => {}
    }
    Record {
        model: None,
        evaluation: None,
        job: status.job,
        kind: status.kind.clone(),
        ending,
        error: status.error.clone(),
        inputs,
        sources,
        parameters,
        counters: status.counters.clone(),
        outputs: Vec::new(),
        who: row.who.clone(),
        submitted: row.submitted,
        started,
        finished,
        program: concat!("shardmill ", env!("CARGO_PKG_VERSION")).into(),
    }
}
