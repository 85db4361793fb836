//! Accepting a job: versions in the place of names, checks before anything runs, and then a row.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shardmill_common::failure::Refusal;
use shardmill_common::ids::JobId;
use shardmill_common::kinds::{JobSpec, Submission};
use shardmill_common::message::UploadTargets;
use shardmill_common::model::{Model, ModelRef};
use shardmill_common::schema::Schema;
use shardmill_common::status::Explanation;
use shardmill_common::time::Timestamp;

use crate::command::Facts;
use crate::core::Core;
use crate::jobs::{ResolvedJob, planner, planner_mut};
use crate::scheduler::{Event, Worker, message_of};
use crate::tables::{JobRow, counter};

const NO_WORKER: &str =
    "no worker is alive: start one with `shardmill worker --coordinator URL --listen ADDR --data-dir DIR`";

/// A planner that panics over a job refuses it; it must not end the coordinator.
fn guarded<T>(job: &ResolvedJob, plan: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(plan)).unwrap_or_else(|cause| {
        let kind = job.spec.kind();
        Err(Refusal::Internal(format!("the planner of {kind} panicked over the job: {}", message_of(&*cause))))
    })
}

impl Core {
    pub(crate) fn submit(&mut self, submission: Submission, facts: Facts) -> Result<JobId, Refusal> {
        let resolved = self.resolve(submission.spec, &facts)?;
        guarded(&resolved, || crate::jobs::check(&resolved))?;
        let job = JobId(self.count_up(counter::JOB));
        let after = |seconds: u64| Timestamp(self.now.0.saturating_add((seconds as i64).saturating_mul(1000)));
        let row = JobRow {
            resolved,
            who: submission.who,
            priority: submission.priority,
            deadline: submission.deadline_seconds.map(after),
            submitted: self.now,
        };
        self.happened(Event::Submitted { job, row: Box::new(row) });
        Ok(job)
    }

    /// What a job would do. It is checked as if it were to run.
    pub fn explain(&self, submission: Submission, facts: Facts) -> Result<Explanation, Refusal> {
        let resolved = self.resolve(submission.spec, &facts)?;
        guarded(&resolved, || crate::jobs::check(&resolved).and_then(|()| crate::jobs::explain(&resolved)))
    }

    /// The model whose curvature a training needs: that of the version it updates.
    pub fn needs_curvature(&self, spec: &JobSpec) -> Option<&Model> {
        self.registry.find(planner(spec).needs_curvature()?).ok()
    }

    /// Puts versions in the place of bare names, and refuses what cannot work.
    fn resolve(&self, mut spec: JobSpec, facts: &Facts) -> Result<ResolvedJob, Refusal> {
        let replicas = self.replicas(spec.replicas())?;
        for output in spec.outputs() {
            self.not_being_written(output)?;
        }
        let mut inputs = Vec::new();
        for dataset in spec.inputs_mut() {
            let manifest = self.catalog.find(dataset)?;
            *dataset = manifest.reference();
            inputs.push(manifest.clone());
        }
        Schema::settle(&mut inputs.iter_mut().map(|manifest| &mut manifest.schema).collect::<Vec<_>>());
        planner_mut(&mut spec).resolve(self, facts)?;
        Ok(ResolvedJob { spec, inputs, replicas })
    }

    /// The model version meant; the reference is made to name it by number.
    pub(crate) fn pinned(&self, reference: &mut ModelRef) -> Result<Model, Refusal> {
        let model = self.registry.find(reference)?;
        *reference = model.reference();
        Ok(model.clone())
    }

    /// Copies to be made of what a job makes.
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

    /// Where a client may upload: workers with the least stored first.
    pub fn upload_targets(&self, replicas: Option<u32>) -> Result<UploadTargets, Refusal> {
        let copies = self.replicas(replicas)?;
        let mut workers: Vec<&Worker> = self.scheduler.workers().filter(|w| w.is_alive() && !w.draining).collect();
        workers.sort_by_key(|w| (w.stored_bytes, w.id()));
        let copies = copies.min(workers.len() as u32);
        Ok(UploadTargets { peers: workers.into_iter().map(|w| w.peer.clone()).collect(), copies })
    }
}
