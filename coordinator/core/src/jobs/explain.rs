//! What a job would do, stage by stage, before anything runs. The first stage is planned as if the job ran; what follows from
//! the results of stages is told in words.

mod data;
mod mapreduce;
mod models;

use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::manifest::Manifest;
use shardmill_common::name::DatasetName;
use shardmill_common::spec::JobSpec;
use shardmill_common::status::{Explanation, PlannedStage};
use shardmill_common::units::{show_bytes, show_count};

use super::plan::{Next, ResolvedJob, ShardAt, groups_of};

/// Stages and notes as they are put together.
#[derive(Default)]
struct Outline {
    stages: Vec<PlannedStage>,
    notes: Vec<String>,
}

impl Outline {
    /// A stage whose number of tasks follows from what is known now.
    fn stage(&mut self, name: &str, tasks: usize, does: impl Into<String>) {
        self.stages.push(PlannedStage { name: name.into(), tasks: Some(tasks as u64), does: does.into() });
    }

    /// A stage whose number of tasks follows from what earlier ones find.
    fn later(&mut self, name: &str, does: impl Into<String>) {
        self.stages.push(PlannedStage { name: name.into(), tasks: None, does: does.into() });
    }

    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// The plan of a job that was checked.
pub fn explain(job: &ResolvedJob) -> Result<Explanation, Refusal> {
    let first = super::next(job, &[], 1).map_err(|failure| match failure {
        Failure::BadInput { message } => Refusal::Invalid(message),
        other => Refusal::Internal(other.to_string()),
    })?;
    let mut outline = Outline::default();
    match &first {
        Next::Stage(planned) => {
            outline_of(job, &mut outline)?;
            // The planner knows best what comes first.
            match outline.stages.first_mut() {
                Some(stage) if stage.name == planned.name => stage.tasks = Some(planned.tasks.len() as u64),
                _ => {
                    let tasks = Some(planned.tasks.len() as u64);
                    outline.stages.insert(0, PlannedStage { name: planned.name.clone(), tasks, does: String::new() });
                }
            }
        }
        Next::Publish(_) | Next::Quiet => outline.note("nothing has to be computed: there are no rows to read"),
    }
    if job.replicas > 1 && !outline.stages.is_empty() && !job.spec.outputs().is_empty() {
        outline.later("copy", format!("copy what was made until {} workers have it", job.replicas));
    }
    Ok(Explanation {
        kind: job.spec.kind().into(),
        inputs: job.inputs.iter().map(|m| (m.reference(), m.rows(), m.bytes())).collect(),
        outputs: job.spec.outputs().into_iter().map(DatasetName::to_string).collect(),
        stages: outline.stages,
        notes: outline.notes,
    })
}

fn outline_of(job: &ResolvedJob, outline: &mut Outline) -> Result<(), Refusal> {
    match &job.spec {
        JobSpec::Clean(spec) => data::clean(spec, job, outline),
        JobSpec::Dedup(spec) => data::dedup(spec, job, outline),
        JobSpec::Compare(spec) => data::compare(spec, job, outline),
        JobSpec::Split(spec) => data::split(spec, job, outline),
        JobSpec::Join(spec) => data::join(spec, job, outline),
        JobSpec::MapReduce(spec) => mapreduce::mapreduce(spec, job, outline),
        JobSpec::Sort(spec) => mapreduce::sort(spec, job, outline),
        JobSpec::Aggregate(spec) => mapreduce::aggregate(spec, job, outline),
        JobSpec::Train(spec) => models::train(spec, job, outline),
        JobSpec::Predict(spec) => models::predict(spec, job, outline),
        JobSpec::Evaluate(spec) => models::evaluate(spec, job, outline),
        JobSpec::Ingest(_) | JobSpec::Import(_) | JobSpec::Register(_) | JobSpec::Repair(_) => {
            return Err(Refusal::Invalid(format!("a job of the kind {} is not explained", job.spec.kind())));
        }
    }
    Ok(())
}

/// `trips@1 (1,000 rows, 2.0 MiB)`.
fn read(manifest: &Manifest) -> String {
    format!("{} ({} rows, {})", manifest.reference(), show_count(manifest.rows()), show_bytes(manifest.bytes()))
}

/// The same of several datasets.
fn read_all(job: &ResolvedJob) -> String {
    job.inputs.iter().map(read).collect::<Vec<_>>().join(" and ")
}

/// `1 shard`, `2 shards`.
fn number(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{} {what}s", show_count(n as u64)) }
}

fn listed(names: &[String]) -> String {
    names.join(", ")
}

/// Tasks that read small shards of an input together and large ones alone.
fn groups(job: &ResolvedJob) -> usize {
    job.inputs.iter().map(groups_in).sum()
}

fn groups_in(manifest: &Manifest) -> usize {
    groups_of(&manifest.shards.iter().map(ShardAt::stored).collect::<Vec<_>>()).len()
}

fn shards(job: &ResolvedJob) -> usize {
    job.inputs.iter().map(|m| m.shards.len()).sum()
}

#[cfg(test)]
mod tests;
