//! Cuts a text source into chunks that end where a record ends, without looking at cells.
//!
//! Where there is no quote every newline ends a record, so the cutter jumps from quote to quote and asks the record
//! grammar only about the lines that have one. Lines are counted on the way, while the bytes are in the cache.

use std::io::{self, Read};

use memchr::{memchr, memchr_iter, memrchr};

use super::scan::{Grammar, MAX_RECORD_BYTES, next_record};

/// No chunk is longer: offsets into chunks are 31 bits wide.
pub const MAX_CHUNK_BYTES: u64 = 1 << 30;

/// Bytes looked at in one go; they fit the second-level cache.
const STRIDE: usize = 128 << 10;
/// Bytes read at once.
const BLOCK: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum CutError {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("line {line} has no end within 1 GiB: is this a text file?")]
    RecordTooLong { line: u64 },
}

/// A record-aligned piece of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// In the source, from where the cutter was told it began.
    pub offset: u64,
    pub len: u64,
    /// From 1, in the source.
    pub first_line: u64,
    pub lines: u64,
}

/// A piece with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutChunk {
    pub bytes: Vec<u8>,
    pub offset: u64,
    pub first_line: u64,
    pub lines: u64,
}

/// Decides where chunks end; keeps no bytes.
#[derive(Clone, Debug)]
pub struct Cutter {
    grammar: Grammar,
    target: u64,
    max_record: usize,
    /// The chunk under way.
    chunk: Cut,
}

/// How far one call of [`Cutter::advance`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    pub consumed: usize,
    /// The chunk that ends with the consumed bytes.
    pub cut: Option<Cut>,
}

impl Cutter {
    /// Chunks of at least `target` bytes. The data begins at `offset` of the source, in line `first_line` (from 1).
    pub fn new(grammar: Grammar, target: u64, offset: u64, first_line: u64) -> Self {
        let chunk = Cut { offset, len: 0, first_line, lines: 0 };
        Self { grammar, target: target.clamp(1, MAX_CHUNK_BYTES / 2), max_record: MAX_RECORD_BYTES, chunk }
    }

    /// With another bound on quoted fields, for tests.
    #[must_use]
    pub fn with_max_record(mut self, max: usize) -> Self {
        self.max_record = max;
        self
    }

    /// Looks at `data`, which begins where the bytes consumed so far end, up to the end of a chunk or of the last record
    /// whose end is known. `last`: no more data follows.
    pub fn advance(&mut self, data: &[u8], last: bool) -> Advance {
        let mut at = 0;
        while at < data.len() {
            let wanted = usize::try_from(self.target - self.chunk.len.min(self.target)).unwrap_or(usize::MAX);
            let goal = at.saturating_add(wanted.clamp(1, STRIDE)).min(data.len());
            let end = self.boundary(data, at, goal, last);
            if end == at {
                break;
            }
            let passed = data.get(at..end).unwrap_or_default();
            self.chunk.len += passed.len() as u64;
            self.chunk.lines += memchr_iter(b'\n', passed).count() as u64 + u64::from(passed.last() != Some(&b'\n'));
            at = end;
            if self.chunk.len >= self.target {
                return Advance { consumed: at, cut: self.finish() };
            }
        }
        Advance { consumed: at, cut: None }
    }

    /// Ends the chunk under way, if it has any bytes.
    pub fn finish(&mut self) -> Option<Cut> {
        let cut = self.chunk;
        let next = Cut { offset: cut.offset + cut.len, len: 0, first_line: cut.first_line + cut.lines, lines: 0 };
        self.chunk = next;
        (cut.len > 0).then_some(cut)
    }

    /// The first line that is not yet part of a chunk's known records.
    fn line(&self) -> u64 {
        self.chunk.first_line + self.chunk.lines
    }

    /// The first end of a record at or behind `goal`, or the last one known before it.
    fn boundary(&self, data: &[u8], from: usize, goal: usize, last: bool) -> usize {
        let mut at = from;
        while at < goal {
            let window = data.get(at..goal).unwrap_or_default();
            let quote = self.grammar.quote.and_then(|quote| memchr(quote, window));
            let plain = quote.map_or(window, |n| window.get(..n).unwrap_or_default());
            let line = memrchr(b'\n', plain).map_or(at, |n| at + n + 1);
            if line >= goal {
                return line;
            }
            match next_record(data, line, self.grammar, self.max_record, last) {
                Some(record) => at = record.end,
                None => return line,
            }
        }
        at
    }
}

