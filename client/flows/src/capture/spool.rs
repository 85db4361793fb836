//! Where requests leave what is to be kept: rows wait in memory, within bounds, for the thread that writes them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use shardmill_common::layout::CaptureLayout;
use shardmill_common::model::Model;
use shardmill_common::name::DatasetName;
use shardmill_serving::capture::{Event, FlushError, Flushing, Sink, lines, size};
use tokio::sync::{mpsc, oneshot};

use super::writer;

/// Bytes of rows that wait in memory at most.
const MEMORY: u64 = 64 << 20;
/// Bytes of rows that wait on disk at most, where they cannot be published.
const DISK: u64 = 1 << 30;
/// Names of further columns that a dataset gets from this process at most, so that requests which make names up do not make a
/// dataset that nobody can read.
const FURTHER_COLUMNS: usize = 2_000;
/// How long a flush waits: a publication takes less than a second, unless others write the dataset.
const FLUSH_WITHIN: Duration = Duration::from_secs(60);

/// Someone waits for all that was kept so far to be published: the number of rows, or why it is not.
pub type Flush = oneshot::Sender<Result<u64, FlushError>>;

/// What the writing thread is told.
pub enum Message {
    Rows {
        dataset: DatasetName,
        /// Who answered: its features and answers have types.
        model: Arc<Model>,
        lines: Vec<u8>,
    },
    /// Everything sent before this is taken up.
    Settle { done: oneshot::Sender<()> },
    /// Completes the file of this dataset, if there is one.
    Seal { dataset: DatasetName, done: oneshot::Sender<()> },
    /// Completes all files; nothing follows.
    Close { done: oneshot::Sender<()> },
}

/// A file that is being written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Open {
    pub id: uuid::Uuid,
    pub bytes: u64,
    /// When its first row came.
    pub since: Instant,
}

/// What sink, writing thread and publisher all see.
#[derive(Debug, Default)]
pub struct Shared {
    /// Bytes that wait in memory.
    pub waiting: AtomicU64,
    /// Bytes that wait on disk.
    pub on_disk: AtomicU64,
    pub open: Mutex<HashMap<DatasetName, Open>>,
}

impl Shared {
    pub fn open_files(&self) -> HashMap<DatasetName, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug)]
pub struct Spool {
    layout: CaptureLayout,
    shared: Arc<Shared>,
    to_writer: blocking::Sender<Message>,
    /// Taken by the thread, which begins with the first row.
    for_writer: Mutex<Option<blocking::Receiver<Message>>>,
    writer: OnceLock<Mutex<Option<JoinHandle<()>>>>,
    closed: AtomicBool,
    /// Names of columns that no model reads, by dataset.
    further: Mutex<HashMap<DatasetName, HashSet<String>>>,
    flushes: mpsc::UnboundedSender<Flush>,
}

