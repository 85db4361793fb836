//! What clients may ask of the driver. Each runs in the driver's loop and is answered once its changes are on disk.

use std::collections::HashSet;

use shardmill_common::failure::Refusal;
use shardmill_common::ids::{JobId, ObjectId, WorkerId};
use shardmill_common::manifest::Manifest;
use shardmill_common::message::{LocatedManifest, UploadTargets};
use shardmill_common::model::{
    Algorithm, Curvature, Model, ModelDetail, ModelName, ModelRef, ModelSummary, OnnxGraph, Which,
};
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::record::Record;
use shardmill_common::spec::{JobSpec, Submission};
use shardmill_common::status::{DatasetSummary, Explanation, JobStatus, NodeStatus};
use shardmill_common::time::Timestamp;
use tokio::sync::watch;

use super::{Driver, JobInfo};
use crate::catalog::Removal;
use crate::graph_files::GraphFiles;
use crate::jobs::ResolvedJob;
use crate::journal::{JobRow, Write};
use crate::logs::Logs;
use crate::model_files;
use crate::registry::ModelRemoval;
use crate::scheduler::{Event, Worker};

const NO_WORKER: &str =
    "no worker is alive: start one with `shardmill worker --coordinator URL --listen ADDR --data-dir DIR`";

const NO_PROGRAMS: &str = "no worker that is alive runs programs of users: start workers with --allow-programs";

impl Driver {
    pub fn submit(&mut self, submission: Submission) -> Result<JobId, Refusal> {
        let now = Timestamp::now();
        let resolved = self.resolve(submission.spec)?;
        crate::jobs::check(&resolved)?;
        let id = JobId(self.next_job);
        self.next_job += 1;
        let deadline =
            submission.deadline_seconds.map(|s| Timestamp(now.0.saturating_add((s as i64).saturating_mul(1000))));
        let row = JobRow {
            job: id,
            resolved: Some(resolved.clone()),
            who: submission.who,
            priority: submission.priority,
            deadline,
            submitted: now,
            status: None,
        };
        self.writes.push(Write::Job(Box::new(row.clone())));
        self.infos.insert(id, JobInfo { row, started: now });
        tracing::info!(job = %id, kind = resolved.spec.kind(), "job accepted");
        self.step(Event::Submitted {
            job: id,
            resolved: Box::new(resolved),
            priority: submission.priority,
            deadline_ms: deadline.map(|d| d.0),
        });
        Ok(id)
    }

    /// What a job would do. It is checked as if it were to run.
    pub fn explain(&self, submission: Submission) -> Result<Explanation, Refusal> {
        let resolved = self.resolve(submission.spec)?;
        crate::jobs::check(&resolved)?;
        crate::jobs::explain(&resolved)
    }