/// The chunks of a source that lies in memory.
pub fn cut_slice(data: &[u8], mut cutter: Cutter) -> Result<Vec<Cut>, CutError> {
    let (mut at, mut cuts) = (0, Vec::new());
    while at < data.len() {
        let line = cutter.line();
        let step = cutter.advance(data.get(at..).unwrap_or_default(), true);
        at += step.consumed;
        let Some(cut) = step.cut.or_else(|| cutter.finish()) else { break };
        if cut.len > MAX_CHUNK_BYTES {
            return Err(CutError::RecordTooLong { line });
        }
        cuts.push(cut);
    }
    Ok(cuts)
}

/// Cuts what a reader yields and hands out each chunk's bytes: for pipes, compressed files and uploads.
pub struct Chunks<R> {
    stream: Stream<R>,
}

impl<R: Read> Chunks<R> {
    pub fn new(reader: R, cutter: Cutter) -> Self {
        Self { stream: Stream::new(reader, cutter, true) }
    }
}

impl<R: Read> Iterator for Chunks<R> {
    type Item = Result<CutChunk, CutError>;

    fn next(&mut self) -> Option<Self::Item> {
        let cut = match self.stream.next_cut()? {
            Ok(cut) => cut,
            Err(e) => return Some(Err(e)),
        };
        let bytes = self.stream.take_chunk();
        Some(Ok(CutChunk { bytes, offset: cut.offset, first_line: cut.first_line, lines: cut.lines }))
    }
}

/// Cuts what a reader yields and tells only where: for files that workers read themselves.
pub struct Offsets<R> {
    stream: Stream<R>,
}

impl<R: Read> Offsets<R> {
    pub fn new(reader: R, cutter: Cutter) -> Self {
        Self { stream: Stream::new(reader, cutter, false) }
    }
}

impl<R: Read> Iterator for Offsets<R> {
    type Item = Result<Cut, CutError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_cut()
    }
}

struct Stream<R> {
    reader: R,
    cutter: Cutter,
    /// Keep the bytes of the chunk under way.
    keep: bool,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that the cutter has consumed.
    consumed: usize,
    /// The reader has no more.
    ended: bool,
    /// Nothing more to hand out.
    done: bool,
}

impl<R: Read> Stream<R> {
    fn new(reader: R, cutter: Cutter, keep: bool) -> Self {
        Self { reader, cutter, keep, buffer: Vec::new(), consumed: 0, ended: false, done: false }
    }

    fn next_cut(&mut self) -> Option<Result<Cut, CutError>> {
        while !self.done {
            let step = self.cutter.advance(self.buffer.get(self.consumed..).unwrap_or_default(), self.ended);
            self.consumed += step.consumed;
            if !self.keep {
                self.buffer.drain(..self.consumed);
                self.consumed = 0;
            }
            let cut = if self.ended { step.cut.or_else(|| self.cutter.finish()) } else { step.cut };
            if let Some(cut) = cut {
                return Some(Ok(cut));
            }
            if self.ended {
                self.done = true;
            } else if let Err(e) = self.fill() {
                self.done = true;
                return Some(Err(e));
            }
        }
        None
    }

    /// Reads a block, or as much again as the record under way already has, so that a long record is not looked at
    /// over and over.
    fn fill(&mut self) -> Result<(), CutError> {
        let pending = self.buffer.len() - self.consumed;
        if pending as u64 > MAX_CHUNK_BYTES {
            return Err(CutError::RecordTooLong { line: self.cutter.line() });
        }
        if self.keep && self.buffer.capacity() == 0 {
            self.buffer.reserve(usize::try_from(self.cutter.target).unwrap_or(0) + 2 * BLOCK);
        }
        let wanted = pending.max(BLOCK);
        self.buffer.reserve(wanted);
        let read = self.reader.by_ref().take(wanted as u64).read_to_end(&mut self.buffer)?;
        self.ended = read < wanted;
        Ok(())
    }

    /// The bytes of the chunk that was just cut.
    fn take_chunk(&mut self) -> Vec<u8> {
        let rest = self.buffer.get(self.consumed..).unwrap_or_default();
        let mut next = Vec::new();
        if !(self.ended && rest.is_empty()) {
            next.reserve(usize::try_from(self.cutter.target).unwrap_or(0).max(rest.len()) + 2 * BLOCK);
            next.extend_from_slice(rest);
        }
        self.buffer.truncate(self.consumed);
        self.consumed = 0;
        std::mem::replace(&mut self.buffer, next)
    }
}

#[cfg(test)]
#[path = "cut_tests.rs"]
mod tests;
