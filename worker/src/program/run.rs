//! One run of a program: what goes in, what comes out, and what becomes of it, with everything bounded in between.

use std::io::Write;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use polars::prelude::DataFrame;
use shardmill_common::counters::Counters;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::mapreduce::step::{Format, Program, Work};
use shardmill_common::schema::{DataType, Field, Schema};

use super::command::{self, Found};
use super::encode::{Encoder, LINE, Unsent};
use super::message::Told;
use super::pipe::Pipe;
use super::plan::{End, Plan, Report};
use super::process::{Ends, Process};
use super::read::{self, Expected, Output, Unread};
use super::stderr::Said;
use super::{environment, folder};
use crate::tasks::Context;

/// How often an order to stop is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// Frames under way to the program, and from it.
const FRAMES: usize = 2;
/// Without a limit of its own, a program has its task's share of the worker's memory, but not less than an interpreter needs.
const LEAST_MEMORY: u64 = 256 << 20;

/// One run of a program over the rows of one task.
pub struct Run<'a> {
    pub context: &'a Context,
    pub program: &'a Program,
    pub work: &'a Work,
    pub keys: &'a [String],
    pub role: Role,
    /// For messages, such as `the map of clicks, shard 3`.
    pub what: String,
}

/// What a program is to its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `reduced`: its rows go on to a reduce.
    Map {
        reduced: bool,
    },
    Reduce,
}

/// The columns a program puts out, where they are known before it runs.
pub fn produced_schema(program: &Program, role: Role, keys: &[String]) -> Option<Schema> {
    if let Some(columns) = &program.columns {
        return Some(columns.clone());
    }
    let text = |name: &str| Field::new(name, DataType::String);
    match (program.format, role) {
        (Format::Tsv, _) => Some(Schema::new(vec![text("key"), text("value")])),
        (Format::Jsonl, Role::Map { reduced: true }) => {
            Some(Schema::new(keys.iter().map(String::as_str).chain([LINE]).map(text).collect()))
        }
        (Format::Jsonl | Format::Arrow, _) => None,
    }
}

/// Whether the program's command can be found and run on this worker; `work` has the files that come along.
pub fn check(program: &Program, work: &Work) -> Result<(), Failure> {
    command::check(program, &work.files)
}

/// What the threads of a run tell the one that drives it.
enum Event {
    /// The program's side took a frame.
    Taken,
    Rows(DataFrame),
    /// Everything was sent, or nothing more can be.
    Sent(Result<(), Unsent>),
    Read(Result<(), Unread>),
}

/// How sending and reading ended.
struct Streams {
    sent: Result<(), Unsent>,
    read: Result<(), Unread>,
}

