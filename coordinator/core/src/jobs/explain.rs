//! Explaining a job before anything runs. The first stage is planned as if the job ran; what follows from the results of stages
//! is told in words.

use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::kinds::repair::CopyPhase;
use shardmill_common::name::DatasetName;
use shardmill_common::status::{Explanation, PlannedStage};

use super::outline::Outline;
use super::plan::{Next, ResolvedJob};
use super::planner;

/// The plan of a job that was checked.
pub fn explain(job: &ResolvedJob) -> Result<Explanation, Refusal> {
    let first = super::next(job, &[], 1).map_err(|failure| match failure {
        Failure::BadInput { message } => Refusal::Invalid(message),
        other => Refusal::Internal(other.to_string()),
    })?;
    let mut outline = Outline::default();
    match &first {
        Next::Stage(planned) => {
            let kind = job.spec.kind();
            outline = planner(&job.spec)
                .outline(job)
                .ok_or_else(|| Refusal::Invalid(format!("a job of the kind {kind} is not explained")))?;
            // The planner knows best what comes first.
            match outline.stages.first_mut() {
                Some(stage) if stage.name == planned.name => stage.tasks = Some(planned.tasks.len() as u64),
                _ => {
                    let tasks = Some(planned.tasks.len() as u64);
                    outline.stages.insert(0, PlannedStage { name: planned.name.clone(), tasks, does: String::new() });
                }
            }
        }
        Next::Publish(publication) if publication.drafts.iter().any(|draft| !draft.shards.is_empty()) => {
            outline.note("nothing has to be computed: the shards stay as they are");
        }
        Next::Publish(_) | Next::Quiet => outline.note("nothing has to be computed: the result has no rows"),
    }
    if job.replicas > 1 && !outline.stages.is_empty() && !job.spec.outputs().is_empty() {
        outline.later(CopyPhase::Copy, format!("copy what was made until {} workers have it", job.replicas));
    }
    Ok(Explanation {
        kind: job.spec.kind().into(),
        inputs: job.inputs.iter().map(|m| (m.reference(), m.rows(), m.bytes())).collect(),
        outputs: job.spec.outputs().into_iter().map(DatasetName::to_string).collect(),
        stages: outline.stages,
        notes: outline.notes,
    })
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
