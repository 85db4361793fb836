//! The store: immutable objects on this worker's disk.
//!
//! Write order: temporary file, fsync, rename, fsync of the folder. Whoever reads an object checks its length and checksum.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use shardmill_common::failure::Failure;
use shardmill_common::ids::{AttemptId, JobId, ObjectId, WorkerId};
use shardmill_common::layout::WorkerLayout;
use shardmill_common::manifest::ObjectRef;
use shardmill_common::message::StoredObject;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::shuffle::Indexes;

/// `xxh3-128`, in hex.
pub fn checksum(data: &[u8]) -> String {
    format!("{:032x}", xxh3_128(data))
}

/// Why a local copy could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("there is no copy here")]
    Missing,
    #[error("the copy is damaged: {0}")]
    Damaged(NotIt),
    #[error("{0}")]
    Io(io::Error),
}

pub struct Store {
    pub layout: WorkerLayout,
    worker: WorkerId,
    next_tmp: AtomicU64,
    /// Of shuffle files, here and of other workers on this machine.
    pub indexes: Indexes,
}

/// Reads a file and checks that it is the object meant.
pub fn read_checked(path: &Path, object: &ObjectRef) -> Result<Bytes, ReadError> {
    let mut file = File::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => ReadError::Missing,
        _ => ReadError::Io(e),
    })?;
    let bytes = file.metadata().map_err(ReadError::Io)?.len();
    let map = if bytes < MAPPED { None } else { mapped(&file).map_err(ReadError::Io)? };
    let data = match map {
        Some(data) => data,
        None => {
            let mut data = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
            file.read_to_end(&mut data).map_err(ReadError::Io)?;
            data.into()
        }
    };
    verify(&data, object).map_err(ReadError::Damaged)?;
    Ok(data)
}

/// Smaller files are copied sooner than mapped.
const MAPPED: u64 = 256 << 10;

/// The bytes of a file where the system has them, all of which were read; none where the system cannot say whether they were. A file
/// of the store is replaced or removed, never written again, so that what was read stays.
#[cfg(target_os = "linux")]
fn mapped(file: &File) -> io::Result<Option<Bytes>> {
    // SAFETY: nobody writes to files of the store, or makes them shorter.
    let map = unsafe { memmap2::Mmap::map(file)? };
    // A disk that fails says so here. Without this, whoever touched the bytes would be ended by a signal.
    match map.advise(memmap2::Advice::PopulateRead) {
        Ok(()) => Ok(Some(Bytes::from_owner(map))),
        // Systems before Linux 5.14.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(not(target_os = "linux"))]
fn mapped(_: &File) -> io::Result<Option<Bytes>> {
    Ok(None)
}

/// Bytes that are not those of the object meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotIt {
    #[error("it has {found} bytes, not {wanted}")]
    Length { found: u64, wanted: u64 },
    #[error("its checksum is {found}, not {wanted}")]
    Checksum { found: String, wanted: String },
}

/// Whether these are the object's bytes.
pub fn verify(data: &[u8], object: &ObjectRef) -> Result<(), NotIt> {
    let (found, wanted) = (data.len() as u64, object.bytes);
    if found != wanted {
        return Err(NotIt::Length { found, wanted });
    }
    let (found, wanted) = (checksum(data), &object.checksum);
    if found == *wanted { Ok(()) } else { Err(NotIt::Checksum { found, wanted: wanted.clone() }) }
}

impl Store {
    /// Opens the store and clears away what an earlier process left half-written.
    pub fn open(layout: WorkerLayout, worker: WorkerId) -> io::Result<Self> {
        for dir in [layout.tmp(), layout.shuffle()] {
            match fs::remove_dir_all(&dir) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => fs::create_dir_all(&dir)?,
            }
        }
        fs::create_dir_all(layout.objects())?;
        sync_dir(layout.root())?;
        Ok(Self { layout, worker, next_tmp: AtomicU64::new(0), indexes: Indexes::default() })
    }

    fn failure(&self, e: &io::Error) -> Failure {
        if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Failure::DiskFull { worker: self.worker, message: e.to_string() }
        } else {
            Failure::internal(format!("cannot write to {}: {e}", self.layout.root().display()))
        }
    }

    /// Writes a new object under a fresh id.
    pub fn write(&self, data: &[u8]) -> Result<ObjectRef, Failure> {
        let object = ObjectRef { id: ObjectId::fresh(), bytes: data.len() as u64, checksum: checksum(data) };
        self.write_as(&object, data)?;
        Ok(object)
    }

    /// Writes a copy of an object that exists elsewhere; the caller has verified the bytes.
    pub fn write_as(&self, object: &ObjectRef, data: &[u8]) -> Result<(), Failure> {
        let mut incoming = self.incoming().map_err(|e| self.failure(&e))?;
        let written = incoming.push(data).and_then(|()| incoming.publish(object.id));
        written.map_err(|e| self.failure(&e))
    }

    /// A new object that arrives in pieces.
    pub fn incoming(&self) -> io::Result<Incoming<'_>> {
        let number = self.next_tmp.fetch_add(1, Ordering::Relaxed);
        let path = self.layout.tmp().join(number.to_string());
        let file = File::create(&path)?;
        Ok(Incoming { store: self, path, file: Some(file), bytes: 0, hasher: Box::new(Xxh3::new()) })
    }

    pub fn incoming_failure(&self, e: &io::Error) -> Failure {
        self.failure(e)
    }

    pub fn read(&self, object: &ObjectRef) -> Result<Bytes, ReadError> {
        read_checked(&self.layout.object(object.id), object)
    }

    /// Deletes objects; those that are not there are gone already.
    pub fn delete(&self, objects: &[ObjectId]) {
        for id in objects {
            match fs::remove_file(self.layout.object(*id)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => tracing::warn!(object = %id, "cannot delete: {e}"),
                _ => {}
            }
        }
    }

    /// Every object here.
    pub fn list(&self) -> io::Result<Vec<StoredObject>> {
        let now = SystemTime::now();
        let mut objects = Vec::new();
        for dir in fs::read_dir(self.layout.objects())? {
            for entry in fs::read_dir(dir?.path())? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(id) = name.to_str().and_then(|n| n.strip_suffix(".obj")).and_then(|n| n.parse().ok()) else {
                    continue;
                };
                let meta = entry.metadata()?;
                let age = meta.modified().ok().and_then(|t| now.duration_since(t).ok()).map_or(0, |d| d.as_secs());
                objects.push(StoredObject { id, bytes: meta.len(), age });
            }
        }
        Ok(objects)
    }

    pub fn forget_job(&self, job: JobId) {
        self.indexes.forget(job);
        match fs::remove_dir_all(self.layout.shuffle_of(job)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => tracing::warn!(%job, "cannot delete shuffle files: {e}"),
            _ => {}
        }
    }

    pub fn forget_attempt(&self, attempt: AttemptId) {
        // An attempt that wrote nothing left no file.
        let _ = fs::remove_file(self.layout.shuffle_file(attempt));
    }
}