impl Spool {
    pub fn new(layout: CaptureLayout) -> (Self, mpsc::UnboundedReceiver<Flush>) {
        let (to_writer, for_writer) = blocking::channel();
        let (flushes, asked) = mpsc::unbounded_channel();
        let spool = Self {
            layout,
            shared: Arc::default(),
            to_writer,
            for_writer: Mutex::new(Some(for_writer)),
            writer: OnceLock::new(),
            closed: AtomicBool::new(false),
            further: Mutex::default(),
            flushes,
        };
        (spool, asked)
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Nothing waits, neither in memory nor on disk.
    pub fn is_empty(&self) -> bool {
        self.shared.waiting.load(Ordering::Acquire) == 0 && self.shared.on_disk.load(Ordering::Acquire) == 0
    }

    /// Starts the writing thread, once.
    fn writer(&self) -> &Mutex<Option<JoinHandle<()>>> {
        self.writer.get_or_init(|| {
            let (layout, shared) = (self.layout.clone(), self.shared.clone());
            let messages = self.for_writer.lock().unwrap_or_else(PoisonError::into_inner).take();
            let started = messages.map(|messages| {
                std::thread::Builder::new()
                    .name("capture".into())
                    .spawn(move || writer::Writer::new(layout, shared).run(&messages))
            });
            Mutex::new(match started {
                Some(Ok(thread)) => Some(thread),
                Some(Err(e)) => {
                    tracing::error!(error = %e, "no thread can be started: nothing is captured");
                    None
                }
                None => None,
            })
        })
    }

    /// Takes note of a request's columns. False: its dataset would get too many.
    fn has_room_for_columns(&self, event: &Event<'_>) -> bool {
        let features = &event.predictor.model.features.features;
        let Some(names) = event.table.names.as_ref().filter(|names| names.len() > features.len()) else { return true };
        let mut all = self.further.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(event.dataset.clone()).or_default();
        let read: HashSet<&str> = features.iter().map(|f| f.column.as_str()).collect();
        let new: HashSet<&str> =
            names.iter().map(AsRef::as_ref).filter(|n| !read.contains(n) && !known.contains(*n)).collect();
        if known.len() + new.len() > FURTHER_COLUMNS {
            return false;
        }
        known.extend(new.into_iter().map(str::to_owned));
        true
    }

    /// False: there was no room.
    pub fn keep_lines(&self, dataset: &DatasetName, model: &Arc<Model>, lines: Vec<u8>) -> bool {
        let bytes = lines.len() as u64;
        let shared = &self.shared;
        if self.closed.load(Ordering::Acquire) || shared.on_disk.load(Ordering::Relaxed) >= DISK {
            return false;
        }
        if shared.waiting.fetch_add(bytes, Ordering::AcqRel) + bytes > MEMORY {
            shared.waiting.fetch_sub(bytes, Ordering::AcqRel);
            return false;
        }
        self.writer();
        let kept = self.to_writer.send(Message::Rows { dataset: dataset.clone(), model: model.clone(), lines }).is_ok();
        if !kept {
            shared.waiting.fetch_sub(bytes, Ordering::AcqRel);
        }
        kept
    }

    /// Waits until the writing thread has taken up all that was kept until now.
    pub async fn settle(&self) {
        let (done, settled) = oneshot::channel();
        if self.writer.get().is_some() && self.to_writer.send(Message::Settle { done }).is_ok() {
            // An error means that the thread is gone, and nothing is under way.
            let _ = settled.await;
        }
    }

    /// Completes the file of a dataset, with all rows that were kept until now.
    pub async fn seal(&self, dataset: &DatasetName) {
        let (done, sealed) = oneshot::channel();
        if self.writer.get().is_some() && self.to_writer.send(Message::Seal { dataset: dataset.clone(), done }).is_ok()
        {
            // An error means that the thread is gone, and its files are complete.
            let _ = sealed.await;
        }
    }

    /// Completes all files. What comes later is refused.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let Some(thread) = self.writer.get() else { return };
        let (done, closed) = oneshot::channel();
        if self.to_writer.send(Message::Close { done }).is_ok() {
            let _ = closed.await;
        }
        let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|t| t.join().is_err()) {
            tracing::error!("the thread that writes captured rows broke");
        }
    }
}

impl Sink for Spool {
    fn keep(&self, event: &Event<'_>) -> bool {
        // Where there is no room, the work is saved as well.
        if self.shared.waiting.load(Ordering::Relaxed).saturating_add(size(event) as u64) > MEMORY {
            return false;
        }
        if !self.has_room_for_columns(event) {
            return false;
        }
        self.keep_lines(event.dataset, &event.predictor.model, lines(event))
    }

    fn flush(&self) -> Flushing {
        let (done, published) = oneshot::channel();
        let asked = self.flushes.send(done);
        Box::pin(async move {
            if asked.is_err() {
                return Err(FlushError::Stopping);
            }
            match tokio::time::timeout(FLUSH_WITHIN, published).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(FlushError::Stopping),
                Err(_) => Err(FlushError::Late(FLUSH_WITHIN)),
            }
        })
    }
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
