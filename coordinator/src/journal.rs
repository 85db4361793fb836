//! The journal: the catalog and every job's spec and progress in one redb file, written by two-phase commits.
//!
//! A change that was acknowledged is on disk. Progress of tasks waits for the disk once a second: losing the newest of it in a
//! crash costs a second's work that is done again, never data.

mod windows;

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shardmill_common::ids::{ClusterId, JobId};
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Model, ModelName};
use shardmill_common::name::DatasetName;
use shardmill_common::record::Record;
use shardmill_common::status::JobStatus;
use shardmill_common::time::Timestamp;

use crate::catalog::{Catalog, Change, NameState};
use crate::endpoints::{EndpointWrite, Endpoints};
use crate::jobs::{Planned, ResolvedJob};
use crate::registry::{ModelChange, ModelState, Registry};
use crate::scheduler::{Done, JournalOp, Stage, StageSums};
use crate::windows::WindowWrite;

pub use windows::WindowReader;

const MODEL_NAMES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("model names");
const MODELS: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("models");
const EVALUATIONS: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("evaluations");
const ENDPOINTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("endpoints");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const NAMES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("names");
const VERSIONS: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("versions");
const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
const JOBS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("jobs");
const STAGES: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("stages");
const TASKS: TableDefinition<'_, (u64, u32, u32), &[u8]> = TableDefinition::new("tasks");

/// The entry of `meta` that counts changes of endpoints.
const ENDPOINT_REVISION: &str = "endpoint revision";

/// The layout of the tables; a journal of another one is refused.
const FORMAT: u32 = 2;

/// What the journal keeps of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    pub job: JobId,
    /// `None` once the job is final.
    pub resolved: Option<ResolvedJob>,
    pub who: String,
    pub priority: i32,
    pub deadline: Option<Timestamp>,
    pub submitted: Timestamp,
    /// Once the job is final.
    pub status: Option<JobStatus>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct StageRow {
    planned: Planned,
    /// Tasks that were done and are not needed any more.
    forgotten: u32,
    /// What those tasks came to.
    #[serde(default)]
    sums: StageSums,
}

/// The row of a stage that was just planned, which may be large.
#[derive(Serialize)]
struct NewStageRow<'a> {
    planned: &'a Planned,
    forgotten: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Meta {
    format: u32,
    cluster: ClusterId,
    /// How often a coordinator started on this journal.
    epoch: u64,
}

/// One write.
#[derive(Clone, Debug)]
pub enum Write {
    Catalog(Change),
    Registry(ModelChange),
    Endpoint(EndpointWrite),
    Job(Box<JobRow>),
    /// The job is final: its stages and tasks are not needed any more.
    EndJob(Box<JobRow>),
    Progress(JournalOp),
    /// Something was counted; lost in a crash, it is missing from the sums.
    Window(WindowWrite),
}

impl Write {
    /// Whether somebody is told that it happened, so that it must be on disk first.
    fn is_promised(&self) -> bool {
        !matches!(self, Write::Progress(_) | Write::Window(_))
    }
}

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{0}")]
    Store(Box<redb::Error>),
    #[error("the entry {table}[{key}] cannot be read: {message}")]
    Damaged { table: &'static str, key: String, message: String },
    #[error("the journal has format {found}; this program reads format {FORMAT}")]
    Format { found: u32 },
}

impl<E: Into<redb::Error>> From<E> for JournalError {
    fn from(e: E) -> Self {
        JournalError::Store(Box::new(e.into()))
    }
}

/// A job that was under way, with the stages that were planned and the tasks that were done.
pub struct UnfinishedJob {
    pub row: JobRow,
    pub stages: Vec<JournalledStage>,
}

/// A stage as it was planned, and its tasks that were done.
pub struct JournalledStage {
    pub planned: Planned,
    pub forgotten: u32,
    pub sums: StageSums,
    pub done: Vec<(u32, Done)>,
}

impl JournalledStage {
    /// The stage as the scheduler keeps it; its tasks that were done are put in by the caller.
    pub fn restored(&self, now: i64) -> Stage {
        match self.forgotten {
            0 => Stage::new(self.planned.clone(), now),
            tasks => Stage::forgotten(self.planned.clone(), tasks, self.sums.clone(), now),
        }
    }
}

/// What a journal holds when it is opened.
pub struct Contents {
    pub cluster: ClusterId,
    pub epoch: u64,
    pub next_job: u64,
    pub catalog: Catalog,
    pub registry: Registry,
    pub endpoints: Endpoints,
    pub finished: Vec<JobStatus>,
    pub unfinished: Vec<UnfinishedJob>,
}

pub struct Journal {
    db: Arc<Database>,
    /// When a write last waited for the disk.
    synced: Cell<Instant>,
}

