//! The journal: rows of the core's tables in one redb file, written by two-phase commits. It knows no row's meaning: a table is a
//! name, keys and values are bytes.
//!
//! What somebody was told is on disk. Progress of tasks waits for the disk once a second: losing the newest of it in a crash costs
//! a second's work that is done again, never data.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use shardmill_common::ids::ClusterId;
use shardmill_common::time::Timestamp;
use shardmill_core::rows::{Key, Ledger, RowError, Table, Write, decode};
use shardmill_core::scheduler::SchedulerOptions;
use shardmill_core::tables::TABLES;
use shardmill_core::{Core, Damaged, Replay, show_key};

/// A table of rows.
type Rows<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// What the journal knows of itself.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The layout of the tables. Rows have versions of their own.
const FORMAT: u32 = 3;

/// Progress that is older is brought to the disk with the next write.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How long a reader from before may take to end.
const LAST_READER: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Meta {
    format: u32,
    cluster: ClusterId,
    /// How often a coordinator started on this journal.
    epoch: u64,
}

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{0}")]
    Store(Box<redb::Error>),
    #[error("{0}")]
    Damaged(Damaged),
    #[error("{0}")]
    Unwritable(String),
    #[error(
        "the journal has format {found}; this program reads format {FORMAT}: use the program that wrote it, or a new data folder"
    )]
    Format { found: u32 },
}

impl<E: Into<redb::Error>> From<E> for JournalError {
    fn from(e: E) -> Self {
        JournalError::Store(Box::new(e.into()))
    }
}

fn meta_is_damaged(e: impl std::fmt::Display) -> JournalError {
    JournalError::Damaged(Damaged { table: "meta".into(), key: "cluster".into(), why: e.to_string() })
}

pub struct Journal {
    db: Arc<Database>,
    /// When a write last waited for the disk, and whether one since then did not.
    synced: Cell<Instant>,
    waiting: Cell<bool>,
    pub cluster: ClusterId,
    /// How often a coordinator started on this journal, this time included.
    pub epoch: u64,
}

