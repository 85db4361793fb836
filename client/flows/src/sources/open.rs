//! Reads a source's bytes once: counted and hashed on the way.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use xxhash_rust::xxh3::Xxh3;

use super::error::SourceError;
use super::kind::Packing;

const BUFFER: usize = 256 << 10;

/// What the reading threads and the progress bar share.
#[derive(Clone, Default)]
pub struct Pulse {
    /// Bytes read so far, over all sources.
    pub bytes: Arc<AtomicU64>,
    /// Set to make every reader give up.
    pub stop: Arc<AtomicBool>,
}

/// The raw bytes of a source, hashed as they pass.
pub struct Tee {
    inner: Box<dyn Read + Send>,
    hash: Box<Xxh3>,
    bytes: u64,
    pulse: Pulse,
}

impl Tee {
    pub fn new(inner: Box<dyn Read + Send>, pulse: Pulse) -> Self {
        Self { inner, hash: Box::new(Xxh3::new()), bytes: 0, pulse }
    }

    /// Reads what nobody read; returns the size and the checksum of everything.
    pub fn finish(&mut self) -> io::Result<(u64, String)> {
        let mut buffer = vec![0; BUFFER];
        while self.read(&mut buffer)? > 0 {}
        Ok((self.bytes, checksum(self.hash.digest128())))
    }
}

/// The checksum as it is recorded: 128 bits in hex.
pub fn checksum(hash: u128) -> String {
    format!("{hash:032x}")
}

impl Read for Tee {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.pulse.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        let n = self.inner.read(out)?;
        self.hash.update(out.get(..n).unwrap_or_default());
        self.bytes += n as u64;
        self.pulse.bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Why a source could not be read to its end, in words.
pub fn explain(name: &str, packing: Packing, error: io::Error) -> SourceError {
    let name = name.to_owned();
    match packing.name() {
        Some(packing) if error.kind() == io::ErrorKind::UnexpectedEof => SourceError::CutShort { name, packing },
        Some(packing) => SourceError::Unpacking { name, packing, error },
        None => SourceError::Unreadable { name, error },
    }
}