/// Progress that is older is brought to the disk with the next write.
const SYNC_EVERY: Duration = Duration::from_secs(1);

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, JournalError> {
    serde_json::to_vec(value).map_err(|e| JournalError::Damaged {
        table: "any",
        key: "new".into(),
        message: e.to_string(),
    })
}

fn parse<T: DeserializeOwned>(table: &'static str, key: impl std::fmt::Debug, bytes: &[u8]) -> Result<T, JournalError> {
    serde_json::from_slice(bytes).map_err(|e| JournalError::Damaged {
        table,
        key: format!("{key:?}"),
        message: e.to_string(),
    })
}

impl Journal {
    /// Opens or makes the journal and counts this start.
    pub fn open(path: &Path) -> Result<(Self, Contents), JournalError> {
        // The whole catalog is in memory already; a large page cache would hold it twice.
        let db = Database::builder().set_cache_size(16 << 20).create(path)?;
        let mut meta = {
            let tx = db.begin_write()?;
            let found = {
                let table = tx.open_table(META)?;
                let found = table.get("cluster")?.map(|v| parse::<Meta>("meta", "cluster", v.value())).transpose()?;
                tx.open_table(NAMES)?;
                tx.open_table(VERSIONS)?;
                tx.open_table(RECORDS)?;
                tx.open_table(JOBS)?;
                tx.open_table(STAGES)?;
                tx.open_table(TASKS)?;
                tx.open_table(MODEL_NAMES)?;
                tx.open_table(MODELS)?;
                tx.open_table(EVALUATIONS)?;
                tx.open_table(ENDPOINTS)?;
                windows::make(&tx)?;
                found
            };
            let mut meta = found.unwrap_or(Meta { format: FORMAT, cluster: ClusterId::fresh(), epoch: 0 });
            if meta.format != FORMAT {
                return Err(JournalError::Format { found: meta.format });
            }
            meta.epoch += 1;
            tx.open_table(META)?.insert("cluster", json(&meta)?.as_slice())?;
            commit(tx, true)?;
            meta
        };
        let contents = read(&db, &mut meta)?;
        Ok((Self { db: Arc::new(db), synced: Cell::new(Instant::now()) }, contents))
    }

    /// Writes all or nothing.
    pub fn write(&self, writes: &[Write]) -> Result<(), JournalError> {
        if writes.is_empty() {
            return Ok(());
        }
        let tx = self.db.begin_write()?;
        let mut rest = writes;
        while let Some(write) = rest.first() {
            let mut written = 1;
            match write {
                Write::Catalog(change) => put_change(&tx, change)?,
                Write::Registry(change) => put_model(&tx, change)?,
                Write::Endpoint(write) => put_endpoint(&tx, write)?,
                Write::Window(write) => windows::put(&tx, write)?,
                Write::Job(row) => {
                    tx.open_table(JOBS)?.insert(row.job.0, json(row)?.as_slice())?;
                }
                Write::EndJob(row) => {
                    let job = row.job.0;
                    tx.open_table(JOBS)?.insert(job, json(row)?.as_slice())?;
                    tx.open_table(STAGES)?.retain_in((job, 0)..=(job, u32::MAX), |_, _| false)?;
                    tx.open_table(TASKS)?.retain_in((job, 0, 0)..=(job, u32::MAX, u32::MAX), |_, _| false)?;
                }
                Write::Progress(JournalOp::StagePlanned { job, stage, planned, sums }) => {
                    put_stage(&tx, *job, *stage, planned, sums)?;
                }
                Write::Progress(_) => written = put_tasks(&tx, rest)?,
            }
            rest = rest.get(written..).unwrap_or_default();
        }
        let waits = writes.iter().any(Write::is_promised) || self.synced.get().elapsed() >= SYNC_EVERY;
        commit(tx, waits)?;
        if waits {
            self.synced.set(Instant::now());
        }
        Ok(())
    }

    /// Brings everything that was written to the disk.
    pub fn sync(&self) -> Result<(), JournalError> {
        commit(self.db.begin_write()?, true)
    }

    /// Reads what was counted, beside whoever writes.
    pub fn windows(&self) -> WindowReader {
        WindowReader::new(self.db.clone())
    }
}

fn commit(mut tx: WriteTransaction, promised: bool) -> Result<(), JournalError> {
    if promised {
        tx.set_two_phase_commit(true);
    } else {
        tx.set_durability(Durability::None).map_err(|e| JournalError::Damaged {
            table: "any",
            key: "durability".into(),
            message: e.to_string(),
        })?;
    }
    tx.commit()?;
    Ok(())
}

