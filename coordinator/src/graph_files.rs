//! The files of imported models, each under its digest. A file is there before the job that imports it is accepted, and goes when
//! no model and no job refers to it any more; what is left over of uploads is removed when the coordinator starts.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use shardmill_common::failure::Refusal;
use shardmill_common::model::{MAX_GRAPH_BYTES, OnnxGraph};
use shardmill_common::units::show_bytes;
use xxhash_rust::xxh3::Xxh3;

const SUFFIX: &str = "onnx";

/// The folder of the files. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GraphFiles {
    folder: PathBuf,
}

/// A file that is being written; it goes if it is not finished.
pub struct Incoming {
    file: tempfile::NamedTempFile,
    hash: Box<Xxh3>,
    bytes: u64,
}

fn unwritable(folder: &Path, e: &io::Error) -> Refusal {
    Refusal::Unavailable(format!("the file cannot be kept in {}: {e}", folder.display()))
}

impl GraphFiles {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// `None`: that is no digest.
    fn path(&self, digest: &str) -> Option<PathBuf> {
        let fits = digest.len() == 32 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| self.folder.join(digest).with_extension(SUFFIX))
    }

    /// A new file, to be filled.
    pub fn incoming(&self) -> Result<Incoming, Refusal> {
        let made = fs::create_dir_all(&self.folder)
            .and_then(|()| tempfile::Builder::new().prefix("incoming-").suffix(".tmp").tempfile_in(&self.folder));
        let file = made.map_err(|e| unwritable(&self.folder, &e))?;
        Ok(Incoming { file, hash: Box::default(), bytes: 0 })
    }

    /// Puts a file under its digest; it is on disk when this returns.
    pub fn finish(&self, incoming: Incoming) -> Result<String, Refusal> {
        let digest = format!("{:032x}", incoming.hash.digest128());
        let path = self.path(&digest).ok_or_else(|| Refusal::Internal("the digest is no file name".into()))?;
        let Incoming { file, .. } = incoming;
        let kept = file.as_file().sync_all().and_then(|()| file.persist(&path).map_err(|e| e.error));
        let kept = kept.and_then(|_| File::open(&self.folder)?.sync_all());
        // The folder itself may be new.
        let kept = kept.and_then(|()| self.folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all()));
        kept.map_err(|e| unwritable(&self.folder, &e))?;
        Ok(digest)
    }

    /// Whether the file of a graph is here.
    pub fn has(&self, graph: &OnnxGraph) -> bool {
        let path = self.path(&graph.digest);
        path.and_then(|p| fs::metadata(p).ok()).is_some_and(|found| found.len() == graph.bytes)
    }

    pub fn read(&self, digest: &str) -> Result<Bytes, Refusal> {
        let path =
            self.path(digest).ok_or_else(|| Refusal::Invalid(format!("`{}` is no digest", digest.escape_debug())))?;
        match fs::read(&path) {
            Ok(data) => Ok(data.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(Refusal::NotFound(format!("there is no file of an imported model under the digest {digest}")))
            }
            Err(e) => Err(Refusal::Unavailable(format!("{} cannot be read: {e}", path.display()))),
        }
    }

    /// Removes the file of a graph, if it is there.
    pub fn remove(&self, digest: &str) {
        let Some(path) = self.path(digest) else { return };
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), error = %e, "the file of a removed model is left over");
            }
            _ => {}
        }
    }

    /// Removes all files but these, and what is left of uploads.
    pub fn sweep(&self, needed: &HashSet<&str>) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let path = entry?.path();
            let digest = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            if path.extension().is_some_and(|e| e == SUFFIX) && needed.contains(digest) {
                continue;
            }
            fs::remove_file(&path)?;
        }
        Ok(())
    }
}

impl Incoming {
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.bytes += piece.len() as u64;
        if self.bytes > MAX_GRAPH_BYTES {
            return Err(Refusal::Invalid(format!("models of up to {} are imported", show_bytes(MAX_GRAPH_BYTES))));
        }
        self.hash.update(piece);
        self.file.write_all(piece).map_err(|e| Refusal::Unavailable(format!("the file cannot be kept: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_under_their_digest_until_they_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let files = GraphFiles::new(dir.path().join("graphs"));
        files.sweep(&HashSet::new()).unwrap();
        let store = |data: &[u8]| {
            let mut incoming = files.incoming().unwrap();
            data.chunks(2).for_each(|piece| incoming.push(piece).unwrap());
            files.finish(incoming).unwrap()
        };
        let (one, two) = (store(b"one"), store(b"two"));
        assert_eq!(store(b"one"), one);
        assert_eq!(one, format!("{:032x}", xxhash_rust::xxh3::xxh3_128(b"one")));
        assert_eq!(files.read(&one).unwrap(), &b"one"[..]);
        // An upload that nobody finishes leaves nothing behind.
        drop(files.incoming().unwrap());
        fs::write(files.folder.join("incoming-x.tmp"), "cut short").unwrap();
        files.sweep(&HashSet::from([two.as_str()])).unwrap();
        assert!(matches!(files.read(&one), Err(Refusal::NotFound(_))));
        assert_eq!(fs::read_dir(&files.folder).unwrap().count(), 1);
        files.remove(&two);
        files.remove(&two);
        assert!(files.read(&two).is_err());
    }

    #[test]
    fn a_digest_is_no_path() {
        let files = GraphFiles::new(PathBuf::from("/nowhere"));
        for bad in
            ["", "../../../../etc/passwd", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcdeg"]
        {
            assert!(matches!(files.read(bad), Err(Refusal::Invalid(_))), "{bad}");
        }
    }
}
