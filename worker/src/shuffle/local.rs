//! Partitions of many shuffle files on this machine, read in windows: neighbouring partitions of a file lie side by side and are
//! read at once, and what is held stays within bounds. The same reader serves tasks here and those that ask over the wire.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use shardmill_common::ids::{AttemptId, JobId};
use xxhash_rust::xxh3::xxh3_64;

use super::read::{Index, IndexEntry};
use super::{Damage, PartitionError};

/// Bytes of neighbouring partitions that one input of a task reads ahead, over all its files.
pub const WINDOW: u64 = 8 << 20;
/// Bytes of indexes that are kept.
const INDEXES: usize = 64 << 20;

/// A shuffle file, and the places of the partitions that are to be read, or why they cannot be known.
pub struct LocalFile {
    pub path: PathBuf,
    pub entries: Result<Vec<IndexEntry>, PartitionError>,
}

/// Indexes of files that were read lately, so that each is read and checked once and not for every task that reads it.
#[derive(Default)]
pub struct Indexes {
    known: Mutex<(HashMap<AttemptId, Arc<Index>>, usize)>,
}

impl Indexes {
    /// An attempt's file at this path, for its partitions `from..to`.
    pub fn file(&self, attempt: AttemptId, path: PathBuf, from: u32, to: u32) -> LocalFile {
        let entries = self.get(attempt, &path).and_then(|index| index.entries(from, to).map(<[IndexEntry]>::to_vec));
        LocalFile { path, entries }
    }

    fn get(&self, attempt: AttemptId, path: &Path) -> Result<Arc<Index>, PartitionError> {
        let locked = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = locked().0.get(&attempt) {
            return Ok(index.clone());
        }
        let index = Arc::new(Index::of(path)?);
        let mut known = locked();
        if known.1 > INDEXES {
            *known = Default::default();
        }
        known.1 += index.memory();
        known.0.insert(attempt, index.clone());
        Ok(index)
    }

    /// The files of a job are gone.
    pub fn forget(&self, job: JobId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (indexes, bytes) = &mut *known;
        indexes.retain(|attempt, index| {
            let stays = attempt.task.job != job;
            if !stays {
                *bytes = bytes.saturating_sub(index.memory());
            }
            stays
        });
    }
}

/// Neighbouring partitions of some files: partition after partition, in each the files in their order. An error is that of the file
/// whose turn it is, and ends the reading.
pub struct LocalPartitions {
    files: Vec<LocalFile>,
    partitions: usize,
    /// Bytes that may be read ahead.
    most: u64,
    /// Whose turn it is.
    partition: usize,
    file: usize,
    /// What was read ahead of each file: the partitions up to here, the first of them at this offset.
    window_to: usize,
    window: Vec<(u64, Bytes)>,
    failed: bool,
}

impl LocalPartitions {
    /// `partitions` of each file, of which at most about `most` bytes are held.
    pub fn new(files: Vec<LocalFile>, partitions: u32, most: u64) -> Self {
        let partitions = if files.is_empty() { 0 } else { partitions as usize };
        Self { files, partitions, most, partition: 0, file: 0, window_to: 0, window: Vec::new(), failed: false }
    }

    /// Where the partitions `from..to` of a file lie, side by side.
    fn span(file: &LocalFile, from: usize, to: usize) -> Option<(u64, u64)> {
        let entries = file.entries.as_ref().ok()?.get(from..to)?;
        let (first, last) = (entries.first()?, entries.last()?);
        Some((first.offset, (last.offset + last.bytes).checked_sub(first.offset)?))
    }

    /// Reads as many partitions ahead as may be held; none, if one alone is too large.
    fn fill(&mut self) {
        self.window.clear();
        self.window_to = self.partition;
        let mut held = 0;
        while self.window_to < self.partitions {
            let next = (self.window_to, self.window_to + 1);
            held +=
                self.files.iter().filter_map(|f| Self::span(f, next.0, next.1)).map(|(_, bytes)| bytes).sum::<u64>();
            if held > self.most {
                break;
            }
            self.window_to += 1;
        }
        if self.window_to == self.partition {
            return;
        }
        for file in &self.files {
            // What cannot be read now is an error when its turn comes.
            let (offset, bytes) = Self::span(file, self.partition, self.window_to).unwrap_or_default();
            let data = if bytes == 0 { Ok(Bytes::new()) } else { read_at(&file.path, offset, bytes) };
            self.window.push((offset, data.unwrap_or_default()));
        }
    }

