//! Standard output of a program: text cut between lines and parsed piece by piece, or an Arrow stream batch by batch.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use polars::prelude::DataFrame;
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::text::Sampler;

use super::arrow;
use super::encode::LINE;
use crate::frame::polars_type;
use crate::ingest::{Layout, Written, parse_written};

/// Text is parsed in pieces of about this size.
const PIECE: usize = 4 << 20;
/// No line is longer.
const LONGEST_LINE: usize = 64 << 20;
/// What must be read to its end before its columns are known is kept in memory up to here, and then on disk.
const HELD: usize = 16 << 20;
/// Between two looks at how many columns there are.
const SAMPLED: usize = 256 << 10;
const COLUMNS: usize = 1000;
/// Of bytes that are not text, so many are shown.
const SHOWN: usize = 60;

/// What a program is expected to write.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// `open`: the last column takes what is left of a line.
    Tabs {
        columns: Vec<Field>,
        open: bool,
    },
    Objects(Vec<Field>),
    /// The keys of a map's objects, and the lines as they are.
    Keyed(Vec<String>),
    /// Objects whose columns are known at the end.
    Inferred,
    Arrow(Option<Schema>),
}

/// Why reading ended early.
#[derive(Debug)]
pub(super) enum Unread {
    /// What it wrote is not what was expected.
    Bad(String),
    /// More than it may write.
    TooMuch,
    /// Nobody wants the rest.
    Stopped,
}

/// Counts what is read, up to a limit.
pub(super) struct Output<R> {
    input: R,
    left: u64,
}

impl<R: Read> Output<R> {
    pub(super) fn new(input: R, limit: u64) -> Self {
        Self { input, left: limit }
    }

    /// Appends up to `wanted` bytes; fewer only at the end.
    pub(super) fn fill(&mut self, out: &mut Vec<u8>, wanted: usize) -> Result<usize, Unread> {
        let allowed = (wanted as u64).min(self.left.saturating_add(1));
        // The pipe fails only where it is no longer wanted.
        let read = (&mut self.input).take(allowed).read_to_end(out).map_err(|_| Unread::Stopped)?;
        self.left = self.left.checked_sub(read as u64).ok_or(Unread::TooMuch)?;
        Ok(read)
    }
}

pub(super) type Emit<'a> = dyn FnMut(DataFrame) -> Result<(), Unread> + 'a;

/// Reads to the end. Where the columns are known, there is at least one frame, which may have no rows.
pub(super) fn read(
    output: &mut Output<impl Read>,
    expected: &Expected,
    folder: &Path,
    emit: &mut Emit<'_>,
) -> Result<(), Unread> {
    let mut emitted = false;
    let mut emit_some = |frame: DataFrame| {
        if frame.height() == 0 && emitted {
            return Ok(());
        }
        emitted = true;
        emit(frame)
    };
    let layout = match expected {
        Expected::Tabs { columns, open } => Layout::Tabs { columns, open: *open },
        Expected::Objects(columns) => Layout::Objects { columns },
        Expected::Keyed(keys) => Layout::Keyed { keys, line: LINE },
        Expected::Inferred => return infer(output, folder, &mut emit_some),
        Expected::Arrow(columns) => {
            arrow::read(output, columns.as_ref(), &mut emit_some)?;
            return match columns {
                Some(columns) if !emitted => emit(empty(&columns.fields)),
                _ => Ok(()),
            };
        }
    };
    pieces(output, |piece, first_line| emit_some(parse(piece, layout, first_line)?))?;
    if emitted {
        return Ok(());
    }
    let text = |name: &str| Field::new(name, DataType::String);
    emit(match expected {
        Expected::Tabs { columns, .. } | Expected::Objects(columns) => empty(columns),
        _ => {
            let Layout::Keyed { keys, line } = layout else { return Ok(()) };
            empty(&keys.iter().map(String::as_str).chain([line]).map(text).collect::<Vec<_>>())
        }
    })
}

fn empty(columns: &[Field]) -> DataFrame {
    let schema = columns.iter().map(|f| (f.name.as_str().into(), polars_type(f.dtype)));
    DataFrame::empty_with_schema(&polars::prelude::Schema::from_iter(schema))
}

/// Parses a piece of text; the first record that does not fit is the error.
fn parse(piece: Vec<u8>, layout: Layout<'_>, first_line: u64) -> Result<DataFrame, Unread> {
    let parsed = parse_written(piece, &Written { what: "what it wrote", layout, first_line })
        .map_err(|failure| Unread::Bad(failure.to_string()))?;
    match parsed.rejected.first() {
        Some(bad) => Err(Unread::Bad(format!("line {} of its output: {}: {}", bad.line, bad.reason, shown(&bad.raw)))),
        None => Ok(parsed.frame),
    }
}

/// Text for a message, cut short.
fn shown(raw: &str) -> String {
    let cut = raw.char_indices().nth(200).map_or(raw.len(), |(at, _)| at);
    let dots = if cut < raw.len() { "…" } else { "" };
    format!("`{}{dots}`", raw.get(..cut).unwrap_or_default().escape_debug())
}

