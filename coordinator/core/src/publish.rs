//! The end of a job: what it publishes, its last status and its record, all in one step.

use shardmill_common::ids::JobId;
use shardmill_common::kinds::JobSpec;
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Evaluation, Model};
use shardmill_common::record::{Ending, Record};
use shardmill_common::status::{JobState, JobStatus};
use shardmill_common::time::Timestamp;

use crate::catalog::output_record;
use crate::core::Core;
use crate::effect::Effect;
use crate::jobs::Publication;
use crate::scheduler::{Event, Job, JobEnd};
use crate::tables::{Finished, Records};

impl Core {
    /// A plan is complete. The files of a model are written before anybody can see it.
    pub(crate) fn publish(&mut self, id: JobId, publication: Box<Publication>) {
        match &publication.model {
            Some(model) => {
                let version = self.registry.next_version(&model.name);
                let model = Box::new(Model { version, job: id, created: self.now, ..(**model).clone() });
                self.effects.push(Effect::KeepModel { job: id, model: model.clone() });
                self.held.insert(id, (publication, model));
            }
            None => self.commit(id, &publication, None),
        }
    }

    /// The files of a job's model are there, or cannot be.
    pub(crate) fn model_kept(&mut self, id: JobId, version: u32, problem: Option<String>) {
        let Some((publication, model)) = self.held.remove(&id) else { return };
        if model.version != version || self.registry.next_version(&model.name) != version {
            // Another one took the number meanwhile: the files must say the next.
            return self.publish(id, publication);
        }
        self.commit(id, &publication, Some((*model, problem)));
    }

    /// Publishes everything at once: versions, model, evaluation, last status and record.
    fn commit(&mut self, id: JobId, publication: &Publication, model: Option<(Model, Option<String>)>) {
        let now = self.now;
        let Some(job) = self.scheduler.job(id) else { return };
        let replicas = job.resolved.replicas;
        let mut spec = job.resolved.spec.clone();
        let sources = spec.sources_mut();
        for (source, rows) in sources.iter_mut().zip(&publication.source_rows) {
            source.rows = Some(*rows);
        }
        let taken: Vec<String> = sources.iter().map(|s| s.checksum.clone()).collect();
        let mut status = self.status_of(job);
        status.state = JobState::Done;
        status.finished = Some(now);
        status.notices.clone_from(&publication.notices);
        let mut record = record_of(job, &spec, &status, Ending::Done, now);
        let manifests = self.catalog.publish(&mut self.ledger, publication, &taken, replicas, id, now);
        status.dataset = manifests.first().map(Manifest::reference);
        status.rows = manifests.first().map(Manifest::rows);
        record.outputs = manifests.iter().map(output_record).collect();
        if let Some((model, problem)) = model {
            let reference = model.reference();
            if let Some(problem) = problem {
                status.notices.push(format!(
                    "{reference} predicts, but cannot be updated: its files could not be written to {problem}"
                ));
            }
            status.notices.extend(model.training.notices.iter().cloned());
            if model.spec.is_some() {
                status.rounds = model.training.rounds.clone();
                status.rows = Some(model.training.rows);
                status.converged = Some(model.training.converged);
            }
            self.registry.publish(&mut self.ledger, model);
            status.model = Some(reference.clone());
            record.model = Some(reference);
        }
        if let Some(evaluation) = &publication.evaluation {
            let evaluation = Evaluation { job: id, created: now, ..(**evaluation).clone() };
            status.rows = Some(evaluation.rows);
            self.registry.evaluated(&mut self.ledger, evaluation.clone());
            record.evaluation = Some(evaluation);
        }
        let graph = spec.graph().map(|graph| graph.digest.clone());
        self.finish(status, &record);
        let objects = manifests.iter().flat_map(|m| m.objects().map(|o| (o.clone(), m.replicas))).collect();
        self.happened(Event::Published { job: Some(id), objects });
        self.remove_graphs(graph.into_iter().collect());
    }

    /// A job ended without publishing.
    pub(crate) fn ended(&mut self, job: &Job, end: JobEnd) {
        let (state, ending, error) = match end {
            JobEnd::Failed(failure) => (JobState::Failed, Ending::Failed, Some(failure.to_string())),
            JobEnd::Cancelled => (JobState::Cancelled, Ending::Cancelled, None),
            JobEnd::Quiet => return,
        };
        if !job.is_journalled() {
            return;
        }
        let mut status = self.status_of(job);
        status.state = state;
        status.finished = Some(self.now);
        status.notices.clear();
        for stage in &mut status.stages {
            // What ran was stopped.
            stage.rows -= stage.rows_running;
            (stage.running, stage.rows_running, stage.oldest, stage.status) = (0, 0, None, None);
        }
        status.error = error;
        let record = record_of(job, &job.resolved.spec, &status, ending, self.now);
        self.finish(status, &record);
        // What failed to import, or used a model that was removed meanwhile, was the last to need the file.
        self.remove_graphs(job.resolved.spec.graph().map(|graph| graph.digest.clone()).into_iter().collect());
    }

    fn finish(&mut self, status: JobStatus, record: &Record) {
        self.ledger.put::<Records>(&status.job, record);
        self.ledger.put::<Finished>(&status.job, &status);
        self.effects.push(Effect::Over { status: Box::new(status) });
    }
}

fn record_of(job: &Job, spec: &JobSpec, status: &JobStatus, ending: Ending, finished: Timestamp) -> Record {
    let mut parameters = spec.clone();
    let mut inputs: Vec<_> = job.resolved.inputs.iter().map(Manifest::reference).collect();
    let (sources, base) = parameters.for_record();
    inputs.extend(base);
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
        who: status.who.clone(),
        submitted: status.submitted,
        started: status.submitted,
        finished,
        program: concat!("shardmill ", env!("CARGO_PKG_VERSION")).into(),
    }
}
