//! From rows back to a core.

use std::collections::BTreeMap;

use shardmill_common::ids::JobId;
use shardmill_common::shared::{Digest, Part, Shelf};
use shardmill_common::time::Timestamp;

use crate::core::Core;
use crate::rows::{Kept, Key, RowError, Table, decode};
use crate::scheduler::{Done, JournalledStage, SchedulerOptions};
use crate::tables::{
    Counters, Endpoints, Evaluations, JobRow, Jobs, ModelNames, Models, Names, Parts, StageRow, Stages, Taken, Tasks,
    Versions,
};

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    pub table: String,
    pub key: String,
    pub why: String,
}

impl std::fmt::Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the row `{}` [{}] cannot be read: {}", self.table, self.key, self.why)
    }
}

/// A key as people can read most of it.
pub fn show_key(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

fn damaged(table: &str, key: &[u8], why: impl std::fmt::Display) -> Damaged {
    Damaged { table: table.to_owned(), key: show_key(key), why: why.to_string() }
}

/// A core in the making. The rows of every table that is in memory are given to it, in any order.
pub struct Replay {
    core: Core,
    jobs: BTreeMap<JobId, JobRow>,
    /// As they were read: their tasks name parts.
    stages: BTreeMap<(JobId, u32), (Vec<u8>, Vec<u8>)>,
    parts: BTreeMap<JobId, BTreeMap<Digest, Part>>,
    tasks: BTreeMap<(JobId, u32, u32), Done>,
}

fn take<T: Table>(rows: &mut BTreeMap<T::Key, T::Value>, key: &[u8], value: &[u8]) -> Result<(), RowError> {
    let key = T::Key::decoded(key).ok_or(RowError::Key)?;
    rows.insert(key, decode::<T>(value)?);
    Ok(())
}

fn part(key: &[u8], value: &[u8]) -> Result<(JobId, Part), RowError> {
    let (job, digest) = <Parts as Table>::Key::decoded(key).ok_or(RowError::Key)?;
    let part = Part::new(decode::<Parts>(value)?);
    if part.digest != digest {
        return Err(RowError::Digest);
    }
    Ok((job, part))
}

impl Replay {
    pub fn new(options: SchedulerOptions, epoch: u64) -> Self {
        Self {
            core: Core::new(options, epoch),
            jobs: BTreeMap::new(),
            stages: BTreeMap::new(),
            parts: BTreeMap::new(),
            tasks: BTreeMap::new(),
        }
    }

    /// Takes a row.
    pub fn row(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), Damaged> {
        fn load<T: Table>(kept: &mut Kept<T>, key: &[u8], value: &[u8]) -> Result<(), RowError> {
            kept.load(key, value)
        }
        let core = &mut self.core;
        let taken = match table {
            Counters::NAME => load(&mut core.counters, key, value),
            Names::NAME => load(&mut core.catalog.names, key, value),
            Taken::NAME => load(&mut core.catalog.taken, key, value),
            Versions::NAME => load(&mut core.catalog.versions, key, value),
            ModelNames::NAME => load(&mut core.registry.names, key, value),
            Models::NAME => load(&mut core.registry.models, key, value),
            Evaluations::NAME => load(&mut core.registry.evaluations, key, value),
            Endpoints::NAME => load(&mut core.endpoints.all, key, value),
            Jobs::NAME => take::<Jobs>(&mut self.jobs, key, value),
            Stages::NAME => Key::decoded(key).ok_or(RowError::Key).map(|number| {
                self.stages.insert(number, (key.to_vec(), value.to_vec()));
            }),
            Parts::NAME => part(key, value).map(|(job, part)| {
                self.parts.entry(job).or_default().insert(part.digest, part);
            }),
            Tasks::NAME => take::<Tasks>(&mut self.tasks, key, value),
            _ => Err(RowError::Table),
        };
        taken.map_err(|why| damaged(table, key, why))
    }

    /// The core as its rows say. `now` is when: workers that had work are given time to come back.
    pub fn finish(mut self, now: Timestamp) -> Result<Core, Damaged> {
        let mut core = self.core;
        core.now = now;
        core.scheduler.restore_published(core.catalog.objects().collect::<Vec<_>>());
        let mut stages: BTreeMap<JobId, Vec<JournalledStage>> = BTreeMap::new();
        let shelves = self.parts.iter().map(|(job, parts)| (*job, Shelf::of(parts.values().cloned())));
        let shelves: BTreeMap<JobId, Shelf> = shelves.collect();
        for ((job, number), (key, value)) in self.stages {
            let shelf = shelves.get(&job).cloned().unwrap_or_default();
            let row: StageRow =
                shelf.reading(|| decode::<Stages>(&value)).map_err(|why| damaged(Stages::NAME, &key, why))?;
            let later = self.tasks.split_off(&(job, number + 1, 0));
            let done = std::mem::replace(&mut self.tasks, later);
            let done = done.into_iter().filter(|((j, n, _), _)| (*j, *n) == (job, number));
            stages.entry(job).or_default().push((row, done.map(|((_, _, task), done)| (task, done)).collect()));
        }
        for (id, row) in self.jobs {
            let (stages, parts) = (stages.remove(&id).unwrap_or_default(), self.parts.remove(&id).unwrap_or_default());
            core.scheduler.restore_job(now.0, id, row, stages, parts);
        }
        if core.shadow.is_some() {
            core.shadow = Some(core.durable());
        }
        Ok(core)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::TABLES;

    #[test]
    fn every_table_that_is_in_memory_is_replayed_and_damage_is_named() {
        for table in TABLES {
            let mut replay = Replay::new(SchedulerOptions::default(), 1);
            let refused = replay.row(table.name, b"", b"\xff").unwrap_err();
            assert_eq!(refused.why.contains("does not know"), !table.in_memory, "{}", table.name);
            assert!(refused.to_string().starts_with(&format!("the row `{}`", table.name)), "{refused}");
        }
    }
}
