//! Where an export's bytes go: a file or standard output, compressed if its name says so.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::write::GzEncoder;

const BUFFER: usize = 1 << 20;

/// How the bytes are compressed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// By the last extension of a path; also the path without it.
    pub fn of_name(path: &Path) -> (Self, std::path::PathBuf) {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("gz") => (Compression::Gzip, path.with_extension("")),
            Some("zst") => (Compression::Zstd, path.with_extension("")),
            _ => (Compression::None, path.to_owned()),
        }
    }
}

/// The bottom of the stack: counts bytes, and remembers that a reader of standard output went away.
pub struct Sink {
    inner: BufWriter<Box<dyn Write + Send>>,
    file: Option<File>,
    pub bytes: u64,
    closed: Arc<AtomicBool>,
}

impl Sink {
    pub fn to_file(file: File) -> io::Result<Self> {
        let writer: Box<dyn Write + Send> = Box::new(file.try_clone()?);
        Ok(Self { inner: BufWriter::with_capacity(BUFFER, writer), file: Some(file), bytes: 0, closed: Arc::default() })
    }

    pub fn to_writer(writer: Box<dyn Write + Send>, closed: Arc<AtomicBool>) -> Self {
        Self { inner: BufWriter::with_capacity(BUFFER, writer), file: None, bytes: 0, closed }
    }

    /// Everything is on disk when this returns.
    fn finish(mut self) -> io::Result<u64> {
        self.flush()?;
        match &self.file {
            // A device or a pipe cannot be synced, and need not be.
            Some(file) if file.metadata()?.is_file() => file.sync_all()?,
            _ => {}
        }
        Ok(self.bytes)
    }

    fn watch<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
            self.closed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let result = self.inner.write(data);
        let n = self.watch(result)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.inner.flush();
        self.watch(result)
    }
}

/// A sink behind its compression.
pub enum Stream {
    Plain(Sink),
    Gzip(GzEncoder<Sink>),
    Zstd(zstd::Encoder<'static, Sink>),
}

impl Stream {
    pub fn new(sink: Sink, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Stream::Plain(sink),
            Compression::Gzip => Stream::Gzip(GzEncoder::new(sink, flate2::Compression::default())),
            Compression::Zstd => Stream::Zstd(zstd::Encoder::new(sink, zstd::DEFAULT_COMPRESSION_LEVEL)?),
        })
    }

    /// Ends the compressed stream and syncs the file; returns its bytes.
    pub fn finish(self) -> io::Result<u64> {
        match self {
            Stream::Plain(sink) => sink.finish(),
            Stream::Gzip(encoder) => encoder.finish()?.finish(),
            Stream::Zstd(encoder) => encoder.finish()?.finish(),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(w) => w.write(data),
            Stream::Gzip(w) => w.write(data),
            Stream::Zstd(w) => w.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(w) => w.flush(),
            Stream::Gzip(w) => w.flush(),
            Stream::Zstd(w) => w.flush(),
        }
    }
}
