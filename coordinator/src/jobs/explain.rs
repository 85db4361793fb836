//! What a job would do, stage by stage, before anything runs.

use shardmill_common::failure::Refusal;
use shardmill_common::name::DatasetName;
use shardmill_common::status::Explanation;

use super::plan::ResolvedJob;

/// The plan of a job that was checked.
pub fn explain(job: &ResolvedJob) -> Result<Explanation, Refusal> {
    Ok(Explanation {
        kind: job.spec.kind().into(),
        inputs: job.inputs.iter().map(|m| (m.reference(), m.rows(), m.bytes())).collect(),
        outputs: job.spec.outputs().into_iter().map(DatasetName::to_string).collect(),
        stages: Vec::new(),
        notes: Vec::new(),
    })
}
