//! What a running attempt may use: its inputs, the store, the shuffle, its progress and the order to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use polars::prelude::DataFrame;
use roaring::RoaringBitmap;
use shardmill_common::failure::Failure;
use shardmill_common::ids::AttemptId;
use shardmill_common::manifest::{DeletionVector, ObjectRef, ShardEntry};
use shardmill_common::model::Model;
use shardmill_common::schema::Schema;
use shardmill_common::task::{ShardInput, ShardRef, TaskPlace, TaskRange};
use shardmill_serving::model::{Matrix, Scorer, Scores};

use crate::backend::Backends;
use crate::fetch::{Fetcher, Where};
use crate::shard;
use crate::shuffle::{ShuffleInput, ShuffleWriter};
use crate::sql::Queries;
use crate::train::Sessions;

/// How far an attempt has come.
#[derive(Debug, Default)]
pub struct Progress {
    pub rows: AtomicU64,
    pub bytes: AtomicU64,
    /// What a program of the user's said: its status now, and its log.
    said: Mutex<(Option<String>, Option<String>)>,
}

impl Progress {
    pub fn status(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub fn set_status(&self, status: &str) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(status.to_owned());
    }

    /// The attempt's log, which takes the place of an earlier one.
    pub fn set_log(&self, log: String) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(log).filter(|l| !l.is_empty());
    }

    pub fn take_log(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).1.take()
    }
}

pub struct Context {
    pub attempt: AttemptId,
    pub fetch: Arc<Fetcher>,
    pub place: Where,
    pub places: Vec<TaskPlace>,
    /// Places of whole stages of which this attempt reads much, shared with the worker's other attempts, by stage and in the
    /// order of the tasks.
    stages: Vec<(u32, Arc<Vec<TaskPlace>>)>,
    pub progress: Arc<Progress>,
    pub cancelled: Arc<AtomicBool>,
    /// Source files may be read by path.
    pub local_files: bool,
    /// Encoded shards that rounds of training share; without [`Context::with_sessions`] nothing is kept.
    pub sessions: Arc<Sessions>,
    /// Bytes of memory that this attempt should stay within: the worker's, shared among its slots.
    pub budget: u64,
    /// The worker's part in queries on several workers.
    pub queries: Option<Arc<Queries>>,
    /// What computes statements; those of [`Context::with_backends`] are kept for other attempts.
    pub backends: Arc<Backends>,
    /// Attempts that the worker runs at once.
    pub slots: u32,
    /// One more failure would fail the job.
    pub last_try: bool,
    written: Mutex<Vec<ObjectRef>>,
}

/// Threads that one piece of work may compute with, on a worker of so many slots: as many, but no more than there are cores.
pub fn threads(slots: u32) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(slots as usize).max(1)
}

impl Context {
    pub fn new(
        attempt: AttemptId,
        fetch: Arc<Fetcher>,
        place: Where,
        places: Vec<TaskPlace>,
        cancelled: Arc<AtomicBool>,
        progress: Arc<Progress>,
        local_files: bool,
    ) -> Self {
        let backends = Arc::new(Backends::new(fetch.store.layout.tmp()));
        Self {
            attempt,
            fetch,
            place,
            places,
            stages: Vec::new(),
            progress,
            cancelled,
            local_files,
            sessions: Arc::default(),
            budget: 1 << 30,
            queries: None,
            backends,
            slots: 1,
            last_try: false,
            written: Mutex::default(),
        }
    }

    /// Shares encoded shards with the worker's other attempts.
    pub fn with_sessions(self, sessions: Arc<Sessions>) -> Self {
        Self { sessions, ..self }
    }

    pub fn with_queries(self, queries: Arc<Queries>) -> Self {
        Self { queries: Some(queries), ..self }
    }

    pub fn with_backends(self, backends: Arc<Backends>) -> Self {
        Self { backends, ..self }
    }

    /// Adds the places of whole stages.
    pub fn with_stages(self, stages: Vec<(u32, Arc<Vec<TaskPlace>>)>) -> Self {
        Self { stages, ..self }
    }

    /// With its share of so many bytes of memory among so many slots.
    pub fn with_limits(self, memory: u64, slots: u32, last_try: bool) -> Self {
        let slots = slots.max(1);
        Self { budget: memory / u64::from(slots), slots, last_try, ..self }
    }

    /// Threads that this attempt may compute with, if it uses the machine's cores by itself.
    pub fn threads(&self) -> usize {
        threads(self.slots)
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Fails where the attempt was told to stop.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_cancelled() { Err(Failure::Killed) } else { Ok(()) }
    }

