//! Where rows of a source came from: the line and the text of rows that are known by number only, found by a second reading.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use shardmill_common::kinds::ingest::SourceFormat;
use shardmill_common::text::{Chunks, CutError, Cutter, MAX_RECORD_BYTES, next_record};

use super::error::{SourceError, TakeError};
use super::inspect::{Body, Feed, Inspected};
use super::kind::Packing;
use super::open::{Pulse, Tee, explain};
use super::sample::grammar;
use super::script::{Script, TextReader};
use crate::error::FlowError;

/// Bytes that are looked at together.
const PIECE: u64 = 4 << 20;
/// Text beyond this is cut off.
const MAX_RAW: usize = 4 << 10;

/// A row that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub line: u64,
    /// Its text, where the source is text that can be read again.
    pub raw: Option<String>,
}

/// What must be kept of a source to find its rows again.
#[derive(Clone, Debug)]
pub struct RowFinder {
    name: String,
    format: SourceFormat,
    packing: Packing,
    first_line: u64,
    /// A file of text, and where its data begins in the unpacked bytes. Rows of others are only counted.
    text: Option<(PathBuf, Script, u64)>,
}

impl RowFinder {
    pub fn of(source: &Inspected) -> Self {
        let (first_line, text) = match &source.body {
            Body::Text { feed: Feed::File(path), script, offset, first_line } => {
                (*first_line, Some((path.clone(), script.clone(), *offset)))
            }
            Body::Text { feed: Feed::Once(_) | Feed::Member(_) | Feed::Sheet(_), first_line, .. } => {
                (*first_line, None)
            }
            Body::Columnar { .. } => (1, None),
        };
        let (name, format, packing) = (source.name.clone(), source.format.clone(), source.packing);
        Self { name, format, packing, first_line, text }
    }

    /// The rows with these numbers (from 1, ascending) among the records that were read; `unread` are the lines of the others.
    pub fn find(&self, numbers: &[u64], unread: &HashSet<u64>, pulse: &Pulse) -> Result<Vec<Row>, FlowError> {
        match &self.text {
            Some((path, script, offset)) => self.find_text((path, script, *offset), numbers, unread, pulse),
            None => Ok(counted(self.first_line, numbers, unread)),
        }
    }

    fn find_text(
        &self,
        (path, script, offset): (&std::path::Path, &Script, u64),
        numbers: &[u64],
        unread: &HashSet<u64>,
        pulse: &Pulse,
    ) -> Result<Vec<Row>, FlowError> {
        let broken = |e: io::Error| TakeError::Reread(explain(&self.name, self.packing, e));
        let raw = Tee::new(Box::new(File::open(path).map_err(broken)?), pulse.clone());
        let mut data = TextReader::new(raw, self.packing, script).map_err(broken)?;
        io::copy(&mut data.by_ref().take(offset), &mut io::sink()).map_err(broken)?;
        let grammar = grammar(&self.name, &self.format)?;
        let cutter = Cutter::new(grammar, PIECE, offset, self.first_line);
        let mut wanted = numbers.iter().copied().peekable();
        let mut found = Vec::with_capacity(numbers.len());
        let mut number = 0;
        for chunk in Chunks::new(&mut data, cutter) {
            let chunk = chunk.map_err(|e| match e {
                CutError::Read(e) => broken(e),
                error => TakeError::Reread(SourceError::Record { name: self.name.clone(), error }),
            })?;
            let (mut at, mut line) = (0, chunk.first_line);
            while at < chunk.bytes.len() {
                let Some(record) = next_record(&chunk.bytes, at, grammar, MAX_RECORD_BYTES, true) else { break };
                let content = chunk.bytes.get(record.start..record.content_end).unwrap_or_default();
                if !self.is_blank(content) && !unread.contains(&line) {
                    number += 1;
                    if wanted.next_if_eq(&number).is_some() {
                        found.push(Row { line, raw: Some(bounded(content)) });
                    }
                }
                let lines = chunk.bytes.get(at..record.end).unwrap_or_default().iter().filter(|b| **b == b'\n').count();
                line += lines as u64;
                at = record.end;
            }
            if wanted.peek().is_none() {
                return Ok(found);
            }
        }
        Err(TakeError::Changed { name: self.name.clone() }.into())
    }