fn put_change(tx: &WriteTransaction, change: &Change) -> Result<(), JournalError> {
    match change {
        Change::PutName(name, state) => {
            tx.open_table(NAMES)?.insert(name.as_str(), json(state)?.as_slice())?;
        }
        Change::PutVersion(manifest) => {
            tx.open_table(VERSIONS)?.insert((manifest.name.as_str(), manifest.version), json(manifest)?.as_slice())?;
        }
        Change::RemoveVersion(name, version) => {
            tx.open_table(VERSIONS)?.remove((name.as_str(), *version))?;
        }
        Change::PutRecord(record) => {
            tx.open_table(RECORDS)?.insert(record.job.0, json(record)?.as_slice())?;
        }
    }
    Ok(())
}

fn put_model(tx: &WriteTransaction, change: &ModelChange) -> Result<(), JournalError> {
    match change {
        ModelChange::PutState(name, state) => {
            tx.open_table(MODEL_NAMES)?.insert(name.as_str(), json(state)?.as_slice())?;
        }
        ModelChange::PutModel(model) => {
            tx.open_table(MODELS)?.insert((model.name.as_str(), model.version), json(model)?.as_slice())?;
        }
        ModelChange::RemoveModel(name, version) => {
            tx.open_table(MODELS)?.remove((name.as_str(), *version))?;
            tx.open_table(EVALUATIONS)?.remove((name.as_str(), *version))?;
        }
        ModelChange::PutEvaluations(name, version, evaluations) => {
            tx.open_table(EVALUATIONS)?.insert((name.as_str(), *version), json(evaluations)?.as_slice())?;
        }
    }
    Ok(())
}

fn put_endpoint(tx: &WriteTransaction, write: &EndpointWrite) -> Result<(), JournalError> {
    let mut table = tx.open_table(ENDPOINTS)?;
    let revision = match write {
        EndpointWrite::Put(endpoint) => {
            table.insert(endpoint.name.as_str(), json(endpoint)?.as_slice())?;
            endpoint.revision
        }
        EndpointWrite::Remove(name, revision) => {
            table.remove(name.as_str())?;
            *revision
        }
    };
    tx.open_table(META)?.insert(ENDPOINT_REVISION, json(&revision)?.as_slice())?;
    Ok(())
}

fn read_endpoints(tx: &redb::ReadTransaction) -> Result<Endpoints, JournalError> {
    let mut endpoints = Endpoints::default();
    for row in tx.open_table(ENDPOINTS)?.iter()? {
        let (key, value) = row?;
        endpoints.apply(EndpointWrite::Put(parse("endpoints", key.value(), value.value())?));
    }
    if let Some(revision) = tx.open_table(META)?.get(ENDPOINT_REVISION)? {
        endpoints.restore_revision(parse("meta", ENDPOINT_REVISION, revision.value())?);
    }
    Ok(endpoints)
}

fn read_registry(tx: &redb::ReadTransaction) -> Result<Registry, JournalError> {
    let mut registry = Registry::default();
    for row in tx.open_table(MODEL_NAMES)?.iter()? {
        let (key, value) = row?;
        let state: ModelState = parse("model names", key.value(), value.value())?;
        let name: ModelName = parse("model names", key.value(), &json(&key.value())?)?;
        registry.apply(ModelChange::PutState(name, state));
    }
    for row in tx.open_table(MODELS)?.iter()? {
        let (key, value) = row?;
        let model: Model = parse("models", key.value(), value.value())?;
        registry.apply(ModelChange::PutModel(Box::new(model)));
    }
    for row in tx.open_table(EVALUATIONS)?.iter()? {
        let (key, value) = row?;
        let (name, version) = key.value();
        let evaluations = parse("evaluations", key.value(), value.value())?;
        let name: ModelName = parse("evaluations", key.value(), &json(&name)?)?;
        registry.apply(ModelChange::PutEvaluations(name, version, evaluations));
    }
    Ok(registry)
}

fn put_stage(
    tx: &WriteTransaction,
    job: JobId,
    stage: u32,
    planned: &Planned,
    sums: &[StageSums],
) -> Result<(), JournalError> {
    let mut stages = tx.open_table(STAGES)?;
    for (forgotten, sums) in planned.forgets.iter().zip(sums) {
        let key = (job.0, *forgotten);
        let old = stages.get(key)?.map(|v| parse::<StageRow>("stages", key, v.value())).transpose()?;
        let Some(old) = old else { continue };
        let row = StageRow {
            forgotten: old.forgotten + old.planned.tasks.len() as u32,
            planned: Planned { tasks: Vec::new(), memo: None, ..old.planned },
            sums: sums.clone(),
        };
        stages.insert(key, json(&row)?.as_slice())?;
        tx.open_table(TASKS)?.retain_in((job.0, *forgotten, 0)..=(job.0, *forgotten, u32::MAX), |_, _| false)?;
    }
    stages.insert((job.0, stage), json(&NewStageRow { planned, forgotten: 0 })?.as_slice())?;
    Ok(())
}

