//! What attempts wrote to standard error, and why they failed: a file a job, written by a thread of its own, so that the
//! driver never waits for it. It is for people; losing some of it in a crash harms nobody.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shardmill_common::ids::JobId;
use shardmill_common::layout::CoordinatorLayout;
use shardmill_common::status::{AttemptLog, JobLogs};

/// Bytes kept of a job's logs.
const JOB_BYTES: u64 = 16 << 20;
/// Of these, bytes that attempts which succeeded may use: why something failed is what people look for.
const SUCCEEDED_BYTES: u64 = 12 << 20;
/// Entries on their way to the file.
const QUEUE: usize = 128;
/// How often the count of what was left out is written, and files that nobody wrote to are closed.
const IDLE: Duration = Duration::from_secs(1);

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Attempt(AttemptLog),
    /// So far; a later line takes the place of an earlier one.
    LeftOut(LeftOut),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct LeftOut {
    attempts: u64,
    bytes: u64,
}

impl LeftOut {
    fn count(&mut self, entry: &AttemptLog) {
        self.attempts += 1;
        self.bytes += entry.text.len() as u64;
    }
}

enum Order {
    Keep(JobId, Box<AttemptLog>),
    Remove(Vec<JobId>),
    /// Answered when everything before it is in the files.
    Settle(SyncSender<()>),
}

/// The door of the writing thread. Cheap to clone; the thread ends with the last one.
#[derive(Clone)]
pub struct Logs {
    layout: CoordinatorLayout,
    orders: SyncSender<Order>,
    /// What did not even get into the queue.
    overflow: Arc<Mutex<HashMap<JobId, LeftOut>>>,
}

impl Logs {
    /// Starts the writer, and removes the logs of jobs that are not known any more.
    pub fn start(layout: CoordinatorLayout, is_known: impl Fn(JobId) -> bool) -> Self {
        let (orders, queue) = sync_channel(QUEUE);
        let overflow = Arc::new(Mutex::new(HashMap::new()));
        let writer = Writer { layout: layout.clone(), overflow: overflow.clone(), files: HashMap::new() };
        // Looked for here: the thread may outlive whatever is asked.
        let doomed = unknown(&layout, is_known);
        std::thread::spawn(move || {
            for path in doomed {
                // What cannot be removed is tried again at the next start.
                let _ = std::fs::remove_file(path);
            }
            writer.run(&queue);
        });
        Self { layout, orders, overflow }
    }

    /// Never waits: a writer that cannot follow leaves out what comes meanwhile, and counts it.
    pub fn keep(&self, job: JobId, entry: AttemptLog) {
        if let Err(full) = self.orders.try_send(Order::Keep(job, Box::new(entry)))
            && let Order::Keep(job, entry) = into_order(full)
        {
            let mut overflow = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
            overflow.entry(job).or_default().count(&entry);
        }
    }

    /// A log that is not removed now is swept at the next start.
    pub fn remove(&self, jobs: Vec<JobId>) {
        let _ = self.orders.try_send(Order::Remove(jobs));
    }

    /// What is kept of a job, the newest included. Waits for the disk.
    pub fn read(&self, job: JobId) -> std::io::Result<JobLogs> {
        let (done, settled) = sync_channel(1);
        if self.orders.send(Order::Settle(done)).is_ok() {
            // The writer is gone only when the coordinator stops; what there is can be read all the same.
            let _ = settled.recv();
        }
        let file = match File::open(self.layout.job_log(job)) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(JobLogs::default()),
            Err(e) => return Err(e),
        };
        let mut logs = JobLogs::default();
        for line in BufReader::new(file).split(b'\n') {
            match serde_json::from_slice(&line?) {
                Ok(Line::Attempt(entry)) => logs.attempts.push(entry),
                Ok(Line::LeftOut(left_out)) => {
                    (logs.left_out, logs.left_out_bytes) = (left_out.attempts, left_out.bytes);
                }
                // A coordinator that was killed leaves half a line.
                Err(_) => {}
            }
        }
        Ok(logs)
    }
}

fn into_order(error: std::sync::mpsc::TrySendError<Order>) -> Order {
    use std::sync::mpsc::TrySendError::{Disconnected, Full};
    match error {
        Full(order) | Disconnected(order) => order,
    }
}

/// The log of one job.
struct JobFile {
    file: File,
    bytes: u64,
    left_out: LeftOut,
    /// Some of what was left out is not in the file yet.
    owes_count: bool,
    /// Nothing came since the writer last looked.
    idle: bool,
}

impl JobFile {
    fn write(&mut self, line: &Line) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }
}

/// The logs of jobs that nobody knows.
fn unknown(layout: &CoordinatorLayout, is_known: impl Fn(JobId) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(layout.logs()) else { return Vec::new() };
    let is_unknown = |path: &PathBuf| {
        let job = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<JobId>().ok());
        job.is_some_and(|job| !is_known(job))
    };
    entries.flatten().map(|e| e.path()).filter(is_unknown).collect()
}

