//! Reading shuffle files: every partition is checked against the index before it is believed.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use polars::prelude::{DataFrame, IpcStreamReader, SerReader};
use shardmill_common::failure::Failure;
use xxhash_rust::xxh3::xxh3_64;

use super::{Damage, MAGIC, PartitionError};

/// One partition's place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    pub offset: u64,
    pub bytes: u64,
    pub rows: u64,
    pub checksum: u64,
}

impl IndexEntry {
    pub const BYTES: usize = 32;

    pub fn put(&self, out: &mut Vec<u8>) {
        for n in [self.offset, self.bytes, self.rows, self.checksum] {
            out.extend_from_slice(&n.to_le_bytes());
        }
    }

    fn take(data: &[u8]) -> Option<Self> {
        let mut words = data.chunks_exact(8).map(|w| w.try_into().map(u64::from_le_bytes));
        let mut next = || words.next()?.ok();
        Some(Self { offset: next()?, bytes: next()?, rows: next()?, checksum: next()? })
    }
}

/// The index of a shuffle file.
pub struct Index {
    path: PathBuf,
    entries: Vec<IndexEntry>,
}

impl Index {
    /// Reads and checks the index of a file.
    pub fn of(path: &Path) -> Result<Self, PartitionError> {
        let mut file = File::open(path).map_err(PartitionError::io(path))?;
        Self::read(path, &mut file)
    }

    /// The places of the partitions `from..to`.
    pub fn entries(&self, from: u32, to: u32) -> Result<&[IndexEntry], PartitionError> {
        let missing = || PartitionError::damaged(&self.path, Damage::NoPartition(to.saturating_sub(1)));
        self.entries.get(from as usize..to as usize).ok_or_else(missing)
    }

    /// Bytes that it takes in memory.
    pub fn memory(&self) -> usize {
        self.entries.len() * IndexEntry::BYTES + 64
    }

    fn read(path: &Path, file: &mut File) -> Result<Self, PartitionError> {
        const TAIL: u64 = 24;
        let (bad, failed) = (|what| PartitionError::damaged(path, what), PartitionError::io(path));
        let len = file.metadata().map_err(&failed)?.len();
        if len < TAIL {
            return Err(bad(Damage::CutShort));
        }
        let mut tail = [0u8; TAIL as usize];
        file.seek(SeekFrom::Start(len - TAIL)).and_then(|_| file.read_exact(&mut tail)).map_err(&failed)?;
        let word = |at: usize| tail.get(at..at + 8).and_then(|w| w.try_into().ok()).map_or(0, u64::from_le_bytes);
        let (count, checksum) = (word(0), word(8));
        if !tail.ends_with(MAGIC) {
            return Err(bad(Damage::NoEnd));
        }
        let bytes = count.checked_mul(IndexEntry::BYTES as u64).filter(|b| *b <= len - TAIL);
        let bytes = bytes.ok_or_else(|| bad(Damage::Index))?;
        let mut index = vec![0u8; bytes as usize];
        file.seek(SeekFrom::Start(len - TAIL - bytes)).and_then(|_| file.read_exact(&mut index)).map_err(&failed)?;
        if xxh3_64(&index) != checksum {
            return Err(bad(Damage::Index));
        }
        let entries: Vec<IndexEntry> = index.chunks_exact(IndexEntry::BYTES).filter_map(IndexEntry::take).collect();
        let room = len - TAIL - bytes;
        if entries.iter().any(|e| e.offset.checked_add(e.bytes).is_none_or(|end| end > room)) {
            return Err(bad(Damage::Outside));
        }
        Ok(Self { path: path.to_owned(), entries })
    }
}

/// The frames of a partition, one at a time.
pub fn frames(data: Bytes) -> impl Iterator<Item = Result<DataFrame, Failure>> {
    let len = data.len() as u64;
    let mut cursor = Cursor::new(data);
    std::iter::from_fn(move || {
        if cursor.position() >= len {
            return None;
        }
        Some(
            IpcStreamReader::new(&mut cursor)
                .finish()
                .map_err(|e| Failure::internal(format!("cannot read a partition: {e}"))),
        )
    })
}

/// The bytes of one partition of a file, checked.
#[cfg(test)]
pub fn partition_in_file(path: &Path, partition: u32) -> Result<Bytes, PartitionError> {
    let entries = Index::of(path).and_then(|index| index.entries(partition, partition + 1).map(<[IndexEntry]>::to_vec));
    let files = vec![super::LocalFile { path: path.to_owned(), entries }];
    let mut read = super::LocalPartitions::new(files, 1, 0);
    read.next().unwrap_or(Err(PartitionError::EndsEarly))
}

/// A partition as one frame; `None` where it is empty.
#[cfg(test)]
pub fn to_frame(data: Bytes) -> Result<Option<DataFrame>, Failure> {
    let mut whole: Option<DataFrame> = None;
    for frame in frames(data) {
        let frame = frame?;
        match &mut whole {
            None => whole = Some(frame),
            Some(whole) => {
                whole.vstack_mut(&frame).map_err(Failure::internal)?;
            }
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::super::ShuffleWriter;
    use super::*;
    use polars::df;

    #[test]
    fn partitions_come_back_and_damage_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.ipc");
        let a = df!("x" => [1i64, 2], "s" => ["a", "a string that is longer than twelve"]).unwrap();
        let b = df!("x" => [3i64], "s" => ["c"]).unwrap();
        let mut writer = ShuffleWriter::create(&path, true).unwrap();
        writer.partition(&mut [a.clone(), b.clone()]).unwrap();
        writer.partition(&mut []).unwrap();
        writer.partition(&mut [b.clone()]).unwrap();
        let sizes = writer.finish().unwrap();
        assert_eq!(sizes.iter().map(|s| s.rows).collect::<Vec<_>>(), [3, 0, 1]);
        let first = to_frame(partition_in_file(&path, 0).unwrap()).unwrap().unwrap();
        assert_eq!(first, a.vstack(&b).unwrap());
        assert!(to_frame(partition_in_file(&path, 1).unwrap()).unwrap().is_none());
        assert_eq!(to_frame(partition_in_file(&path, 2).unwrap()).unwrap().unwrap(), b);
        assert!(partition_in_file(&path, 3).is_err());
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut flipped = good.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&path, &flipped).unwrap();
            let same = (0..3).all(|p| {
                let expected = if p == 0 {
                    Some(a.vstack(&b).unwrap())
                } else if p == 1 {
                    None
                } else {
                    Some(b.clone())
                };
                partition_in_file(&path, p).is_ok_and(|d| to_frame(d).unwrap() == expected)
            });
            assert!(!same, "a flipped bit at {at} was not seen");
        }
        std::fs::write(&path, &good[..good.len() - 9]).unwrap();
        assert!(partition_in_file(&path, 0).is_err());
    }
}