/// An object on its way in. Dropped before it is published, it leaves nothing.
pub struct Incoming<'a> {
    store: &'a Store,
    path: std::path::PathBuf,
    file: Option<File>,
    bytes: u64,
    hasher: Box<Xxh3>,
}

impl Incoming<'_> {
    pub fn push(&mut self, data: &[u8]) -> io::Result<()> {
        self.hasher.update(data);
        self.bytes += data.len() as u64;
        match &mut self.file {
            Some(file) => file.write_all(data),
            None => Err(io::Error::other("the object is closed")),
        }
    }

    /// Length and checksum of what has come.
    pub fn summary(&self, id: ObjectId) -> ObjectRef {
        ObjectRef { id, bytes: self.bytes, checksum: format!("{:032x}", self.hasher.digest128()) }
    }

    /// Makes it an object: fsync, rename, fsync of the folder.
    pub fn publish(mut self, id: ObjectId) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        let target = self.store.layout.object(id);
        let Some(dir) = target.parent() else { return Err(io::Error::other("an object has a folder")) };
        if !dir.is_dir() {
            fs::create_dir_all(dir)?;
            sync_dir(&self.store.layout.objects())?;
        }
        fs::rename(&self.path, &target)?;
        sync_dir(dir)
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            // What cannot be deleted now is cleared away at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(dir: &Path) -> Store {
        Store::open(WorkerLayout::new(dir), WorkerId::fresh()).unwrap()
    }

    #[test]
    fn objects_survive_and_damage_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let s = store(dir.path());
        let object = s.write(b"twelve bytes").unwrap();
        assert_eq!(&s.read(&object).unwrap()[..], b"twelve bytes");
        let s = store(dir.path());
        assert_eq!(s.list().unwrap().len(), 1);
        for damaged in [&b"twelve bytez"[..], b"twelve", b"twelve bytes and more", b""] {
            fs::write(s.layout.object(object.id), damaged).unwrap();
            assert!(matches!(s.read(&object), Err(ReadError::Damaged(_))));
        }
        s.delete(&[object.id]);
        assert!(matches!(s.read(&object), Err(ReadError::Missing)));
    }

    #[test]
    fn large_objects_are_mapped_and_outlive_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let s = store(dir.path());
        let bytes: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let object = s.write(&bytes).unwrap();
        let data = s.read(&object).unwrap();
        s.delete(&[object.id]);
        assert_eq!(data, bytes);
        let object = s.write(&bytes).unwrap();
        let mut damaged = bytes.clone();
        damaged[777_777] ^= 1;
        for damaged in [&damaged[..], &bytes[..999_999]] {
            fs::remove_file(s.layout.object(object.id)).unwrap();
            fs::write(s.layout.object(object.id), damaged).unwrap();
            assert!(matches!(s.read(&object), Err(ReadError::Damaged(_))));
        }
    }

    #[test]
    fn an_object_that_was_not_published_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let s = store(dir.path());
        let mut incoming = s.incoming().unwrap();
        incoming.push(b"half").unwrap();
        drop(incoming);
        assert_eq!(fs::read_dir(s.layout.tmp()).unwrap().count(), 0);
        assert!(s.list().unwrap().is_empty());
    }
}