    /// What a reader leaves out without a word.
    fn is_blank(&self, content: &[u8]) -> bool {
        match self.format {
            SourceFormat::Lines { .. } => false,
            SourceFormat::JsonLines => content.trim_ascii().is_empty(),
            _ => content.is_empty(),
        }
    }
}

/// Rows of files with a footer have the numbers of their rows; those of a stream are taken to be of one line each.
fn counted(first_line: u64, numbers: &[u64], unread: &HashSet<u64>) -> Vec<Row> {
    let mut unread: Vec<u64> = unread.iter().copied().collect();
    unread.sort_unstable();
    let mut passed = unread.into_iter().peekable();
    let mut skipped = 0;
    let line = |number: &u64| {
        let mut line = first_line + number.saturating_sub(1) + skipped;
        while passed.next_if(|u| *u <= line).is_some() {
            skipped += 1;
            line += 1;
        }
        Row { line, raw: None }
    };
    numbers.iter().map(line).collect()
}

fn bounded(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw.get(..MAX_RAW).unwrap_or(raw));
    if raw.len() > MAX_RAW { format!("{}…", text.trim_end_matches('\u{fffd}')) } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::expand::{Found, Origin};
    use super::super::inspect::inspect;
    use super::super::options::ReadOptions;
    use super::*;

    fn finder(name: &str, content: &[u8]) -> (tempfile::TempDir, RowFinder) {
        let options = ReadOptions::default();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let found = Found::new(name.to_owned(), Origin::File(path));
        let finder = RowFinder::of(&inspect(found, &options, &Pulse::default()).unwrap());
        (dir, finder)
    }

    fn found(finder: &RowFinder, numbers: &[u64], unread: &[u64]) -> Vec<(u64, String)> {
        let rows = finder.find(numbers, &unread.iter().copied().collect(), &Pulse::default()).unwrap();
        rows.into_iter().map(|r| (r.line, r.raw.unwrap_or_default())).collect()
    }

    fn row(line: u64, raw: &str) -> (u64, String) {
        (line, raw.to_owned())
    }

    #[test]
    fn lines_are_counted_past_blanks_breaks_and_rows_that_were_not_read() {
        let text = b"a,b\n1,x\n\n2,\"two\nlines\"\nbad\n3,y\r\n4,z";
        let (_dir, finder) = finder("a.csv", text);
        assert_eq!(found(&finder, &[1, 2], &[6]), [row(2, "1,x"), row(4, "2,\"two\nlines\"")]);
        assert_eq!(found(&finder, &[3, 4], &[6]), [row(7, "3,y"), row(8, "4,z")]);
        assert!(finder.find(&[5], &HashSet::from([6]), &Pulse::default()).is_err());
    }

    #[test]
    fn packed_text_and_json_lines_are_read_too() {
        let packed = zstd::encode_all(&b"{\"a\":1}\n  \n{\"a\":2}\n"[..], 1).unwrap();
        let (_dir, finder) = finder("a.jsonl.zst", &packed);
        assert_eq!(found(&finder, &[2], &[]), [row(3, "{\"a\":2}")]);
    }

    #[test]
    fn what_cannot_be_read_again_is_counted() {
        let lines = |numbers: &[u64], unread: &[u64]| -> Vec<u64> {
            counted(2, numbers, &unread.iter().copied().collect()).into_iter().map(|r| r.line).collect()
        };
        assert_eq!(lines(&[1, 2, 5], &[]), [2, 3, 6]);
        assert_eq!(lines(&[1, 2, 3], &[2, 4, 5]), [3, 6, 7]);
    }
}