    /// Puts versions in the place of bare names, and refuses what cannot work.
    fn resolve(&self, mut spec: JobSpec) -> Result<ResolvedJob, Refusal> {
        if matches!(spec, JobSpec::Repair(_)) {
            return Err(Refusal::Denied("repairs are the coordinator's own".into()));
        }
        let replicas = self.replicas(spec.replicas())?;
        for output in spec.outputs() {
            self.not_being_written(output)?;
        }
        let mut inputs = Vec::new();
        let mut pin = |dataset: &mut DatasetRef| -> Result<(), Refusal> {
            let manifest = self.catalog.find(dataset)?;
            *dataset = manifest.reference();
            inputs.push(manifest.clone());
            Ok(())
        };
        match &mut spec {
            JobSpec::Clean(s) => pin(&mut s.input)?,
            JobSpec::Dedup(s) => pin(&mut s.input)?,
            JobSpec::Compare(s) => {
                pin(&mut s.left)?;
                pin(&mut s.right)?;
            }
            JobSpec::Ingest(s) => {
                s.base = None;
                if s.refuse_taken
                    && let Some(twice) =
                        s.sources.iter().find(|source| self.catalog.has_taken(&s.output, &source.checksum))
                {
                    let name = &s.output;
                    return Err(Refusal::Conflict(format!(
                        "an earlier ingest into `{name}` took {} already",
                        twice.name
                    )));
                }
                if s.append {
                    // Appending to what is not there yet makes it: a loop's first run is like the others.
                    s.base = self.catalog.find(&DatasetRef { name: s.output.clone(), version: None }).ok().cloned();
                }
            }
            JobSpec::Split(s) => pin(&mut s.input)?,
            JobSpec::Train(s) => {
                pin(&mut s.input)?;
                s.base = None;
                if let Some(reference) = s.warm_start.as_mut().or(s.update.as_mut()) {
                    let mut model = self.registry.find(reference)?.clone();
                    *reference = model.reference();
                    // Naive Bayes has all it needs in its parameters.
                    if s.update.is_some() && !matches!(s.algorithm, Algorithm::NaiveBayes(_)) {
                        model.curvature = self.curvature(&model)?;
                    }
                    s.base = Some(Box::new(model));
                }
            }
            JobSpec::Predict(s) => {
                pin(&mut s.input)?;
                s.resolved = Some(Box::new(self.pinned(&mut s.model)?));
            }
            JobSpec::Evaluate(s) => {
                pin(&mut s.input)?;
                s.resolved = Some(Box::new(self.pinned(&mut s.model)?));
            }
            JobSpec::MapReduce(s) => {
                for input in &mut s.inputs {
                    pin(&mut input.dataset)?;
                }
                if s.runs_programs() && !self.scheduler.workers().any(|w| w.is_alive() && w.allow_programs) {
                    return Err(Refusal::Unavailable(NO_PROGRAMS.into()));
                }
            }
            JobSpec::Sort(s) => pin(&mut s.input)?,
            JobSpec::Aggregate(s) => pin(&mut s.input)?,
            JobSpec::Join(s) => {
                pin(&mut s.left)?;
                pin(&mut s.right)?;
            }
            JobSpec::Import(s) => {
                if !tokio::task::block_in_place(|| self.graph_files().has(&s.graph)) {
                    return Err(Refusal::Conflict(format!(
                        "the file {} is not at the coordinator any more: import it again",
                        s.graph.file
                    )));
                }
            }
            JobSpec::Register(_) | JobSpec::Repair(_) => {}
        }
        Ok(ResolvedJob { spec, inputs, replicas })
    }

    /// The model version meant; the reference is made to name it by number.
    fn pinned(&self, reference: &mut ModelRef) -> Result<Model, Refusal> {
        let model = self.registry.find(reference)?;
        *reference = model.reference();
        Ok(model.clone())
    }

    fn curvature(&self, model: &Model) -> Result<Option<Curvature>, Refusal> {
        let folder = self.layout.model(model.job);
        tokio::task::block_in_place(|| model_files::read_curvature(&folder)).map_err(|e| {
            Refusal::Unavailable(format!(
                "the curvature of {} cannot be read from {}: {e}; without it, train on all rows instead",
                model.reference(),
                folder.display()
            ))
        })
    }

    /// Where the logs of a job are to be read; not here, since reading takes time.
    pub fn logs(&self, job: JobId) -> Result<Logs, Refusal> {
        self.job_status(job)?;
        Ok(self.logs.clone())
    }

    pub fn models(&self, name: Option<&ModelName>) -> Result<Vec<ModelSummary>, Refusal> {
        self.registry.summaries(name)
    }

    pub fn model(&self, model: &ModelRef) -> Result<ModelDetail, Refusal> {
        self.registry.detail(model)
    }

    /// Lets an alias point at a version, or takes it away.
    pub fn set_alias(&mut self, name: &ModelName, alias: &str, version: Option<u32>) -> Result<(), Refusal> {
        let alias = shardmill_common::model::alias(alias).map_err(Refusal::Invalid)?;
        let change = match version {
            Some(version) => self.registry.alias(name, &alias, version)?,
            None => self.registry.unalias(name, &alias)?,
        };
        self.put_model(change);
        Ok(())
    }

    pub fn rollback(&mut self, name: &ModelName, alias: &str) -> Result<u32, Refusal> {
        let (change, version) = self.registry.rollback(name, alias)?;
        self.put_model(change);
        Ok(version)
    }

