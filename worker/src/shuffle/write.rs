//! Writing a shuffle file. It is not fsynced: what is lost is made again.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use polars::prelude::{DataFrame, IpcCompression, IpcStreamWriter, SerWriter};
use shardmill_common::failure::Failure;
use shardmill_common::task::PartitionSize;
use xxhash_rust::xxh3::xxh3_64;

use super::MAGIC;
use super::read::IndexEntry;

/// Writes partitions in order.
pub struct ShuffleWriter {
    file: BufWriter<File>,
    compression: Option<IpcCompression>,
    entries: Vec<IndexEntry>,
    offset: u64,
    buffer: Vec<u8>,
}

fn failed(e: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("cannot write a shuffle file: {e}"))
}

impl ShuffleWriter {
    /// Hashes do not compress and are written as they are; rows are compressed.
    pub fn create(path: &Path, compressed: bool) -> Result<Self, Failure> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?),
            compression: compressed.then_some(IpcCompression::LZ4),
            entries: Vec::new(),
            offset: 0,
            buffer: Vec::new(),
        })
    }

    /// Whether the partitions that follow are compressed.
    pub fn compress(&mut self, compressed: bool) {
        self.compression = compressed.then_some(IpcCompression::LZ4);
    }

    /// Adds the next partition: these frames, one after another. None are written for an empty partition.
    pub fn partition(&mut self, frames: &mut [DataFrame]) -> Result<(), Failure> {
        self.buffer.clear();
        let rows: usize = frames.iter().map(DataFrame::height).sum();
        if rows > 0 {
            for frame in frames.iter_mut() {
                IpcStreamWriter::new(&mut self.buffer)
                    .with_compression(self.compression)
                    .finish(frame)
                    .map_err(failed)?;
            }
        }
        self.file.write_all(&self.buffer).map_err(failed)?;
        let bytes = self.buffer.len() as u64;
        self.entries.push(IndexEntry {
            offset: self.offset,
            bytes,
            rows: rows as u64,
            checksum: xxh3_64(&self.buffer),
        });
        self.offset += bytes;
        Ok(())
    }

    /// Writes the index; returns the sizes for the coordinator.
    pub fn finish(mut self) -> Result<Vec<PartitionSize>, Failure> {
        let mut index = Vec::with_capacity(self.entries.len() * IndexEntry::BYTES);
        for entry in &self.entries {
            entry.put(&mut index);
        }
        self.file.write_all(&index).map_err(failed)?;
        self.file.write_all(&(self.entries.len() as u64).to_le_bytes()).map_err(failed)?;
        self.file.write_all(&xxh3_64(&index).to_le_bytes()).map_err(failed)?;
        self.file.write_all(MAGIC).map_err(failed)?;
        self.file.flush().map_err(failed)?;
        Ok(self.entries.iter().map(|e| PartitionSize { rows: e.rows, bytes: e.bytes }).collect())
    }
}