impl Journal {
    /// Opens or makes the journal and counts this start.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        // What the core keeps is in memory already; a large page cache would hold it twice.
        let db = open(path)?;
        let tx = db.begin_write()?;
        let found = {
            let table = tx.open_table(META)?;
            let found = table.get("cluster")?.map(|v| serde_json::from_slice::<Meta>(v.value()));
            found.transpose().map_err(meta_is_damaged)?
        };
        let mut meta = found.unwrap_or(Meta { format: FORMAT, cluster: ClusterId::fresh(), epoch: 0 });
        if meta.format != FORMAT {
            return Err(JournalError::Format { found: meta.format });
        }
        meta.epoch += 1;
        let written = serde_json::to_vec(&meta).map_err(meta_is_damaged)?;
        tx.open_table(META)?.insert("cluster", written.as_slice())?;
        for table in TABLES {
            tx.open_table(Rows::new(table.name))?;
        }
        commit(tx, true)?;
        let (cluster, epoch) = (meta.cluster, meta.epoch);
        Ok(Self { db: Arc::new(db), synced: Cell::new(Instant::now()), waiting: Cell::new(false), cluster, epoch })
    }

    /// The core as the journal has it.
    pub fn replay(&self, options: SchedulerOptions, now: Timestamp) -> Result<Core, JournalError> {
        let mut replay = Replay::new(options, self.epoch);
        let tx = self.db.begin_read()?;
        for table in TABLES.iter().filter(|table| table.in_memory) {
            for row in tx.open_table(Rows::new(table.name))?.iter()? {
                let (key, value) = row?;
                replay.row(table.name, key.value(), value.value()).map_err(JournalError::Damaged)?;
            }
        }
        replay.finish(now).map_err(JournalError::Damaged)
    }

    /// Writes all or nothing.
    pub fn write(&self, rows: &Ledger) -> Result<(), JournalError> {
        if let Some(why) = &rows.broken {
            return Err(JournalError::Unwritable(why.to_string()));
        }
        let tx = self.db.begin_write()?;
        let mut rest = rows.writes.as_slice();
        while let Some(first) = rest.first() {
            let name = table_of(first);
            // A table is opened once for all the rows of it that follow each other.
            let mut table = tx.open_table(Rows::new(name))?;
            let together = rest.iter().take_while(|write| table_of(write) == name).count();
            let (now, later) = rest.split_at(together);
            for write in now {
                match write {
                    Write::Put { key, value, .. } => drop(table.insert(key.as_slice(), value.as_slice())?),
                    Write::Remove { key, .. } => drop(table.remove(key.as_slice())?),
                    Write::RemoveRange { from, to, .. } => {
                        table.retain_in(from.as_slice()..to.as_slice(), |_, _| false)?;
                    }
                }
            }
            rest = later;
        }
        let waits = rows.promised || self.synced.get().elapsed() >= SYNC_EVERY;
        commit(tx, waits)?;
        self.waiting.set(!waits);
        if waits {
            self.synced.set(Instant::now());
        }
        Ok(())
    }

    /// Brings progress to the disk that waited long enough: to be called now and then, since nothing else may be written while a
    /// long task runs.
    pub fn settle(&self) -> Result<(), JournalError> {
        if self.waiting.get() && self.synced.get().elapsed() >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    /// Every row as it is, for tests.
    #[cfg(test)]
    pub fn rows(&self) -> Result<shardmill_core::rows::Store, JournalError> {
        let (mut store, tx) = (shardmill_core::rows::Store::default(), self.db.begin_read()?);
        for table in TABLES {
            for row in tx.open_table(Rows::new(table.name))?.iter()? {
                let (key, value) = row?;
                let (key, value) = (key.value().to_vec(), value.value().to_vec());
                store.apply(&Write::Put { table: table.name, key, value });
            }
        }
        Ok(store)
    }

    /// Brings everything that was written to the disk.
    pub fn sync(&self) -> Result<(), JournalError> {
        commit(self.db.begin_write()?, true)?;
        self.waiting.set(false);
        self.synced.set(Instant::now());
        Ok(())
    }

    /// Reads rows that are not in memory, beside whoever writes.
    pub fn reader(&self) -> Reader {
        Reader(self.db.clone())
    }
}

/// The folder is locked by whoever starts, so that only a coordinator that ended in this very process can still have the file: a
/// last reader of it, which is waited for.
fn open(path: &Path) -> Result<Database, JournalError> {
    let until = Instant::now() + LAST_READER;
    loop {
        match Database::builder().set_cache_size(16 << 20).create(path) {
            Err(redb::DatabaseError::DatabaseAlreadyOpen) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return Ok(opened?),
        }
    }
}

fn table_of(write: &Write) -> &'static str {
    match write {
        Write::Put { table, .. } | Write::Remove { table, .. } | Write::RemoveRange { table, .. } => table,
    }
}

fn commit(mut tx: WriteTransaction, promised: bool) -> Result<(), JournalError> {
    if promised {
        // With what a start after a crash needs, so that it need not walk the whole file; that takes two phases as well.
        tx.set_quick_repair(true);
    } else {
        tx.set_durability(Durability::None).map_err(|e| JournalError::Unwritable(e.to_string()))?;
    }
    tx.commit()?;
    Ok(())
}

/// Reads what was written. Holds the journal's file open.
#[derive(Clone)]
pub struct Reader(Arc<Database>);

/// A row that was read: its key, and its value or why that cannot be read.
pub type Read<T> = (<T as Table>::Key, Result<<T as Table>::Value, RowError>);