impl Run<'_> {
    /// Streams rows through the program; `out` gets what it writes, in order. Returns what it counted.
    ///
    /// Every frame must have the same columns. `out` gets at least one frame, maybe without rows, wherever the columns are
    /// known without any: declared, by the format, or by the stream.
    pub fn over(
        &self,
        rows: &mut dyn Iterator<Item = Result<DataFrame, Failure>>,
        out: &mut dyn FnMut(DataFrame) -> Result<(), Failure>,
    ) -> Result<Counters, Failure> {
        let expected = self.expected()?;
        let scratch = self.context.scratch()?;
        let home = scratch.path().join("home");
        folder::lay_out(self.context, &self.work.files, &home)?;
        let plan = self.plan(command::find(self.program, &self.work.files, &home)?, &home, scratch.path());
        let (memory, over) = (plan.memory, &AtomicBool::new(false));
        let mark = format!("{}={}", environment::RUN, scratch.path().display());
        let (said, ended) = std::thread::scope(|scope| {
            // The supervisor ends with this thread, so no other may start it.
            let (process, ends) = Process::start(&plan, &scratch.path().join("plan.json"), mark)?;
            let Ends { input, output, error } = ends;
            let mut watched = Watched { process, over };
            let not_ready = |e: std::io::Error| Failure::internal(format!("a pipe cannot be used: {e}"));
            let input = Pipe::new(input, over).map_err(not_ready)?;
            let output = Output::new(Pipe::new(output, over).map_err(not_ready)?, self.work.limits.output);
            let error = Pipe::new(error, over).map_err(not_ready)?;
            let progress = &self.context.progress;
            let said = scope.spawn(move || Said::read(error, |status| progress.set_status(status)));
            let (events, told) = mpsc::channel();
            let (frames, waiting) = mpsc::sync_channel::<DataFrame>(FRAMES);
            let (permit, permits) = mpsc::sync_channel::<()>(FRAMES);
            let from_sender = events.clone();
            scope.spawn(move || {
                let sent = self.send(input, &waiting, &from_sender);
                drop(from_sender.send(Event::Sent(sent)));
            });
            let (expected, folder) = (&expected, scratch.path());
            scope.spawn(move || {
                let mut emit = |frame| {
                    let taken = permit.send(()).is_ok() && events.send(Event::Rows(frame)).is_ok();
                    if taken { Ok(()) } else { Err(Unread::Stopped) }
                };
                let mut output = output;
                let read = read::read(&mut output, expected, folder, &mut emit);
                let failed = read.is_err();
                drop(events.send(Event::Read(read)));
                // What the program writes next must not be what it dies of: that would hide why it was ended.
                while failed && !over.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
            let ended = self.drive(rows, out, frames, &told, &permits, &mut watched);
            drop((told, permits));
            drop(watched);
            let said = said.join().unwrap_or_default();
            Ok::<_, Failure>((said, ended))
        })?;
        self.context.progress.set_log(said.log());
        let (streams, report) = ended.map_err(|failure| self.named(failure))?;
        let told = Told { what: &self.what, program: self.program, limits: &self.work.limits, memory };
        judge(&told, streams, report, &said)?;
        Ok(said.counters)
    }

    fn expected(&self) -> Result<Expected, Failure> {
        let columns = self.program.columns.as_ref();
        let known = produced_schema(self.program, self.role, self.keys).map(|s| s.fields).unwrap_or_default();
        Ok(match (self.program.format, columns) {
            (Format::Tsv, declared) => Expected::Tabs { columns: known, open: declared.is_none() },
            (Format::Jsonl, Some(_)) => Expected::Objects(known),
            (Format::Jsonl, None) if self.role == (Role::Map { reduced: true }) => {
                if self.keys.iter().any(|k| k == LINE) {
                    return Err(Failure::bad_input(format!(
                        "{}: a key called `{LINE}` clashes with the column in which the lines of a map travel: say which columns it writes (--map-columns)",
                        self.what
                    )));
                }
                Expected::Keyed(self.keys.to_vec())
            }
            (Format::Jsonl, None) => Expected::Inferred,
            (Format::Arrow, declared) => Expected::Arrow(declared.cloned()),
        })
    }

    fn plan(&self, found: Found, home: &Path, scratch: &Path) -> Plan {
        let data = self.context.fetch.store.layout.root();
        let mut hidden = command::secrets();
        hidden.extend([data.to_owned()].into_iter().chain(data.parent().map(|p| p.join("coordinator"))));
        hidden.extend(std::fs::canonicalize(data));
        Plan {
            parent: std::process::id(),
            program: found.program,
            words: found.words,
            home: home.to_owned(),
            environment: environment::of(self.context.attempt, self.role, home, scratch),
            limits: self.work.limits.clone(),
            memory: self.work.limits.memory.unwrap_or(self.context.budget.max(LEAST_MEMORY)),
            roots: found.roots,
            hidden,
            report: scratch.join("report.json"),
        }
    }

    /// Encodes frames and writes them to the program, until there are no more.
    fn send(
        &self,
        mut input: impl Write,
        waiting: &mpsc::Receiver<DataFrame>,
        events: &mpsc::Sender<Event>,
    ) -> Result<(), Unsent> {
        let keys = (self.role == Role::Reduce).then_some(self.keys);
        let mut encoder = Encoder::new(self.program.format, &self.what, keys);
        // Whatever the error, the program does not read on, or nobody wants it to.
        let mut write = |bytes: &[u8]| input.write_all(bytes).map_err(|_| Unsent::Closed);
        while let Ok(frame) = waiting.recv() {
            drop(events.send(Event::Taken));
            encoder.rows(&frame, &mut write)?;
        }
        encoder.finish(&mut write)
    }

    /// Feeds the program and takes what it writes until both have ended and so has it.
    fn drive(
        &self,
        rows: &mut dyn Iterator<Item = Result<DataFrame, Failure>>,
        out: &mut dyn FnMut(DataFrame) -> Result<(), Failure>,
        frames: mpsc::SyncSender<DataFrame>,
        told: &mpsc::Receiver<Event>,
        permits: &mpsc::Receiver<()>,
        watched: &mut Watched<'_>,
    ) -> Result<(Streams, Report), Failure> {
        let (mut frames, mut room) = (Some(frames), FRAMES);
        let (mut sent, mut read) = (None, None);
        while sent.is_none() || read.is_none() {
            self.context.check()?;
            let event = match (&frames, room) {
                // While there is room for more, what has already happened is looked at without waiting.
                (Some(_), 1..) => told.try_recv().ok(),
                _ => match told.recv_timeout(LOOK) {
                    Ok(event) => Some(event),
                    Err(RecvTimeoutError::Timeout) => {
                        // Its end is the end of whatever held the pipes, unless it was killed: then nobody saw to that.
                        if watched.process.has_ended() {
                            watched.process.report()?;
                        }
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(Failure::internal("a thread of a run ended without a word"));
                    }
                },
            };
            match event {
                Some(Event::Taken) => room += 1,
                Some(Event::Rows(frame)) => {
                    out(frame)?;
                    let _ = permits.recv();
                }
                Some(Event::Sent(how)) => {
                    frames = None;
                    if let Err(Unsent::Failed(failure)) = how {
                        return Err(failure);
                    }
                    sent = Some(how);
                }
                Some(Event::Read(how)) => {
                    let failed = how.is_err();
                    read = Some(how);
                    if failed {
                        break;
                    }
                }
                None => match rows.next().transpose()? {
                    Some(frame) => {
                        // The other side takes no more only once it ended, which it says itself.
                        if frames.as_ref().is_some_and(|f| f.send(frame).is_ok()) {
                            room -= 1;
                        } else {
                            frames = None;
                        }
                    }
                    None => frames = None,
                },
            }
        }
        let streams = Streams { sent: sent.unwrap_or(Ok(())), read: read.unwrap_or(Err(Unread::Stopped)) };
        // A program whose output cannot be used is stopped, but one that is failing by itself may say why.
        let wait_for_itself = streams.read.is_ok() || watched.ends_by_itself();
        while wait_for_itself && !watched.process.has_ended() {
            self.context.check()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        watched.process.stop();
        Ok((streams, watched.process.report()?))
    }

    /// A failure of the run itself, with what it was a run of.
    fn named(&self, failure: Failure) -> Failure {
        match failure {
            Failure::ProgramFailed { message } => {
                Failure::ProgramFailed { message: format!("{}: `{}`: {message}", self.what, self.program.command) }
            }
            other => other,
        }
    }
}

/// A supervised process whose end is the end of the run, however the run ends.
struct Watched<'a> {
    process: Process,
    over: &'a AtomicBool,
}

impl Watched<'_> {
    /// Waits a moment for a program that is about to end.
    fn ends_by_itself(&mut self) -> bool {
        (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(2));
            self.process.has_ended()
        })
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.process.stop();
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Whether all went well; otherwise what to tell, the cause before its consequences.
fn judge(told: &Told<'_>, streams: Streams, report: Report, said: &Said) -> Result<(), Failure> {
    static UNCONFINED: Once = Once::new();
    if !report.confined {
        UNCONFINED.call_once(|| {
            tracing::warn!(
                "this kernel has no Landlock: programs of users can read and write whatever the worker's user can"
            );
        });
    }
    if let End::NotStarted { message, .. } = &report.end {
        return Err(Failure::bad_input(format!("{}: `{}` cannot be run: {message}", told.what, told.program.command)));
    }
    let failed = |why: &str| Err(told.failed(why, said));
    // A program that was stopped because of its output did not end by itself.
    if report.end != End::Stopped
        && let Some(why) = told.end(&report.end)
    {
        return failed(&why);
    }
    match streams.read {
        Ok(()) => {}
        Err(Unread::TooMuch) => return failed(&told.too_much_output()),
        Err(Unread::Bad(why)) => return failed(&format!("wrote what cannot be read: {why}")),
        Err(Unread::Stopped) => return failed("was stopped before it had written everything"),
    }
    if report.end == End::Stopped {
        return failed("was stopped by someone else");
    }
    if let Some(name) = report.still_writing {
        return failed(&format!(
            "ended while a process that it had started (`{name}`) still had its standard output: let it wait for the processes it starts"
        ));
    }
    if streams.sent.is_err() || report.unread > 0 {
        return failed(
            "ended with exit status 0 before it had read all of its input: let it read standard input to its end, even if it needs no more",
        );
    }
    if report.left > 0 {
        tracing::debug!(what = told.what, left = report.left, "processes that a program left behind were killed");
    }
    Ok(())
}
