//! A source's bytes after decompression, whatever it is packed with.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder;
use lzma_rust2::XzReader;

use super::kind::Packing;

const BUFFER: usize = 256 << 10;
/// Windows of zstd files made with `--long` are accepted up to the most the format has on 64-bit machines.
const ZSTD_WINDOW_LOG: u32 = 31;

/// See the module.
pub enum Unpacked<R: Read> {
    Plain(R),
    Gzip(Box<Members<BufReader<R>>>),
    Zstd(zstd::Decoder<'static, BufReader<R>>),
    Bzip2(Box<MultiBzDecoder<BufReader<R>>>),
    Xz(Box<XzReader<BufReader<R>>>),
    Lz4(Box<FrameDecoder<BufReader<R>>>),
}

impl<R: Read> Unpacked<R> {
    pub fn new(raw: R, packing: Packing) -> io::Result<Self> {
        let buffered = |raw| BufReader::with_capacity(BUFFER, raw);
        Ok(match packing {
            Packing::Plain => Unpacked::Plain(raw),
            Packing::Gzip => Unpacked::Gzip(Box::new(Members::new(buffered(raw)))),
            Packing::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(buffered(raw))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Unpacked::Zstd(decoder)
            }
            Packing::Bzip2 => Unpacked::Bzip2(Box::new(MultiBzDecoder::new(buffered(raw)))),
            Packing::Xz => Unpacked::Xz(Box::new(XzReader::new(buffered(raw), true))),
            Packing::Lz4 => Unpacked::Lz4(Box::new(FrameDecoder::new(buffered(raw)))),
        })
    }

    /// What it reads, to read the rest of it.
    pub fn raw(&mut self) -> io::Result<&mut R> {
        Ok(match self {
            Unpacked::Plain(raw) => raw,
            Unpacked::Gzip(decoder) => decoder.raw()?.get_mut(),
            Unpacked::Zstd(decoder) => decoder.get_mut().get_mut(),
            Unpacked::Bzip2(decoder) => decoder.get_mut().get_mut(),
            Unpacked::Xz(decoder) => decoder.inner_mut().get_mut(),
            Unpacked::Lz4(decoder) => decoder.get_mut().get_mut(),
        })
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Unpacked::Plain(r) => r.read(out),
            Unpacked::Gzip(r) => r.read(out),
            Unpacked::Zstd(r) => r.read(out),
            Unpacked::Bzip2(r) => r.read(out),
            Unpacked::Xz(r) => r.read(out),
            Unpacked::Lz4(r) => next_frame(r, out),
        }
    }
}

/// Frames of LZ4 may follow one another; the decoder ends each with nothing read.
fn next_frame<R: BufRead>(decoder: &mut FrameDecoder<R>, out: &mut [u8]) -> io::Result<usize> {
    match decoder.read(out) {
        Ok(0) if !out.is_empty() && !decoder.get_mut().fill_buf()?.is_empty() => decoder.read(out),
        other => other,
    }
}

/// The members of a gzip file, one after another. Zeros behind the last are padding; anything else is a fault.
pub struct Members<R> {
    /// `None` after a fault.
    decoder: Option<GzDecoder<R>>,
    ended: bool,
}

impl<R: BufRead> Members<R> {
    fn new(raw: R) -> Self {
        Self { decoder: Some(GzDecoder::new(raw)), ended: false }
    }

    fn decoder(&mut self) -> io::Result<&mut GzDecoder<R>> {
        self.decoder.as_mut().ok_or_else(|| io::Error::other("nothing is read after a fault"))
    }

    fn raw(&mut self) -> io::Result<&mut R> {
        Ok(self.decoder()?.get_mut())
    }