fn read_row<T: Table>(key: &[u8], value: &[u8]) -> Result<Read<T>, JournalError> {
    let decoded = T::Key::decoded(key).ok_or_else(|| {
        JournalError::Damaged(Damaged { table: T::NAME.into(), key: show_key(key), why: RowError::Key.to_string() })
    })?;
    Ok((decoded, decode::<T>(value)))
}

impl Reader {
    /// The value of one row, if there is one.
    pub fn get<T: Table>(&self, key: &T::Key) -> Result<Option<Result<T::Value, RowError>>, JournalError> {
        let table = self.0.begin_read()?.open_table(Rows::new(T::NAME))?;
        Ok(table.get(key.encoded().as_slice())?.map(|value| decode::<T>(value.value())))
    }

    pub fn has<T: Table>(&self, key: &T::Key) -> Result<bool, JournalError> {
        let table = self.0.begin_read()?.open_table(Rows::new(T::NAME))?;
        Ok(table.get(key.encoded().as_slice())?.is_some())
    }

    pub fn count<T: Table>(&self) -> Result<u64, JournalError> {
        Ok(self.0.begin_read()?.open_table(Rows::new(T::NAME))?.len()?)
    }

    /// Rows with keys below `before`, the last first: at most so many, and no more once they come to so many bytes.
    pub fn newest<T: Table>(
        &self,
        before: Option<&T::Key>,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<Read<T>>, JournalError> {
        let table = self.0.begin_read()?.open_table(Rows::new(T::NAME))?;
        let before = before.map(Key::encoded);
        let range = match &before {
            Some(before) => table.range::<&[u8]>(..before.as_slice())?,
            None => table.range::<&[u8]>(..)?,
        };
        let (mut read, mut size) = (Vec::new(), 0);
        for row in range.rev() {
            if read.len() >= rows || size > bytes {
                break;
            }
            let (key, value) = row?;
            size += value.value().len();
            read.push(read_row::<T>(key.value(), value.value())?);
        }
        Ok(read)
    }

    /// The lowest keys, at most so many.
    pub fn oldest_keys<T: Table>(&self, rows: usize) -> Result<Vec<T::Key>, JournalError> {
        let table = self.0.begin_read()?.open_table(Rows::new(T::NAME))?;
        let keys = table.iter()?.take(rows).map(|row| Ok(T::Key::decoded(row?.0.value())));
        Ok(keys.collect::<Result<Vec<_>, JournalError>>()?.into_iter().flatten().collect())
    }

    /// Hands out rows, the lowest keys first, until that is enough.
    pub fn each_from_the_oldest<T: Table>(
        &self,
        mut goes_on: impl FnMut(T::Key, Result<T::Value, RowError>) -> bool,
    ) -> Result<(), JournalError> {
        let table = self.0.begin_read()?.open_table(Rows::new(T::NAME))?;
        for row in table.iter()? {
            let (key, value) = row?;
            let (key, value) = read_row::<T>(key.value(), value.value())?;
            if !goes_on(key, value) {
                break;
            }
        }
        Ok(())
    }

    /// The rows whose encoded keys are in `from..to`, in their order.
    pub fn range<T: Table>(&self, from: &[u8], to: &[u8]) -> Result<Vec<Read<T>>, JournalError> {
        let table = self.0.begin_read()?.open_table(Rows::new(T::NAME))?;
        let range = table.range::<&[u8]>(from..to)?;
        range
            .map(|row| row.map_err(JournalError::from).and_then(|(k, v)| read_row::<T>(k.value(), v.value())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use shardmill_common::ids::JobId;
    use shardmill_core::tables::{Counters, Finished, Names};

    use super::*;

    fn names(count: u32) -> Ledger {
        let mut ledger = Ledger::default();
        for n in 0..count {
            let state = serde_json::from_value(serde_json::json!({"last_version": n})).unwrap();
            ledger.put::<Names>(&format!("n{n}").parse().unwrap(), &state);
        }
        ledger
    }

    #[test]
    fn a_journal_remembers_and_counts_its_starts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.redb");
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.epoch, 1);
        journal.write(&names(3)).unwrap();
        let mut ledger = Ledger::default();
        ledger.remove::<Names>(&"n1".parse().unwrap());
        journal.write(&ledger).unwrap();
        let cluster = journal.cluster;
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert_eq!((journal.epoch, journal.cluster), (2, cluster));
        let core = journal.replay(SchedulerOptions::default(), Timestamp(0)).unwrap();
        let kept = core.durable().table::<Names>().unwrap();
        assert_eq!(kept.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["n0", "n2"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&dir.path().join("journal.redb")).unwrap();
        let writes = vec![
            Write::Put { table: Names::NAME, key: "a".to_owned().encoded(), value: b"\x01{}".to_vec() },
            Write::Put { table: Finished::NAME, key: JobId(7).encoded(), value: b"\x01{}".to_vec() },
        ];
        journal.write(&Ledger { writes, promised: true, broken: None }).unwrap();
        let refused = journal.replay(SchedulerOptions::default(), Timestamp(0)).err().unwrap().to_string();
        assert!(refused.starts_with("the row `names` [a\\x00] cannot be read: missing field"), "{refused}");
        // A finished job is not read at the start; whoever asks for it is told.
        let read = journal.reader().newest::<Finished>(None, 10, 1 << 20).unwrap();
        assert_eq!((read[0].0, read[0].1.is_err()), (JobId(7), true));
    }

    #[test]
    fn rows_are_read_by_pages() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&dir.path().join("journal.redb")).unwrap();
        let mut ledger = Ledger::default();
        for n in 0..300u64 {
            ledger.put::<Counters>(&format!("{n:03}"), &n);
        }
        journal.write(&ledger).unwrap();
        let reader = journal.reader();
        let numbers = |read: Vec<Read<Counters>>| read.into_iter().map(|(_, n)| n.unwrap()).collect::<Vec<_>>();
        assert_eq!(numbers(reader.newest::<Counters>(None, 2, 1 << 20).unwrap()), [299, 298]);
        assert_eq!(numbers(reader.newest::<Counters>(Some(&"003".to_owned()), 10, 1 << 20).unwrap()), [2, 1, 0]);
        assert_eq!(numbers(reader.newest::<Counters>(None, 100, 3).unwrap()).len(), 1, "the bytes are bounded");
        assert_eq!(reader.oldest_keys::<Counters>(2).unwrap(), ["000", "001"]);
        let mut seen = Vec::new();
        reader
            .each_from_the_oldest::<Counters>(|_, n| {
                seen.push(n.unwrap());
                seen.len() < 3
            })
            .unwrap();
        assert_eq!(seen, [0, 1, 2]);
        assert_eq!(reader.count::<Counters>().unwrap(), 300);
    }

    #[test]
    fn a_file_that_is_no_journal_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.redb");
        std::fs::write(&path, b"not a database, but long enough to look like one").unwrap();
        assert!(Journal::open(&path).is_err());
    }

    #[test]
    fn a_reader_that_is_about_to_end_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.redb");
        let reader = Journal::open(&path).unwrap().reader();
        let ending = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(reader);
        });
        assert_eq!(Journal::open(&path).unwrap().epoch, 2);
        ending.join().unwrap();
    }

    #[test]
    fn a_journal_of_another_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.redb");
        let db = Database::create(&path).unwrap();
        let tx = db.begin_write().unwrap();
        let meta = Meta { format: 2, cluster: ClusterId::fresh(), epoch: 1 };
        tx.open_table(META).unwrap().insert("cluster", serde_json::to_vec(&meta).unwrap().as_slice()).unwrap();
        tx.commit().unwrap();
        drop(db);
        let refused = Journal::open(&path).err().unwrap().to_string();
        assert!(refused.contains("has format 2; this program reads format 3"), "{refused}");
    }
}