    pub fn remove_model(&mut self, model: &ModelRef) -> Result<Vec<ModelRef>, Refusal> {
        let ModelRemoval { changes, removed, jobs, graphs } = self.registry.remove(model)?;
        let versions: Vec<u32> =
            removed.iter().filter_map(|m| if let Which::Version(v) = m.which { Some(v) } else { None }).collect();
        if let Some((endpoint, used)) = self.endpoints.user_of_model(&model.name, &versions) {
            return Err(Refusal::Conflict(format!(
                "{used} answers requests to endpoint `{0}`: give that endpoint other variants first (`shardmill endpoint update {0} \
                 --variant ...`), or delete it",
                endpoint.name
            )));
        }
        changes.into_iter().for_each(|change| self.put_model(change));
        for job in jobs {
            let folder = self.layout.model(job);
            if let Err(e) = tokio::task::block_in_place(|| model_files::remove(&folder)) {
                tracing::warn!(path = %folder.display(), error = %e, "the files of a removed model are left over");
            }
        }
        self.doomed_graphs.extend(graphs);
        Ok(removed)
    }

    /// The files of imported models; they are read and written elsewhere, since that takes time.
    pub fn graph_files(&self) -> GraphFiles {
        GraphFiles::new(self.layout.graphs())
    }

    /// Removes the files of graphs that models or jobs referred to which are gone, once that is in the journal.
    pub(super) fn drop_graphs(&mut self) {
        for digest in std::mem::take(&mut self.doomed_graphs) {
            if !self.graphs_in_use().any(|graph| graph.digest == digest) {
                tokio::task::block_in_place(|| self.graph_files().remove(&digest));
            }
        }
    }

    /// Graphs of models in the registry and of jobs under way.
    fn graphs_in_use(&self) -> impl Iterator<Item = &OnnxGraph> {
        let jobs = self.infos.values().filter_map(|info| info.row.resolved.as_ref()?.spec.graph());
        self.registry.graphs().chain(jobs)
    }

    /// Removes the files of graphs that nothing refers to, and what is left of uploads; for the start.
    pub(super) fn sweep_graphs(&self) {
        let needed: HashSet<&str> = self.graphs_in_use().map(|g| g.digest.as_str()).collect();
        if let Err(e) = self.graph_files().sweep(&needed) {
            tracing::warn!(error = %e, "files of removed models are left over");
        }
    }

    fn replicas(&self, asked: Option<u32>) -> Result<u32, Refusal> {
        let live = self.scheduler.live_workers();
        if live == 0 {
            return Err(Refusal::Unavailable(NO_WORKER.into()));
        }
        match asked {
            None => Ok(self.scheduler.options().default_replicas),
            Some(0) => Err(Refusal::Invalid("a dataset needs at least one replica".into())),
            Some(n) if n > live => Err(Refusal::Unavailable(format!(
                "{n} replicas need {n} workers, and {live} {} alive: start more workers or ask for fewer --replicas",
                if live == 1 { "is" } else { "are" }
            ))),
            Some(n) => Ok(n),
        }
    }

    pub fn watch(&mut self, id: JobId) -> Result<watch::Receiver<JobStatus>, Refusal> {
        let status = self.job_status(id)?;
        if let Some(watcher) = self.watchers.get(&id) {
            return Ok(watcher.subscribe());
        }
        let is_final = status.state.is_final();
        let (tx, rx) = watch::channel(status);
        if !is_final {
            self.watchers.insert(id, tx);
        }
        Ok(rx)
    }

    pub fn cancel(&mut self, id: JobId) -> Result<(), Refusal> {
        let status = self.job_status(id)?;
        if status.state.is_final() {
            return Err(Refusal::Conflict(format!("job {id} is {} already", status.state.name())));
        }
        self.step(Event::Cancel { job: id });
        Ok(())
    }

    /// All jobs, newest first.
    pub fn jobs(&self) -> Vec<JobStatus> {
        let running =
            self.scheduler.jobs().filter_map(|j| self.infos.get(&j.id).map(|i| self.running_status(j, &i.row)));
        let mut all: Vec<JobStatus> = running.chain(self.finished.values().cloned()).collect();
        all.sort_by_key(|s| std::cmp::Reverse(s.job));
        all
    }

    pub fn datasets(&self) -> Vec<DatasetSummary> {
        self.catalog.summaries()
    }