/// Hands on pieces of whole lines, each with the number of its first.
fn pieces(
    output: &mut Output<impl Read>,
    mut piece: impl FnMut(Vec<u8>, u64) -> Result<(), Unread>,
) -> Result<(), Unread> {
    let mut held = Vec::with_capacity(PIECE);
    let mut first_line = 1;
    loop {
        let wanted = PIECE.saturating_sub(held.len()).max(PIECE / 4);
        let ended = output.fill(&mut held, wanted)? < wanted;
        let cut = if ended { held.len() } else { memchr::memrchr(b'\n', &held).map_or(0, |at| at + 1) };
        if cut == 0 && !ended {
            if held.len() > LONGEST_LINE {
                return Err(Unread::Bad(format!("line {first_line} of its output has no end within 64 MiB")));
            }
            continue;
        }
        let mut rest = Vec::with_capacity(PIECE);
        rest.extend_from_slice(held.get(cut..).unwrap_or_default());
        held.truncate(cut);
        check_text(&held, first_line)?;
        let lines = memchr::memchr_iter(b'\n', &held).count() as u64;
        if !held.is_empty() {
            piece(std::mem::replace(&mut held, rest), first_line)?;
        }
        first_line += lines;
        if ended {
            return Ok(());
        }
    }
}

fn check_text(text: &[u8], first_line: u64) -> Result<(), Unread> {
    let Err(e) = simdutf8::compat::from_utf8(text) else { return Ok(()) };
    let at = e.valid_up_to();
    let before = text.get(..at).unwrap_or_default();
    let line = first_line + memchr::memchr_iter(b'\n', before).count() as u64;
    let start = memchr::memrchr(b'\n', before).map_or(0, |n| n + 1);
    Err(Unread::Bad(format!(
        "line {line} of its output is not text (UTF-8): {}",
        escaped(text.get(start.max(at.saturating_sub(SHOWN / 2))..).unwrap_or_default())
    )))
}

/// Bytes as people can read them, cut short and at the line's end.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let shown = line.get(..SHOWN).unwrap_or(line);
    let dots = if shown.len() < line.len() { "…" } else { "" };
    format!("`{}{dots}`", shown.escape_ascii())
}

/// Objects whose columns are those of all of them: read once for the columns and once more for the rows.
fn infer(output: &mut Output<impl Read>, folder: &Path, emit: &mut Emit<'_>) -> Result<(), Unread> {
    let mut sampler = Sampler::new(std::iter::empty(), &[], None);
    let mut kept = Kept { memory: Vec::new(), file: None, folder };
    pieces(output, |piece, _| {
        let mut at = 0;
        for line in piece.split(|b| *b == b'\n') {
            if let Ok(text) = std::str::from_utf8(line) {
                sampler.observe_json(text);
            }
            at += line.len() + 1;
            if at > SAMPLED {
                at = 0;
                columns(&sampler)?;
            }
        }
        kept.push(piece)
    })?;
    let schema = columns(&sampler)?;
    kept.read(|mut input| {
        pieces(&mut input, |piece, first_line| {
            let frame = parse(piece, Layout::Objects { columns: &schema.fields }, first_line)?;
            match (schema.is_empty(), frame.height()) {
                (false, _) => emit(frame),
                (true, 0) => Ok(()),
                (true, _) => Err(Unread::Bad("the objects it wrote have no keys".into())),
            }
        })
    })
}

fn columns(sampler: &Sampler) -> Result<Schema, Unread> {
    let schema = sampler.schema();
    if schema.len() > COLUMNS {
        return Err(Unread::Bad(format!(
            "the objects it wrote have more than {COLUMNS} different keys; nest those that are data inside one key"
        )));
    }
    Ok(schema)
}

/// Bytes that are read again: in memory, or on disk once they are many.
struct Kept<'a> {
    memory: Vec<u8>,
    file: Option<File>,
    folder: &'a Path,
}

impl Kept<'_> {
    fn push(&mut self, piece: Vec<u8>) -> Result<(), Unread> {
        if self.file.is_none() && self.memory.len() + piece.len() > HELD {
            self.file = Some(tempfile::tempfile_in(self.folder).map_err(|e| not_kept(&e))?);
        }
        let Some(file) = &mut self.file else {
            self.memory.extend_from_slice(&piece);
            return Ok(());
        };
        file.write_all(&self.memory).and_then(|()| file.write_all(&piece)).map_err(|e| not_kept(&e))?;
        self.memory = Vec::new();
        Ok(())
    }

    fn read(self, read: impl FnOnce(Output<Box<dyn Read>>) -> Result<(), Unread>) -> Result<(), Unread> {
        let input: Box<dyn Read> = match self.file {
            Some(mut file) => {
                file.seek(SeekFrom::Start(0)).map_err(|e| not_kept(&e))?;
                Box::new(file)
            }
            None => Box::new(std::io::Cursor::new(self.memory)),
        };
        read(Output::new(input, u64::MAX - 1))
    }
}

fn not_kept(e: &std::io::Error) -> Unread {
    Unread::Bad(format!("what it wrote could not be kept on disk until all of it was there: {e}"))
}
