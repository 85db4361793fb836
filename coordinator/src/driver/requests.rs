//! What clients and nodes may ask of the driver. Each runs in the driver's loop and is answered once its changes are on disk.

use std::collections::HashSet;

use shardmill_common::endpoint::{Endpoint, EndpointName, EndpointStatus, ServingNode};
use shardmill_common::failure::Refusal;
use shardmill_common::ids::JobId;
use shardmill_common::kinds::{JobSpec, Submission};
use shardmill_common::status::{Explanation, JobStatus};
use shardmill_core::tables::Finished;
use shardmill_core::{Command, Core, Facts};
use tokio::sync::watch;

use super::Driver;
use crate::graph_files::GraphFiles;
use crate::journal::Reader;
use crate::logs::Logs;
use crate::model_files;

impl Driver {
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// What is in the journal and not in memory. What the last steps wrote is there by the time of the answer.
    pub fn reader(&self) -> Reader {
        self.journal.reader()
    }

    pub fn submit(&mut self, submission: Submission) -> Result<JobId, Refusal> {
        let facts = Box::new(self.facts(&submission.spec));
        let kind = submission.spec.kind();
        let job: JobId = self.command(Command::Submit { submission: Box::new(submission), facts })?;
        tracing::info!(%job, kind, "job accepted");
        Ok(job)
    }

    /// What a job would do. It is checked as if it were to run.
    pub fn explain(&self, submission: Submission) -> Result<Explanation, Refusal> {
        let facts = self.facts(&submission.spec);
        self.core.explain(submission, facts)
    }

    /// What files say of a job that is to be submitted.
    fn facts(&self, spec: &JobSpec) -> Facts {
        let curvature = self.core.needs_curvature(spec).map(|model| {
            let folder = self.layout.model(model.job);
            tokio::task::block_in_place(|| model_files::read_curvature(&folder)).map_err(|e| {
                Refusal::Unavailable(format!(
                    "the curvature of {} cannot be read from {}: {e}; without it, train on all rows instead",
                    model.reference(),
                    folder.display()
                ))
            })
        });
        let has = |graph| tokio::task::block_in_place(|| self.graph_files().has(graph));
        let graph_at_hand = spec.uploaded_graph().is_some_and(has);
        Facts { curvature, graph_at_hand }
    }

    /// A job, whether it is under way or over.
    pub fn job_status(&self, id: JobId) -> Result<JobStatus, Refusal> {
        if let Some(status) = self.core.job_status(id).or_else(|| self.ending.get(&id).cloned()) {
            return Ok(status);
        }
        let read = tokio::task::block_in_place(|| self.journal.reader().get::<Finished>(&id));
        match read.map_err(|e| Refusal::Internal(format!("the journal: {e}")))? {
            Some(Ok(status)) => Ok(status),
            Some(Err(why)) => Err(Refusal::Internal(format!("what is kept of job {id} cannot be read: {why}"))),
            None => Err(Refusal::NotFound(format!("there is no job {id}; `shardmill job list` shows what there is"))),
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
        self.command(Command::Cancel(id))
    }

    /// Where the logs of a job are to be read; not here, since reading takes time.
    pub fn logs(&self, job: JobId) -> Result<Logs, Refusal> {
        self.job_status(job)?;
        Ok(self.logs.clone())
    }

    /// The files of imported models; they are read and written elsewhere, since that takes time.
    pub fn graph_files(&self) -> GraphFiles {
        GraphFiles::new(self.layout.graphs())
    }

    /// Removes the files of graphs that nothing refers to, and what is left of uploads; for the start.
    pub(super) fn sweep_graphs(&self) {
        let needed: HashSet<&str> = self.core.graphs_in_use().map(|g| g.digest.as_str()).collect();
        if let Err(e) = self.graph_files().sweep(&needed) {
            tracing::warn!(error = %e, "files of removed models are left over");
        }
    }

    /// Removes the files of models that are neither in the registry nor about to be; for the start.
    pub(super) fn sweep_models(&self) {
        let models = self.core.registry().models().map(|model| model.job);
        let needed: HashSet<JobId> = models.chain(self.core.scheduler().jobs().map(|job| job.id)).collect();
        if let Err(e) = model_files::sweep(&self.layout.models(), |job| needed.contains(&job)) {
            tracing::warn!(error = %e, "files of removed models are left over");
        }
    }

    /// The last change of endpoints that is on disk, now and whenever there is one.
    pub fn deployments(&self) -> watch::Receiver<u64> {
        self.deployed.subscribe()
    }

    /// A node serves the endpoints as of a change.
    pub fn serves(&mut self, node: ServingNode) {
        self.serving.insert(node.node.clone(), node);
    }

    /// What was counted; by the time of the answer the journal has all of it.
    pub fn watching(&mut self) -> Reader {
        self.step(Command::FlushWindows);
        self.journal.reader()
    }

    fn endpoint_status(&self, endpoint: &Endpoint) -> EndpointStatus {
        let nodes = self.serving.values().cloned().collect();
        EndpointStatus { endpoint: endpoint.clone(), nodes, watched: Vec::new() }
    }

    pub fn endpoint_list(&self) -> Vec<EndpointStatus> {
        self.core.endpoints().all().map(|e| self.endpoint_status(e)).collect()
    }

    /// An endpoint and where it is served; what was watched is for the caller to add.
    pub fn endpoint(&self, name: &EndpointName) -> Result<EndpointStatus, Refusal> {
        Ok(self.endpoint_status(self.core.endpoints().find(name)?))
    }
}
