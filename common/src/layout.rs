//! Files on disk. Every path of a data folder is built here, from ids, never from a user's text.
//!
//! ```text
//! DIR/lock                      held while a process uses the folder
//!     coordinator/journal.redb
//!                 models/<job>/model.json, curvature.parquet
//!                 logs/<job>.jsonl what its attempts wrote to standard error, a line an attempt
//!     worker-N/id               worker and cluster identity, JSON
//!              objects/ab/<id>.obj
//!              tmp/<id>         files being written; emptied at start
//!              shuffle/<job>/<stage>-<task>-<epoch>.<number>.ipc
//! ```

use std::path::{Path, PathBuf};

use crate::ids::{AttemptId, JobId, ObjectId};

/// Paths of a coordinator's data folder.
#[derive(Clone, Debug)]
pub struct CoordinatorLayout {
    root: PathBuf,
}

impl CoordinatorLayout {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.redb")
    }

    /// The files of the model version that a job made.
    pub fn model(&self, job: JobId) -> PathBuf {
        self.root.join("models").join(job.to_string())
    }

    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// What the attempts of a job wrote to standard error.
    pub fn job_log(&self, job: JobId) -> PathBuf {
        self.logs().join(format!("{job}.jsonl"))
    }
}

/// Paths of a worker's data folder.
#[derive(Clone, Debug)]
pub struct WorkerLayout {
    root: PathBuf,
}

impl WorkerLayout {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub fn identity(&self) -> PathBuf {
        self.root.join("id")
    }

    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// Objects are spread over 256 folders by the last byte of their id, which is random.
    pub fn object(&self, id: ObjectId) -> PathBuf {
        let byte = id.0.as_bytes()[15];
        self.objects().join(format!("{byte:02x}")).join(format!("{id}.obj"))
    }

    pub fn shuffle(&self) -> PathBuf {
        self.root.join("shuffle")
    }

    pub fn shuffle_of(&self, job: JobId) -> PathBuf {
        self.shuffle().join(job.to_string())
    }

    pub fn shuffle_file(&self, attempt: AttemptId) -> PathBuf {
        let name = format!("{}-{}-{}.{}.ipc", attempt.task.stage, attempt.task.task, attempt.epoch, attempt.number);
        self.shuffle_of(attempt.task.job).join(name)
    }
}

/// The parts of an embedded cluster's folder: one coordinator and numbered workers.
#[derive(Clone, Debug)]
pub struct ClusterLayout {
    root: PathBuf,
}

impl ClusterLayout {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub fn coordinator(&self) -> PathBuf {
        self.root.join("coordinator")
    }

    pub fn worker(&self, number: u32) -> PathBuf {
        self.root.join(format!("worker-{number}"))
    }

    /// How many workers' folders there are: they are numbered from 0 without gaps.
    pub fn existing_workers(&self) -> u32 {
        (0..).find(|n| !self.worker(*n).is_dir()).unwrap_or(0)
    }
}
