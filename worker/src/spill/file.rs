//! A file of frames for one attempt's own use, gone with it. Where they lie is kept in memory.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use polars::prelude::{
    DataFrame, DataType as PolarsType, IpcCompression, IpcStreamReader, IpcStreamWriter, SerReader, SerWriter,
};
use shardmill_common::failure::Failure;
use xxhash_rust::xxh3::xxh3_64;

use crate::tasks::Context;

/// One frame in a file.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    offset: u64,
    length: u64,
    checksum: u64,
    pub rows: u64,
    /// Bytes of its rows in memory.
    pub bytes: u64,
}

impl Piece {
    pub fn on_disk(&self) -> u64 {
        self.length
    }
}

pub struct SpillFile<'a> {
    context: &'a Context,
    file: Mutex<File>,
    written: u64,
    buffer: Vec<u8>,
    // Deleted when this goes.
    _folder: tempfile::TempDir,
}

impl<'a> SpillFile<'a> {
    pub fn create(context: &'a Context) -> Result<Self, Failure> {
        let folder = context.scratch()?;
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(folder.path().join("frames"))
            .map_err(|e| context.fetch.store.incoming_failure(&e))?;
        Ok(Self { context, file: Mutex::new(file), written: 0, buffer: Vec::new(), _folder: folder })
    }

    /// Bytes written.
    pub fn written(&self) -> u64 {
        self.written
    }

    pub fn append(&mut self, frame: &DataFrame) -> Result<Piece, Failure> {
        self.context.check()?;
        let mut frame = frame.clone();
        frame.rechunk_mut();
        self.buffer.clear();
        IpcStreamWriter::new(&mut self.buffer)
            .with_compression(Some(IpcCompression::LZ4))
            .finish(&mut frame)
            .map_err(|e| Failure::internal(format!("cannot set rows aside: {e}")))?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.written))
            .and_then(|_| file.write_all(&self.buffer))
            .map_err(|e| self.context.fetch.store.incoming_failure(&e))?;
        let piece = Piece {
            offset: self.written,
            length: self.buffer.len() as u64,
            checksum: xxh3_64(&self.buffer),
            rows: frame.height() as u64,
            bytes: held_bytes(&frame),
        };
        self.written += piece.length;
        Ok(piece)
    }

    pub fn read(&self, piece: &Piece) -> Result<DataFrame, Failure> {
        self.context.check()?;
        let mut data = vec![0; piece.length as usize];
        let unreadable = |e: &dyn std::fmt::Display| Failure::internal(format!("rows set aside cannot be read: {e}"));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(piece.offset))
            .and_then(|_| file.read_exact(&mut data))
            .map_err(|e| unreadable(&e))?;
        drop(file);
        if xxh3_64(&data) != piece.checksum {
            return Err(unreadable(&"they are damaged"));
        }
        let frame = IpcStreamReader::new(Cursor::new(data)).finish().map_err(|e| unreadable(&e))?;
        if frame.height() as u64 != piece.rows {
            return Err(unreadable(&format!("{} rows of {}", frame.height(), piece.rows)));
        }
        Ok(frame)
    }
}

/// Bytes that a frame's rows take in memory: the engine counts the bytes of text, but not the 16 of each view.
pub fn held_bytes(frame: &DataFrame) -> u64 {
    let views = frame.columns().iter().filter(|c| matches!(c.dtype(), PolarsType::String | PolarsType::Binary)).count();
    (frame.estimated_size() + views * frame.height() * 16) as u64
}

/// A frame cut into pieces of about so many bytes, at least a row each.
pub fn pieces(frame: &DataFrame, bytes: u64) -> impl Iterator<Item = DataFrame> + '_ {
    let rows = frame.height();
    let count = held_bytes(frame).div_ceil(bytes.max(1)).clamp(1, rows.max(1) as u64) as usize;
    (0..count).filter_map(move |n| {
        let (from, to) = (rows * n / count, rows * (n + 1) / count);
        (to > from).then(|| frame.slice(from as i64, to - from))
    })
}