    /// Passes over padding and begins with the next member, if there is one.
    fn next_member(&mut self) -> io::Result<()> {
        let raw = self.raw()?;
        loop {
            let bytes = raw.fill_buf()?;
            if bytes.is_empty() {
                self.ended = true;
                return Ok(());
            }
            let zeros = bytes.iter().take_while(|b| **b == 0).count();
            let found = bytes.get(zeros).copied();
            raw.consume(zeros);
            match found {
                None => {}
                Some(0x1f) => break,
                Some(_) => {
                    let why = "something that is not gzip follows its last member";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            }
        }
        if let Some(done) = self.decoder.take() {
            self.decoder = Some(GzDecoder::new(done.into_inner()));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !out.is_empty() {
            match self.decoder()?.read(out)? {
                0 => self.next_member()?,
                n => return Ok(n),
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::open::{Pulse, Tee, checksum, explain};
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(data: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4(data: &[u8]) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// `xz --check=crc32` of `a,b\n`.
    const XZ: &[u8] = &[
        253, 55, 122, 88, 90, 0, 0, 1, 105, 34, 222, 54, 2, 0, 33, 1, 22, 0, 0, 0, 116, 47, 229, 163, 1, 0, 3, 97, 44,
        98, 10, 0, 197, 16, 151, 36, 0, 1, 24, 4, 107, 233, 240, 165, 144, 66, 153, 13, 1, 0, 0, 0, 0, 1, 89, 90,
    ];

    fn unpack(packed: &[u8], packing: Packing) -> io::Result<(Vec<u8>, u64, String)> {
        let raw: Box<dyn Read + Send> = Box::new(io::Cursor::new(packed.to_vec()));
        let mut unpacked = Unpacked::new(Tee::new(raw, Pulse::default()), packing)?;
        let mut out = Vec::new();
        unpacked.read_to_end(&mut out)?;
        let (size, sum) = unpacked.raw()?.finish()?;
        Ok((out, size, sum))
    }

    #[test]
    fn members_follow_one_another_and_raw_bytes_are_hashed() {
        let zstd = |data: &[u8]| zstd::encode_all(data, 1).unwrap();
        let both = |pack: &dyn Fn(&[u8]) -> Vec<u8>| [pack(b"a,b\n"), pack(b"1,2\n")].concat();
        for (packed, packing) in [
            (both(&gzip), Packing::Gzip),
            (both(&zstd), Packing::Zstd),
            (both(&bzip2), Packing::Bzip2),
            (both(&lz4), Packing::Lz4),
            (XZ.repeat(2), Packing::Xz),
        ] {
            let (out, size, sum) = unpack(&packed, packing).unwrap();
            let expected = if packing == Packing::Xz { "a,b\na,b\n" } else { "a,b\n1,2\n" };
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{packing:?}");
            assert_eq!((size, sum), (packed.len() as u64, checksum(xxhash_rust::xxh3::xxh3_128(&packed))));
        }
    }

    #[test]
    fn zeros_behind_gzip_are_padding_and_nothing_else_is() {
        let padded = [gzip(b"a\n"), vec![0; 300_000], gzip(b"b\n"), vec![0; 512]].concat();
        let (out, size, _) = unpack(&padded, Packing::Gzip).unwrap();
        assert_eq!((out.as_slice(), size), (&b"a\nb\n"[..], padded.len() as u64));
        let spoilt = [gzip(b"a\n"), b"\0\0rubbish".to_vec()].concat();
        assert!(unpack(&spoilt, Packing::Gzip).unwrap_err().to_string().contains("not gzip"));
    }

    #[test]
    fn a_file_cut_short_says_so() {
        let noise: Vec<u8> = (0..100_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for (packed, packing) in [
            (gzip(&noise), Packing::Gzip),
            (zstd::encode_all(&noise[..], 1).unwrap(), Packing::Zstd),
            (bzip2(&noise), Packing::Bzip2),
            (lz4(&noise), Packing::Lz4),
            (XZ.to_vec(), Packing::Xz),
        ] {
            let error = unpack(&packed[..packed.len() / 2], packing).unwrap_err();
            let told = explain("x", packing, error).to_string();
            assert!(told.contains("cut short"), "{packing:?}: {told}");
        }
    }
}
