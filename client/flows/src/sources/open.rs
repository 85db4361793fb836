//! Reads a source's bytes once: counted, hashed and decompressed on the way.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use xxhash_rust::xxh3::Xxh3;

use super::error::SourceError;
use super::kind::Packing;

const BUFFER: usize = 256 << 10;
/// Windows of zstd files made with `--long` are accepted up to the most the format has on 64-bit machines.
const ZSTD_WINDOW_LOG: u32 = 31;

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
    pub fn finish(mut self) -> io::Result<(u64, String)> {
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

/// A source's bytes after decompression.
pub enum Unpacked<R: Read> {
    Plain(R),
    Gzip(Box<flate2::bufread::MultiGzDecoder<BufReader<R>>>),
    Zstd(zstd::Decoder<'static, BufReader<R>>),
}

impl<R: Read> Unpacked<R> {
    pub fn new(raw: R, packing: Packing) -> io::Result<Self> {
        Ok(match packing {
            Packing::Plain => Unpacked::Plain(raw),
            Packing::Gzip => {
                Unpacked::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(BUFFER, raw))))
            }
            Packing::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(BufReader::with_capacity(BUFFER, raw))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Unpacked::Zstd(decoder)
            }
        })
    }

    pub fn into_raw(self) -> R {
        match self {
            Unpacked::Plain(raw) => raw,
            Unpacked::Gzip(decoder) => decoder.into_inner().into_inner(),
            Unpacked::Zstd(decoder) => decoder.finish().into_inner(),
        }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Unpacked::Plain(r) => r.read(out),
            Unpacked::Gzip(r) => r.read(out),
            Unpacked::Zstd(r) => r.read(out),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(packed: &[u8], packing: Packing) -> io::Result<(Vec<u8>, u64, String)> {
        let raw: Box<dyn Read + Send> = Box::new(io::Cursor::new(packed.to_vec()));
        let mut unpacked = Unpacked::new(Tee::new(raw, Pulse::default()), packing)?;
        let mut out = Vec::new();
        unpacked.read_to_end(&mut out)?;
        let (size, sum) = unpacked.into_raw().finish()?;
        Ok((out, size, sum))
    }

    #[test]
    fn members_follow_one_another_and_raw_bytes_are_hashed() {
        let packed = [gzip(b"a,b\n"), gzip(b"1,2\n")].concat();
        let (out, size, sum) = unpack(&packed, Packing::Gzip).unwrap();
        assert_eq!(out, b"a,b\n1,2\n");
        assert_eq!(size, packed.len() as u64);
        assert_eq!(sum, checksum(xxhash_rust::xxh3::xxh3_128(&packed)));
        let packed = zstd::encode_all(&b"x\n1\n"[..], 1).unwrap();
        assert_eq!(unpack(&packed, Packing::Zstd).unwrap().0, b"x\n1\n");
    }

    #[test]
    fn a_file_cut_short_says_so() {
        let noise: Vec<u8> = (0..100_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for (packed, packing) in
            [(gzip(&noise), Packing::Gzip), (zstd::encode_all(&noise[..], 1).unwrap(), Packing::Zstd)]
        {
            let error = unpack(&packed[..packed.len() / 2], packing).unwrap_err();
            let told = explain("x", packing, error).to_string();
            assert!(told.contains("cut short"), "{told}");
        }
    }
}
