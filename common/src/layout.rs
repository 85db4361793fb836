//! Files on disk. Every path of a data folder is built here, from ids, never from a user's text.
//!
//! ```text
//! DIR/lock                      held while a process uses the folder
//!     coordinator/journal.redb
//!                 models/<job>/model.json, curvature.parquet
//!                 graphs/<digest>.onnx files of imported models
//!                 logs/<job>.jsonl what its attempts wrote to standard error, a line an attempt
//!                 capture/       as below, where the coordinator answers requests
//!     worker-N/id               worker and cluster identity, JSON
//!              objects/ab/<id>.obj
//!              tmp/<id>         files being written; emptied at start
//!              shuffle/<job>/<stage>-<task>-<epoch>.<number>.ipc
//!              capture/       as below, where the worker answers requests
//!     capture/DATASET/<id>.part         rows that are captured, one a line; being written
//!                     <id>.jsonl        the same, complete, until they are in the dataset
//!                     <id>.schema.json  the types of its columns
//! ```

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::ids::{AttemptId, JobId, ObjectId};
use crate::name::DatasetName;

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
        self.models().join(job.to_string())
    }

    /// Files of model versions, a folder for each job that made one.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// Files of imported models.
    pub fn graphs(&self) -> PathBuf {
        self.root.join("graphs")
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

/// The files in which captured rows wait for their dataset, below the data folder of the process that answers requests.
#[derive(Clone, Debug)]
pub struct CaptureLayout {
    root: PathBuf,
}

impl CaptureLayout {
    pub fn new(data_dir: impl AsRef<Path>) -> Self {
        Self { root: data_dir.as_ref().join("capture") }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A dataset's name is checked where it enters: it is never a path.
    pub fn dataset(&self, name: &DatasetName) -> PathBuf {
        self.root.join(name.as_str())
    }

    /// Rows that are still being written.
    pub fn part(&self, name: &DatasetName, id: Uuid) -> PathBuf {
        self.dataset(name).join(format!("{id}.part"))
    }

    /// Rows that are complete.
    pub fn sealed(&self, name: &DatasetName, id: Uuid) -> PathBuf {
        self.dataset(name).join(format!("{id}.jsonl"))
    }

    /// The types of the columns of such a file.
    pub fn schema(&self, name: &DatasetName, id: Uuid) -> PathBuf {
        self.dataset(name).join(format!("{id}.schema.json"))
    }
}