    fn read(&mut self) -> Result<Bytes, PartitionError> {
        let file = self.files.get(self.file).ok_or(PartitionError::NotAsked)?;
        let entries = file.entries.as_ref().map_err(PartitionError::clone)?;
        let bad = |what| PartitionError::damaged(&file.path, what);
        let entry = entries.get(self.partition).ok_or_else(|| bad(Damage::Missing))?;
        if entry.bytes == 0 {
            return Ok(Bytes::new());
        }
        let ahead = self.window.get_mut(self.file).and_then(|(offset, data)| {
            let from = entry.offset.checked_sub(*offset)? as usize;
            let to = from.checked_add(entry.bytes as usize)?;
            let found = (to <= data.len()).then(|| data.slice(from..to));
            if self.partition + 1 == self.window_to {
                // Its last: what was read goes as soon as nobody uses it.
                *data = Bytes::new();
            }
            found
        });
        let data = match ahead {
            Some(data) => data,
            None => read_at(&file.path, entry.offset, entry.bytes)?,
        };
        if xxh3_64(&data) != entry.checksum {
            return Err(bad(Damage::Partition));
        }
        Ok(data)
    }
}

fn read_at(path: &Path, offset: u64, bytes: u64) -> Result<Bytes, PartitionError> {
    let file = File::open(path).map_err(PartitionError::io(path))?;
    let mut data = vec![0u8; bytes as usize];
    file.read_exact_at(&mut data, offset).map_err(PartitionError::io(path))?;
    Ok(data.into())
}

impl Iterator for LocalPartitions {
    type Item = Result<Bytes, PartitionError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.partition >= self.partitions {
            return None;
        }
        if self.file == 0 && self.partition >= self.window_to {
            self.fill();
        }
        let read = self.read();
        self.failed = read.is_err();
        self.file += 1;
        if self.file == self.files.len() {
            (self.file, self.partition) = (0, self.partition + 1);
        }
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use polars::df;

    use super::super::ShuffleWriter;
    use super::*;
    use shardmill_common::ids::TaskId;

    /// Files of four partitions each, to be read from one on; what partition p of file f holds follows from both.
    fn files(dir: &Path, count: usize, from: u32) -> Vec<LocalFile> {
        let write = |f: usize| {
            let path = dir.join(f.to_string());
            let mut writer = ShuffleWriter::create(&path, false).unwrap();
            for p in 0..4usize {
                let rows = vec![(f * 10 + p) as i64; (f + p) % 3];
                let frame = df!("x" => rows).unwrap();
                writer.partition(&mut [frame]).unwrap();
            }
            writer.finish().unwrap();
            LocalFile { entries: Index::of(&path).and_then(|i| i.entries(from, 4).map(<[IndexEntry]>::to_vec)), path }
        };
        (0..count).map(write).collect()
    }

    fn numbers(data: Bytes) -> Vec<i64> {
        let frames = super::super::frames(data).map(Result::unwrap);
        frames.flat_map(|f| f.column("x").unwrap().i64().unwrap().into_no_null_iter().collect::<Vec<_>>()).collect()
    }

    #[test]
    fn partitions_come_in_order_each_from_all_files() {
        let dir = tempfile::tempdir().unwrap();
        let expected: Vec<Vec<i64>> =
            (1..4).flat_map(|p| (0..3).map(move |f| vec![(f * 10 + p) as i64; (f + p) % 3])).collect();
        // All at once, some partitions at a time, and piece by piece.
        for most in [WINDOW, 1200, 0] {
            let read = LocalPartitions::new(files(dir.path(), 3, 1), 3, most);
            let read: Vec<Vec<i64>> = read.map(|data| numbers(data.unwrap())).collect();
            assert_eq!(read, expected, "{most}");
        }
        assert_eq!(LocalPartitions::new(Vec::new(), 4, WINDOW).count(), 0);
    }

    #[test]
    fn a_damaged_file_is_told_when_its_turn_comes() {
        let dir = tempfile::tempdir().unwrap();
        let mut all = files(dir.path(), 3, 0);
        let mut bytes = std::fs::read(&all[1].path).unwrap();
        bytes[3] ^= 1;
        std::fs::write(&all[1].path, bytes).unwrap();
        all[2].entries = Err(PartitionError::damaged(&all[2].path, Damage::Index));
        // File 1 begins with its partition 0, which is the first that it fails over; file 2 is not reached.
        let read: Vec<Result<Bytes, PartitionError>> = LocalPartitions::new(all, 4, WINDOW).collect();
        assert!(read[0].is_ok() && read[1].as_ref().is_err_and(|e| e.to_string().ends_with("damaged: a partition")));
        assert_eq!(read.len(), 2, "an error is the end");
    }

    #[test]
    fn an_index_is_read_once_until_its_job_is_forgotten() {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let dir = tempfile::tempdir().unwrap();
        let file = files(dir.path(), 1, 0).remove(0);
        let attempt = AttemptId {
            task: TaskId { job: JobId(7), stage: 0, task: 0 },
            epoch: 1,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        };
        let indexes = Indexes::default();
        indexes.get(attempt, &file.path).unwrap();
        std::fs::remove_file(&file.path).unwrap();
        assert!(indexes.get(attempt, &file.path).is_ok());
        indexes.forget(JobId(8));
        assert!(indexes.get(attempt, &file.path).is_ok());
        indexes.forget(JobId(7));
        assert!(indexes.get(attempt, &file.path).is_err());
    }
}