    pub fn advance(&self, rows: u64, bytes: u64) {
        self.progress.rows.fetch_add(rows, Ordering::Relaxed);
        self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The entry of a shard, wherever it was made.
    pub fn entry(&self, input: &ShardInput) -> Result<ShardEntry, Failure> {
        match &input.shard {
            ShardRef::Stored(entry) => Ok(entry.clone()),
            ShardRef::Made { stage, task, part } => {
                let place = self.task_place(*stage, *task)?;
                place
                    .shards
                    .get(*part as usize)
                    .cloned()
                    .ok_or_else(|| Failure::internal(format!("task {} made no shard {part}", place.attempt.task)))
            }
        }
    }

    /// A shard's rows.
    pub fn open(&self, input: &ShardInput, schema: &Schema) -> Result<DataFrame, Failure> {
        self.open_columns(input, schema, None)
    }

    /// The rows of some shards, one after another.
    pub fn open_all(
        &self,
        inputs: &[ShardInput],
        schema: &Schema,
        columns: Option<&[String]>,
    ) -> Result<DataFrame, Failure> {
        let mut whole: Option<DataFrame> = None;
        for input in inputs {
            let frame = self.open_columns(input, schema, columns)?;
            match &mut whole {
                None => whole = Some(frame),
                Some(whole) => {
                    whole.vstack_mut(&frame).map_err(Failure::internal)?;
                }
            }
        }
        let mut whole = whole.unwrap_or_default();
        if inputs.len() > 1 {
            whole.rechunk_mut();
        }
        Ok(whole)
    }

    pub fn open_columns(
        &self,
        input: &ShardInput,
        schema: &Schema,
        columns: Option<&[String]>,
    ) -> Result<DataFrame, Failure> {
        self.check()?;
        let entry = self.entry(input)?;
        let frame = shard::open_columns(&self.fetch, &self.place, &entry, schema, columns)?;
        self.advance(frame.height() as u64, entry.object.bytes);
        Ok(frame)
    }

    fn task_place(&self, stage: u32, task: u32) -> Result<&TaskPlace, Failure> {
        self.places
            .iter()
            .find(|p| p.attempt.task.stage == stage && p.attempt.task.task == task)
            .ok_or_else(|| Failure::internal(format!("the place of task {stage}/{task} was not sent along")))
    }

    /// One partition of what each task of a range wrote, in task order.
    pub fn partitions(&self, range: TaskRange, partition: u32) -> impl Iterator<Item = Result<Bytes, Failure>> + '_ {
        self.shuffle(&[range], partition, partition + 1)
    }

    /// The partitions `from..to` of what each task of these ranges wrote: partition after partition, in each the tasks in their
    /// order. What is to be read is best asked for at once: each worker that has some of it is asked once.
    pub fn shuffle(
        &self,
        ranges: &[TaskRange],
        from: u32,
        to: u32,
    ) -> impl Iterator<Item = Result<Bytes, Failure>> + use<'_> {
        let mut places: Vec<&TaskPlace> = Vec::new();
        for range in ranges {
            let shared = self.stages.iter().find(|(stage, _)| *stage == range.stage);
            let known = shared.map_or(self.places.as_slice(), |(_, places)| places.as_slice());
            places.extend(known.iter().filter(|p| {
                let task = p.attempt.task;
                task.stage == range.stage && (range.from..range.to).contains(&task.task)
            }));
        }
        let complete = places.len() as u32 == ranges.iter().map(|range| range.to - range.from).sum::<u32>();
        let missing = (!complete).then(|| Err(Failure::internal("the place of an earlier task was not sent along")));
        let input = complete.then(|| ShuffleInput::open(&self.fetch, &places, from, to, &self.place));
        missing.into_iter().chain(input.into_iter().flatten().map(move |piece| {
            self.check()?;
            piece
        }))
    }

    /// Predictions for the rows of a matrix.
    pub fn score(&self, model: &Model, matrix: &Matrix) -> Result<Scores, Failure> {
        let scorer = Scorer::new(model, &matrix.layout(), |wanted| self.fetch.graphs.get(wanted));
        let scorer = scorer.map_err(Failure::internal)?;
        scorer.score(matrix).map_err(|why| Failure::bad_input(format!("{}: {why}", model.reference())))
    }

    /// The attempt's own shuffle file.
    pub fn shuffle_writer(&self, compressed: bool) -> Result<ShuffleWriter, Failure> {
        ShuffleWriter::create(&self.fetch.store.layout.shuffle_file(self.attempt), compressed)
    }

    /// A folder of this attempt's own for what does not fit in memory; it goes with the value.
    pub fn scratch(&self) -> Result<tempfile::TempDir, Failure> {
        let parent = self.fetch.store.layout.tmp();
        tempfile::Builder::new()
            .prefix("attempt-")
            .tempdir_in(&parent)
            .map_err(|e| self.fetch.store.incoming_failure(&e))
    }

    fn note(&self, object: ObjectRef) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(object);
    }

    /// Writes a frame as a shard.
    pub fn write_shard(&self, frame: &mut DataFrame) -> Result<ShardEntry, Failure> {
        self.check()?;
        let entry = shard::write(&self.fetch.store, frame)?;
        self.note(entry.object.clone());
        Ok(entry)
    }

    /// A vector each, all in one object.
    pub fn write_deletions(&self, dropped: &[RoaringBitmap]) -> Result<Vec<DeletionVector>, Failure> {
        let vectors = shard::write_deletions(&self.fetch.store, dropped)?;
        if let Some(vector) = vectors.first() {
            self.note(vector.object.clone());
        }
        Ok(vectors)
    }

    /// Counts an object that was copied here as written by this attempt.
    pub fn copied(&self, object: ObjectRef) {
        self.note(object);
    }

    /// Every object this attempt wrote.
    pub fn wrote(&self) -> Vec<ObjectRef> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes back what the attempt wrote: nobody will ask for it.
    pub fn discard(&self) {
        let written = std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner));
        let ids: Vec<_> = written.iter().map(|o| o.id).collect();
        self.fetch.store.delete(&ids);
        self.fetch.store.forget_attempt(self.attempt);
    }
}