    pub fn locate(&self, dataset: &DatasetRef) -> Result<LocatedManifest, Refusal> {
        let manifest = self.catalog.find(dataset)?.clone();
        let holders: Vec<(ObjectId, Vec<WorkerId>)> =
            manifest.objects().map(|o| (o.id, self.scheduler.live_holders(o.id))).collect();
        if let Some((object, _)) = holders.iter().find(|(_, h)| h.is_empty()) {
            let known: Vec<String> = self.scheduler.objects().holders(*object).map(|w| w.to_string()).collect();
            return Err(Refusal::Unavailable(if known.is_empty() {
                format!("{}: no worker has a good copy of object {object}", manifest.reference())
            } else {
                format!(
                    "{}: no worker that holds object {object} is alive (it is on {})",
                    manifest.reference(),
                    known.join(", ")
                )
            }));
        }
        let peers = self.scheduler.peers(holders.iter().flat_map(|(_, h)| h.iter().copied()));
        Ok(LocatedManifest { manifest, holders, peers })
    }

    pub fn versions(&self, name: &DatasetName) -> Result<Vec<Manifest>, Refusal> {
        self.catalog.versions(name)
    }

    fn not_being_written(&self, name: &DatasetName) -> Result<(), Refusal> {
        match self.writer_of(name) {
            Some(job) => {
                Err(Refusal::Conflict(format!("`{name}` is being written by job {job}: wait for it, or cancel it")))
            }
            None => Ok(()),
        }
    }

    fn not_captured_into(&self, name: &DatasetName) -> Result<(), Refusal> {
        match self.endpoints.user_of_dataset(name) {
            Some(endpoint) => Err(Refusal::Conflict(format!(
                "endpoint `{0}` captures into `{name}`: end that first with `shardmill endpoint update {0} --no-capture`",
                endpoint.name
            ))),
            None => Ok(()),
        }
    }

    pub fn rename(&mut self, from: &DatasetName, to: &DatasetName) -> Result<(), Refusal> {
        self.not_captured_into(from)?;
        self.not_being_written(from)?;
        self.not_being_written(to)?;
        for change in self.catalog.rename(from, to)? {
            self.put(change);
        }
        Ok(())
    }

    pub fn remove(&mut self, dataset: &DatasetRef) -> Result<Vec<DatasetRef>, Refusal> {
        self.not_being_written(&dataset.name)?;
        // An earlier version may go: those that follow have its rows.
        let latest = DatasetRef { name: dataset.name.clone(), version: None };
        if dataset.version.is_none() || self.catalog.find(&latest).is_ok_and(|m| m.reference() == *dataset) {
            self.not_captured_into(&dataset.name)?;
        }
        let Removal { changes, removed, objects } = self.catalog.remove(dataset)?;
        for change in changes {
            self.put(change);
        }
        self.step(Event::Unpublished { objects });
        Ok(removed)
    }

    pub fn records(&self, job: Option<JobId>) -> Result<Vec<Record>, Refusal> {
        self.catalog.records(job)
    }

    pub fn taken(&self, name: &DatasetName) -> Vec<String> {
        self.catalog.taken(name)
    }

    pub fn nodes(&self) -> Vec<NodeStatus> {
        self.node_statuses()
    }

    pub fn under_replicated(&self) -> usize {
        self.scheduler.under_replicated()
    }

    pub fn drain(&mut self, worker: WorkerId) -> Result<(), Refusal> {
        if self.scheduler.worker(worker).is_none() {
            let known: Vec<String> = self.scheduler.workers().map(|w| w.id().to_string()).collect();
            return Err(Refusal::NotFound(format!(
                "there is no node {worker}; the nodes are {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            )));
        }
        self.step(Event::Drain { worker });
        Ok(())
    }

    /// Workers with the least stored first.
    pub fn upload_targets(&self, replicas: Option<u32>) -> Result<UploadTargets, Refusal> {
        let copies = self.replicas(replicas)?;
        let mut workers: Vec<&Worker> = self.scheduler.workers().filter(|w| w.is_alive() && !w.draining).collect();
        workers.sort_by_key(|w| (w.stored_bytes, w.id()));
        let copies = copies.min(workers.len() as u32);
        Ok(UploadTargets { peers: workers.into_iter().map(|w| w.peer.clone()).collect(), copies })
    }
}
