//! A worker without a network, for tests of whole tasks.

use std::sync::{Arc, LazyLock};

use shardmill_common::ids::{AttemptId, JobId, TaskId, WorkerId};
use shardmill_common::layout::WorkerLayout;
use shardmill_common::manifest::ShardEntry;
use shardmill_common::task::TaskPlace;
use shardmill_proto::auth::AddToken;

use crate::backend::Backends;
use crate::fetch::{Fetcher, Where};
use crate::store::Store;
use crate::tasks::Context;

/// Those of all tests.
static BACKENDS: LazyLock<Arc<Backends>> = LazyLock::new(|| Arc::new(Backends::new(std::env::temp_dir())));

pub struct Bench {
    pub fetch: Arc<Fetcher>,
    pub me: WorkerId,
    pub folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let me = WorkerId::fresh();
        let store = Arc::new(Store::open(WorkerLayout::new(folder.path()), me).unwrap());
        let token = AddToken::new(None).unwrap();
        let fetch = Arc::new(Fetcher::new(store, me, String::new(), token, runtime.handle().clone()));
        Self { fetch, me, folder, _runtime: runtime }
    }

    /// The context of the only attempt of a task of job 1.
    pub fn context(&self, stage: u32, task: u32) -> Context {
        self.context_with(stage, task, Vec::new())
    }

    /// The same, of a task that reads what others made.
    pub fn context_with(&self, stage: u32, task: u32, places: Vec<TaskPlace>) -> Context {
        let attempt = Self::attempt(stage, task);
        Context::new(attempt, self.fetch.clone(), Where::default(), places, Arc::default(), Arc::default(), false)
            .with_backends(BACKENDS.clone())
    }

    pub fn attempt(stage: u32, task: u32) -> AttemptId {
        AttemptId { task: TaskId { job: JobId(1), stage, task }, epoch: 1, number: 1 }
    }

    /// Where a task's output is.
    pub fn place(&self, stage: u32, task: u32, shards: Vec<ShardEntry>) -> TaskPlace {
        TaskPlace { attempt: Self::attempt(stage, task), worker: self.me, shards }
    }
}