/// Writes what became of tasks, as many as follow each other; the table is opened once for all of them. Returns how many.
fn put_tasks(tx: &WriteTransaction, writes: &[Write]) -> Result<usize, JournalError> {
    let mut tasks = tx.open_table(TASKS)?;
    for (n, write) in writes.iter().enumerate() {
        match write {
            Write::Progress(JournalOp::TaskDone { job, stage, task, done }) => {
                tasks.insert((job.0, *stage, *task), json(done)?.as_slice())?;
            }
            Write::Progress(JournalOp::TaskLost { job, stage, task }) => {
                tasks.remove((job.0, *stage, *task))?;
            }
            _ => return Ok(n),
        }
    }
    Ok(writes.len())
}

fn read(db: &Database, meta: &mut Meta) -> Result<Contents, JournalError> {
    let tx = db.begin_read()?;
    let mut catalog = Catalog::default();
    for row in tx.open_table(NAMES)?.iter()? {
        let (key, value) = row?;
        let state: NameState = parse("names", key.value(), value.value())?;
        let name: DatasetName = parse("names", key.value(), &json(&key.value())?)?;
        catalog.apply(Change::PutName(name, state));
    }
    for row in tx.open_table(VERSIONS)?.iter()? {
        let (key, value) = row?;
        let manifest: Manifest = parse("versions", key.value(), value.value())?;
        catalog.apply(Change::PutVersion(Box::new(manifest)));
    }
    for row in tx.open_table(RECORDS)?.iter()? {
        let (key, value) = row?;
        let record: Record = parse("records", key.value(), value.value())?;
        catalog.apply(Change::PutRecord(Box::new(record)));
    }
    let (mut finished, mut unfinished) = (Vec::new(), Vec::new());
    let mut next_job = 1;
    for row in tx.open_table(JOBS)?.iter()? {
        let (key, value) = row?;
        let row: JobRow = parse("jobs", key.value(), value.value())?;
        next_job = next_job.max(row.job.0 + 1);
        match row.status {
            Some(status) => finished.push(status),
            None => unfinished.push(UnfinishedJob { row, stages: Vec::new() }),
        }
    }
    let (stages, tasks) = (tx.open_table(STAGES)?, tx.open_table(TASKS)?);
    for job in &mut unfinished {
        let id = job.row.job.0;
        for row in stages.range((id, 0)..=(id, u32::MAX))? {
            let (key, value) = row?;
            let (_, stage) = key.value();
            let stage_row: StageRow = parse("stages", key.value(), value.value())?;
            let mut done = Vec::new();
            for row in tasks.range((id, stage, 0)..=(id, stage, u32::MAX))? {
                let (key, value) = row?;
                done.push((key.value().2, parse::<Done>("tasks", key.value(), value.value())?));
            }
            let StageRow { planned, forgotten, sums } = stage_row;
            job.stages.push(JournalledStage { planned, forgotten, sums, done });
        }
    }
    let (registry, endpoints) = (read_registry(&tx)?, read_endpoints(&tx)?);
    let (cluster, epoch) = (meta.cluster, meta.epoch);
    Ok(Contents { cluster, epoch, next_job, catalog, registry, endpoints, finished, unfinished })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_remembers_and_counts_its_starts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.redb");
        let (journal, first) = Journal::open(&path).unwrap();
        assert_eq!(first.epoch, 1);
        let name: DatasetName = "a".parse().unwrap();
        let row = JobRow {
            job: JobId(7),
            resolved: None,
            who: "me".into(),
            priority: 0,
            deadline: None,
            submitted: Timestamp(5),
            status: None,
        };
        let state = NameState { last_version: 3, ..Default::default() };
        journal.write(&[Write::Catalog(Change::PutName(name, state)), Write::Job(Box::new(row))]).unwrap();
        journal
            .write(&[Write::Progress(JournalOp::StagePlanned {
                job: JobId(7),
                stage: 0,
                planned: Box::new(Planned { name: "hash".into(), ..Default::default() }),
                sums: Vec::new(),
            })])
            .unwrap();
        drop(journal);
        let (_, second) = Journal::open(&path).unwrap();
        assert_eq!((second.epoch, second.cluster), (2, first.cluster));
        assert_eq!(second.next_job, 8);
        assert_eq!(second.unfinished.len(), 1);
        assert_eq!(second.unfinished[0].stages[0].planned.name, "hash");
    }

    #[test]
    fn a_file_that_is_no_journal_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.redb");
        std::fs::write(&path, b"not a database, but long enough to look like one").unwrap();
        assert!(Journal::open(&path).is_err());
    }
}