struct Writer {
    layout: CoordinatorLayout,
    overflow: Arc<Mutex<HashMap<JobId, LeftOut>>>,
    files: HashMap<JobId, JobFile>,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Order>) {
        loop {
            match queue.recv_timeout(IDLE) {
                Ok(Order::Keep(job, entry)) => self.keep(job, *entry),
                Ok(Order::Remove(jobs)) => {
                    for job in jobs {
                        self.files.remove(&job);
                        // There may be none.
                        let _ = std::fs::remove_file(self.layout.job_log(job));
                    }
                }
                Ok(Order::Settle(done)) => {
                    self.settle();
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.settle();
                    self.files.retain(|_, file| !std::mem::replace(&mut file.idle, true));
                }
                Err(RecvTimeoutError::Disconnected) => return self.settle(),
            }
        }
    }

    fn open(&self, job: JobId) -> std::io::Result<JobFile> {
        std::fs::create_dir_all(self.layout.logs())?;
        let file = File::options().create(true).append(true).open(self.layout.job_log(job))?;
        let bytes = file.metadata()?.len();
        let left_out = LeftOut::default();
        let mut opened = JobFile { file, bytes, left_out, owes_count: false, idle: false };
        if bytes > 0 {
            // The end of half a line, if there is one; and what was counted before.
            opened.file.write_all(b"\n")?;
            let reader = BufReader::new(File::open(self.layout.job_log(job))?);
            for line in reader.split(b'\n') {
                if let Ok(Line::LeftOut(before)) = serde_json::from_slice(&line?) {
                    opened.left_out = before;
                }
            }
        }
        Ok(opened)
    }

    fn file(&mut self, job: JobId) -> std::io::Result<&mut JobFile> {
        let file = match self.files.remove(&job) {
            Some(file) => file,
            None => self.open(job)?,
        };
        Ok(self.files.entry(job).or_insert(file))
    }

    fn keep(&mut self, job: JobId, entry: AttemptLog) {
        let written = self.file(job).and_then(|file| {
            file.idle = false;
            let limit = if entry.failed { JOB_BYTES } else { SUCCEEDED_BYTES };
            if file.bytes + entry.text.len() as u64 > limit {
                file.left_out.count(&entry);
                file.owes_count = true;
                return Ok(());
            }
            file.write(&Line::Attempt(entry))
        });
        if let Err(e) = written {
            tracing::warn!(%job, error = %e, "the log of an attempt cannot be written");
        }
    }

    /// Brings what was left out into the files.
    fn settle(&mut self) {
        let overflow = std::mem::take(&mut *self.overflow.lock().unwrap_or_else(PoisonError::into_inner));
        for (job, more) in overflow {
            if let Ok(file) = self.file(job) {
                file.left_out.attempts += more.attempts;
                file.left_out.bytes += more.bytes;
                file.owes_count = true;
            }
        }
        for (job, file) in self.files.iter_mut().filter(|(_, file)| file.owes_count) {
            let line = Line::LeftOut(file.left_out);
            match file.write(&line) {
                Ok(()) => file.owes_count = false,
                Err(e) => tracing::warn!(%job, error = %e, "the log of an attempt cannot be written"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shardmill_common::ids::WorkerId;
    use shardmill_common::time::Timestamp;

    use super::*;

    fn entry(task: u32, failed: bool, bytes: usize) -> AttemptLog {
        AttemptLog {
            stage: 1,
            stage_name: "map".into(),
            task,
            attempt: 1,
            worker: WorkerId::fresh(),
            ended: Timestamp(5),
            failed,
            why: failed.then(|| "exit status 1".into()),
            text: "x".repeat(bytes),
        }
    }

    #[test]
    fn what_was_kept_is_read_in_order_and_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let layout = CoordinatorLayout::new(dir.path());
        let job = JobId(3);
        let logs = Logs::start(layout.clone(), |_| false);
        logs.keep(job, entry(0, false, 10));
        logs.keep(job, entry(1, true, 10));
        assert_eq!(logs.read(job).unwrap().attempts.iter().map(|a| a.task).collect::<Vec<_>>(), [0, 1]);
        drop(logs);
        // Half a line, as a coordinator leaves that is killed.
        let mut file = File::options().append(true).open(layout.job_log(job)).unwrap();
        file.write_all(b"{\"attempt\":{\"sta").unwrap();
        let logs = Logs::start(layout.clone(), move |known| known == job);
        logs.keep(job, entry(2, true, 10));
        let read = logs.read(job).unwrap();
        assert_eq!(read.attempts.iter().map(|a| a.task).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((read.left_out, logs.read(JobId(4)).unwrap()), (0, JobLogs::default()));
        logs.remove(vec![job]);
        assert_eq!(logs.read(job).unwrap(), JobLogs::default());
    }

    #[test]
    fn a_job_that_writes_too_much_is_cut_and_failures_still_fit() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobId(3);
        let logs = Logs::start(CoordinatorLayout::new(dir.path()), |_| false);
        let (mut sent, piece) = (0, 1 << 20);
        for task in 0..20 {
            logs.keep(job, entry(task, false, piece));
            sent += 1;
            // As slowly as the writer follows.
            logs.read(job).unwrap();
        }
        logs.keep(job, entry(99, true, piece));
        let read = logs.read(job).unwrap();
        let kept = read.attempts.len() as u64;
        assert!((11..=12).contains(&(kept - 1)), "{kept}");
        assert_eq!(read.attempts.last().map(|a| a.task), Some(99));
        assert_eq!(read.left_out + kept, sent + 1);
        assert_eq!(read.left_out_bytes, read.left_out * piece as u64);
    }

    #[test]
    fn logs_of_forgotten_jobs_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let layout = CoordinatorLayout::new(dir.path());
        std::fs::create_dir_all(layout.logs()).unwrap();
        for job in [JobId(1), JobId(2)] {
            std::fs::write(layout.job_log(job), b"").unwrap();
        }
        let logs = Logs::start(layout.clone(), |known| known == JobId(2));
        logs.read(JobId(2)).unwrap();
        assert!(!layout.job_log(JobId(1)).exists() && layout.job_log(JobId(2)).exists());
    }
}
