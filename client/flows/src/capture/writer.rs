//! The thread that writes captured rows to disk. A row is in its file within a fifth of a second, and safe from a loss of
//! power within about a second.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use shardmill_common::layout::CaptureLayout;
use shardmill_common::model::Model;
use shardmill_common::name::DatasetName;
use shardmill_common::schema::Schema;
use shardmill_serving::capture::known_columns;
use uuid::Uuid;

use super::files;
use super::spool::{Message, Open, Shared};

const WRITE_EVERY: Duration = Duration::from_millis(200);
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// More than this is written at once.
const MUCH: usize = 256 << 10;
/// A disk that fails is complained about this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(30);

/// The file of one dataset.
struct Part {
    id: Uuid,
    /// Made with its first rows.
    file: Option<File>,
    /// Bytes of whole rows in the file.
    written: u64,
    /// Rows that are not in the file yet.
    buffer: Vec<u8>,
    dirty: bool,
    schema: Schema,
    schema_is_written: bool,
    /// Whose columns the schema has.
    models: Vec<Arc<Model>>,
}

pub struct Writer {
    layout: CaptureLayout,
    shared: Arc<Shared>,
    parts: HashMap<DatasetName, Part>,
    complained: Option<Instant>,
}

impl Writer {
    pub fn new(layout: CaptureLayout, shared: Arc<Shared>) -> Self {
        Self { layout, shared, parts: HashMap::new(), complained: None }
    }

    /// Writes until it is told to close, or everybody who could tell it is gone.
    pub fn run(mut self, messages: &Receiver<Message>) {
        let (mut write_at, mut sync_at) = (None::<Instant>, None::<Instant>);
        loop {
            let message = match write_at.into_iter().chain(sync_at).min() {
                // Nothing is to be done until there is a message.
                None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => messages.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match message {
                Ok(Message::Rows { dataset, model, lines }) => {
                    self.add(dataset, &model, &lines);
                    write_at.get_or_insert_with(|| Instant::now() + WRITE_EVERY);
                }
                // Whoever asked may have given up, here and below.
                Ok(Message::Settle { done }) => drop(done.send(())),
                Ok(Message::Seal { dataset, done }) => {
                    self.seal(&dataset);
                    let _ = done.send(());
                }
                Ok(Message::Close { done }) => {
                    self.seal_all();
                    let _ = done.send(());
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.seal_all(),
            }
            let now = Instant::now();
            if write_at.is_some_and(|at| at <= now) {
                let all_written = self.write_all();
                write_at = (!all_written).then(|| now + WRITE_EVERY);
                sync_at.get_or_insert(now + SYNC_EVERY - WRITE_EVERY);
            }
            if sync_at.is_some_and(|at| at <= now) {
                self.sync_all();
                sync_at = None;
            }
        }
    }

    fn complain(&mut self, dataset: &DatasetName, what: &str, error: &io::Error) {
        if self.complained.is_none_or(|at| at.elapsed() > COMPLAIN_EVERY) {
            let path = self.layout.dataset(dataset);
            tracing::error!(path = %path.display(), %error, "captured rows cannot be {what}; it is tried again");
            self.complained = Some(Instant::now());
        }
    }

    fn add(&mut self, dataset: DatasetName, model: &Arc<Model>, lines: &[u8]) {
        let part = self.parts.entry(dataset.clone()).or_insert_with(Part::new);
        part.learn(model);
        part.buffer.extend_from_slice(lines);
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Open { id: part.id, bytes: 0, since: Instant::now() };
        open.entry(dataset.clone()).or_insert(new).bytes += lines.len() as u64;
        drop(open);
        if part.buffer.len() >= MUCH {
            self.write(&dataset);
        }
    }

    /// False: some rows are still only in memory.
    fn write(&mut self, dataset: &DatasetName) -> bool {
        let Some(part) = self.parts.get_mut(dataset) else { return true };
        match part.write(&self.layout, dataset) {
            Ok(bytes) => {
                // In this order, so that nobody sees that nothing is left between the two.
                self.shared.on_disk.fetch_add(bytes, Ordering::AcqRel);
                self.shared.waiting.fetch_sub(bytes, Ordering::AcqRel);
                true
            }
            Err(e) => {
                self.complain(dataset, "written", &e);
                false
            }
        }
    }

    fn names(&self) -> Vec<DatasetName> {
        self.parts.keys().cloned().collect()
    }

    fn write_all(&mut self) -> bool {
        // Each is tried, also behind one that failed.
        self.names().iter().filter(|dataset| !self.write(dataset)).count() == 0
    }

    fn sync_all(&mut self) {
        for dataset in self.names() {
            let Some(part) = self.parts.get_mut(&dataset).filter(|p| p.dirty) else { continue };
            match part.file.as_ref().map_or(Ok(()), File::sync_data) {
                Ok(()) => part.dirty = false,
                Err(e) => self.complain(&dataset, "made safe", &e),
            }
        }
    }

    /// Completes a file. If that fails the file stays open, and is completed later.
    fn seal(&mut self, dataset: &DatasetName) {
        if !self.write(dataset) {
            return;
        }
        let Some(part) = self.parts.get(dataset) else { return };
        let id = part.id;
        let sealed =
            part.file.as_ref().map_or(Ok(()), File::sync_all).and_then(|()| files::seal(&self.layout, dataset, id));
        match sealed {
            Ok(()) => {
                self.parts.remove(dataset);
                self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).remove(dataset);
            }
            Err(e) => self.complain(dataset, "completed", &e),
        }
    }

    fn seal_all(&mut self) {
        for dataset in self.names() {
            self.seal(&dataset);
        }
    }
}

impl Part {
    fn new() -> Self {
        Self {
            id: Uuid::new_v4(),
            file: None,
            written: 0,
            buffer: Vec::new(),
            dirty: false,
            schema: Schema::default(),
            schema_is_written: false,
            models: Vec::new(),
        }
    }

    /// Takes up the columns of a model that has not answered into this file before.
    fn learn(&mut self, model: &Arc<Model>) {
        if self.models.iter().any(|known| Arc::ptr_eq(known, model)) {
            return;
        }
        self.schema = self.schema.join(&known_columns(model));
        self.schema_is_written = false;
        self.models.push(model.clone());
    }

    /// Writes what waits; the types go first, since rows without them are typed by their values alone.
    fn write(&mut self, layout: &CaptureLayout, dataset: &DatasetName) -> io::Result<u64> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                std::fs::create_dir_all(layout.dataset(dataset))?;
                let file = File::options().create(true).append(true).open(layout.part(dataset, self.id))?;
                let above = layout.root().parent();
                for folder in
                    [Some(layout.dataset(dataset).as_path()), Some(layout.root()), above].into_iter().flatten()
                {
                    files::sync_folder(folder)?;
                }
                file
            }
        };
        let written = self.write_to(&mut file, layout, dataset);
        self.file = Some(file);
        written
    }

    fn write_to(&mut self, file: &mut File, layout: &CaptureLayout, dataset: &DatasetName) -> io::Result<u64> {
        if !self.schema_is_written {
            files::write_schema(layout, dataset, self.id, &self.schema)?;
            self.schema_is_written = true;
        }
        if self.buffer.is_empty() {
            return Ok(0);
        }
        if let Err(e) = file.write_all(&self.buffer) {
            // Half a row may be in the file now: it is cut off, and what follows is appended to whole rows.
            file.set_len(self.written)?;
            return Err(e);
        }
        let bytes = self.buffer.len() as u64;
        self.written += bytes;
        self.dirty = true;
        self.buffer.clear();
        Ok(bytes)
    }
}
