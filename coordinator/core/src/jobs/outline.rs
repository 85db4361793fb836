//! What a job would do, stage by stage, in words: what kinds put together for `explain`.

use shardmill_common::manifest::Manifest;
use shardmill_common::phase::Phase;
use shardmill_common::status::PlannedStage;
use shardmill_common::units::{show_bytes, show_count};

use super::plan::{ResolvedJob, ShardAt, groups_of};

/// Stages and notes as they are put together.
#[derive(Default)]
pub struct Outline {
    pub stages: Vec<PlannedStage>,
    pub notes: Vec<String>,
}

impl Outline {
    /// A stage whose number of tasks follows from what is known now.
    pub fn stage(&mut self, phase: impl Phase, tasks: usize, does: impl Into<String>) {
        self.stages.push(PlannedStage { name: phase.name().into(), tasks: Some(tasks as u64), does: does.into() });
    }

    /// A stage whose number of tasks follows from what earlier ones find.
    pub fn later(&mut self, phase: impl Phase, does: impl Into<String>) {
        self.stages.push(PlannedStage { name: phase.name().into(), tasks: None, does: does.into() });
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// `trips@1 (1,000 rows, 2.0 MiB)`.
pub fn read(manifest: &Manifest) -> String {
    format!("{} ({} rows, {})", manifest.reference(), show_count(manifest.rows()), show_bytes(manifest.bytes()))
}

/// The same of several datasets.
pub fn read_all(job: &ResolvedJob) -> String {
    job.inputs.iter().map(read).collect::<Vec<_>>().join(" and ")
}

/// `1 shard`, `2 shards`.
pub fn number(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{} {what}s", show_count(n as u64)) }
}

pub fn listed(names: &[String]) -> String {
    names.join(", ")
}

/// Tasks that read small shards of the inputs together and large ones alone.
pub fn groups(job: &ResolvedJob) -> usize {
    job.inputs.iter().map(groups_in).sum()
}

pub fn groups_in(manifest: &Manifest) -> usize {
    groups_of(&manifest.shards.iter().map(ShardAt::stored).collect::<Vec<_>>()).len()
}

pub fn shards(job: &ResolvedJob) -> usize {
    job.inputs.iter().map(|m| m.shards.len()).sum()
}
