//! Files of an export: written beside their place, synced, then renamed into it, so that no half file is ever seen.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::record_batch::RecordBatch;
use tokio::sync::mpsc;

use super::encoder::{Encoder, Settings};
use super::error::{TargetError, WriteError};
use super::stream::{Compression, Sink, Stream};
use crate::error::FlowError;

/// Where an export goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Stdout,
    File(PathBuf),
    /// Something that is not a regular file (a pipe, `/dev/null`) is written to, never replaced.
    Device(PathBuf),
    /// A folder of parts, one a shard.
    Folder(PathBuf),
}

/// What the writer is told, in order.
pub enum Step {
    /// A shard begins.
    Shard,
    Rows(RecordBatch),
    /// All rows were sent: only now do files get their names.
    Done,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exported {
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

impl Target {
    /// What a person named; a name that ends in a slash, or is a folder, means a folder.
    pub fn of(to: &str, parts: bool) -> Self {
        let path = PathBuf::from(to);
        if to == "-" && !parts {
            return Target::Stdout;
        }
        if parts || to.ends_with(std::path::MAIN_SEPARATOR) || path.is_dir() {
            return Target::Folder(path);
        }
        match std::fs::metadata(&path) {
            Ok(found) if !found.is_file() => Target::Device(path),
            _ => Target::File(path),
        }
    }

    /// Refuses what must not be overwritten, before any row is read.
    pub fn check(&self, force: bool) -> Result<(), TargetError> {
        match self {
            Target::File(path) if !force && path.exists() => Err(TargetError::Exists(path.clone())),
            Target::File(path) => match folder_of(path) {
                folder if folder.is_dir() => Ok(()),
                folder => Err(TargetError::NoFolder(folder)),
            },
            Target::Folder(path)
                if !force && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) =>
            {
                Err(TargetError::NotEmpty(path.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// The folder that something with this path is, or will be, in.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A new hidden name beside `place`.
pub(crate) fn beside(place: &Path, suffix: &str) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    folder_of(place).join(format!(".{name}.{}.{suffix}", uuid::Uuid::new_v4().simple()))
}

/// Makes a rename to `place` last: it is on disk once the folder is. A folder that cannot be synced is no reason to fail.
pub(crate) fn sync_folder_of(place: &Path) {
    let _ = File::open(folder_of(place)).and_then(|folder| folder.sync_all());
}

/// A file under a name of its own until it is complete; removed if it never is.
struct Pending {
    temporary: PathBuf,
    place: PathBuf,
}

impl Pending {
    fn create(place: &Path) -> Result<(Self, File), WriteError> {
        let temporary = beside(place, "tmp");
        let file = File::create(&temporary).map_err(WriteError::cannot("write", &temporary))?;
        Ok((Self { temporary, place: place.to_owned() }, file))
    }

    fn publish(self) -> Result<(), WriteError> {
        std::fs::rename(&self.temporary, &self.place).map_err(WriteError::cannot("write", &self.place))?;
        sync_folder_of(&self.place);
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// Writes everything that `steps` brings, on a thread that may block. If the steps end without [`Step::Done`], nothing is left.
pub fn write_all(
    target: Target,
    settings: &Settings,
    stdout: Box<dyn std::io::Write + Send>,
    mut steps: mpsc::Receiver<Step>,
) -> Result<Exported, FlowError> {
    let closed = Arc::new(AtomicBool::new(false));
    let mut writer = Writer {
        target,
        settings,
        closed: closed.clone(),
        stdout: Some(stdout),
        open: None,
        complete: Vec::new(),
        exported: Exported::default(),
    };
    match writer.run(&mut steps) {
        Ok(()) => Ok(writer.exported),
        Err(_) if closed.load(Ordering::Relaxed) => Err(FlowError::OutputClosed),
        Err(e) => Err(e.into()),
    }
}

struct Writer<'a> {
    target: Target,
    settings: &'a Settings,
    closed: Arc<AtomicBool>,
    stdout: Option<Box<dyn std::io::Write + Send>>,
    open: Option<(Encoder, Option<Pending>)>,
    complete: Vec<Pending>,
    exported: Exported,
}

impl Writer<'_> {
    fn run(&mut self, steps: &mut mpsc::Receiver<Step>) -> Result<(), WriteError> {
        let parts = matches!(self.target, Target::Folder(_));
        if let Target::Folder(folder) = &self.target {
            std::fs::create_dir_all(folder).map_err(WriteError::cannot("make the folder", folder))?;
        }
        let mut scratch = Vec::new();
        while let Some(step) = steps.blocking_recv() {
            match step {
                Step::Shard if parts => {
                    self.close()?;
                    self.open()?;
                }
                Step::Shard => {}
                Step::Rows(batch) => {
                    if self.open.is_none() {
                        self.open()?;
                    }
                    if let Some((encoder, _)) = &mut self.open {
                        encoder.write(&batch, &mut scratch)?;
                    }
                    self.exported.rows += batch.num_rows() as u64;
                }
                Step::Done => {
                    if self.open.is_none() && self.exported.files == 0 {
                        // A dataset without rows still has columns, and a file that says so.
                        self.open()?;
                    }
                    self.close()?;
                    return self.publish();
                }
            }
        }
        Err(WriteError::Stopped)
    }

    fn open(&mut self) -> Result<(), WriteError> {
        let (sink, pending) = match &self.target {
            Target::Stdout => match self.stdout.take() {
                Some(out) => (Sink::to_writer(out, self.closed.clone()), None),
                None => return Err(WriteError::OneFile),
            },
            Target::Device(path) => {
                let file = File::options().write(true).open(path).map_err(WriteError::cannot("write", path))?;
                (Sink::to_file(file).map_err(WriteError::cannot("write", path))?, None)
            }
            Target::File(path) => {
                let (pending, file) = Pending::create(path)?;
                (Sink::to_file(file).map_err(WriteError::cannot("write", path))?, Some(pending))
            }
            Target::Folder(folder) => {
                let path = folder.join(part_name(self.exported.files, self.settings));
                let (pending, file) = Pending::create(&path)?;
                (Sink::to_file(file).map_err(WriteError::cannot("write", &path))?, Some(pending))
            }
        };
        let stream = Stream::new(sink, self.settings.compression)?;
        self.open = Some((Encoder::new(self.settings, stream)?, pending));
        Ok(())
    }

    fn close(&mut self) -> Result<(), WriteError> {
        if let Some((encoder, pending)) = self.open.take() {
            self.exported.bytes += encoder.finish()?;
            self.exported.files += 1;
            self.complete.extend(pending);
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), WriteError> {
        if let Target::Folder(folder) = &self.target {
            remove_parts_from(folder, self.exported.files)?;
        }
        self.complete.drain(..).try_for_each(Pending::publish)
    }
}

fn part_name(number: u64, settings: &Settings) -> String {
    let compressed = match settings.compression {
        Compression::None => "",
        Compression::Gzip => ".gz",
        Compression::Zstd => ".zst",
    };
    format!("part-{number:05}.{}{compressed}", settings.format.extension())
}

/// With --force, parts of an earlier and longer export would be read together with the new ones.
fn remove_parts_from(folder: &Path, first: u64) -> Result<(), WriteError> {
    let entries = std::fs::read_dir(folder).map_err(WriteError::cannot("read", folder))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|n| n.strip_prefix("part-")?.split_once('.')?.0.parse::<u64>().ok());
        if number.is_some_and(|n| n >= first) {
            std::fs::remove_file(entry.path()).map_err(WriteError::cannot("remove", &entry.path()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
