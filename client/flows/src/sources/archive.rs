//! Zip archives: the files in them, each a source of its own that is read where it lies in the archive.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::CrcReader;
use flate2::bufread::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::error::SourceError;
use super::expand::{Found, Origin, is_no_data};

/// A file in a zip archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub archive: PathBuf,
    /// Where its bytes lie in the archive, and how many.
    offset: u64,
    packed: u64,
    deflated: bool,
    /// Of the unpacked bytes: CRC-32 and length, as the archive's directory has them.
    crc: u32,
    pub size: u64,
}

impl Member {
    /// Its bytes, unpacked, and compared with the archive's directory at their end.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(&self.archive)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let packed = BufReader::new(file.take(self.packed));
        Ok(if self.deflated {
            Box::new(Checked::new(DeflateDecoder::new(packed), self))
        } else {
            Box::new(Checked::new(packed, self))
        })
    }
}

/// The files in an archive, in its order; `None` if it is none.
pub fn members(name: &str, path: &Path, file: File) -> Result<Option<Vec<Found>>, SourceError> {
    let mut start = [0; 4];
    let mut file = file;
    // What cannot be read here is told where the source is opened.
    let read = file.read(&mut start).and_then(|n| file.rewind().map(|()| n));
    if !matches!(read, Ok(4)) || !matches!(start, [b'P', b'K', 3 | 5, 4 | 6]) {
        return Ok(None);
    }
    let broken = |error| SourceError::Zip { name: name.to_owned(), error: Box::new(error) };
    let mut archive = ZipArchive::new(file).map_err(broken)?;
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(broken)?;
        let inner = member.name().map_err(broken)?.into_owned();
        let last = inner.rsplit('/').next().unwrap_or_default();
        if member.is_dir() || last.starts_with('.') || inner.starts_with("__MACOSX/") || is_no_data(last) {
            continue;
        }
        let name = format!("{name}/{inner}");
        let deflated = match member.compression() {
            _ if member.encrypted() => return Err(SourceError::Member { name, why: "encrypted" }),
            CompressionMethod::Stored => false,
            CompressionMethod::DEFLATE => true,
            _ => return Err(SourceError::Member { name, why: "packed by a method that is not read" }),
        };
        let Some(offset) = member.data_start() else {
            return Err(SourceError::Member { name, why: "not where it should be" });
        };
        let (packed, crc, size) = (member.compressed_size(), member.crc32(), member.size());
        let member = Member { archive: path.to_owned(), offset, packed, deflated, crc, size };
        found.push(Found::new(name, Origin::Member(member)));
    }
    if found.is_empty() { Err(SourceError::EmptyZip { name: name.to_owned() }) } else { Ok(Some(found)) }
}

/// What is unpacked of a member.
struct Checked<R> {
    inner: CrcReader<R>,
    crc: u32,
    size: u64,
    read: u64,
}

impl<R: Read> Checked<R> {
    fn new(inner: R, member: &Member) -> Self {
        Self { inner: CrcReader::new(inner), crc: member.crc, size: member.size, read: 0 }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.read += n as u64;
        if n == 0 && !out.is_empty() && (self.inner.crc().sum() != self.crc || self.read != self.size) {
            let why = "its bytes are not those that the archive's directory promises";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// An archive of stored files, made by hand: the crate is here without what packs.
    fn archive(dir: &Path, files: &[(&str, &[u8])]) -> PathBuf {
        let path = dir.join("a.zip");
        let mut writer = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, content) in files {
            let options = zip::write::SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    fn list(path: &Path) -> Result<Option<Vec<Found>>, SourceError> {
        members("a.zip", path, File::open(path).unwrap())
    }

    #[test]
    fn files_of_an_archive_are_sources() {
        let dir = tempfile::tempdir().unwrap();
        let files: [(&str, &[u8]); 4] =
            [("b.csv", b"x\n1\n"), ("in/a.csv", b"x\n2\n"), ("README.md", b"hi"), ("__MACOSX/b.csv", b"")];
        let found = list(&archive(dir.path(), &files)).unwrap().unwrap();
        assert_eq!(found.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["a.zip/b.csv", "a.zip/in/a.csv"]);
        let Origin::Member(member) = &found[1].origin else { panic!("no member") };
        let mut text = String::new();
        member.open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "x\n2\n");
    }

    #[test]
    fn damaged_and_other_archives_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = archive(dir.path(), &[("b.csv", b"x\n1\n")]);
        let found = list(&path).unwrap().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(4).position(|w| w == b"x\n1\n").unwrap();
        bytes[at + 2] = b'7';
        std::fs::write(&path, &bytes).unwrap();
        let Origin::Member(member) = &found[0].origin else { panic!("no member") };
        assert!(member.open().unwrap().read_to_string(&mut String::new()).is_err());
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(list(&path).unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&path, b"x\n1\n").unwrap();
        assert!(list(&path).unwrap().is_none());
        assert!(list(&archive(dir.path(), &[])).unwrap_err().to_string().contains("without files"));
    }
}
