//! Where a row came from, kept as one offset a row and worked out only for rows that are rejected.

use std::sync::{Arc, OnceLock};

use polars::prelude::DataFrame;
use polars_arrow::array::PrimitiveArray;
use shardmill_common::text::{Grammar, MAX_RECORD_BYTES, next_record};

use crate::frame::value_text;

/// Raw text beyond this is cut off.
const MAX_RAW: usize = 4 << 10;
/// Lines are counted up to each multiple of this offset, once.
const STRETCH: usize = 64 << 10;

/// Tells the line and raw text of rows.
#[derive(Clone, Debug)]
pub enum Origins {
    Text {
        source: Arc<SourceText>,
        starts: Vec<u32>,
    },
    /// Rows of a Parquet or Arrow file, the first being row `first_row` (from 0). `rows`: which of `frame` they are, if
    /// not all.
    Rows {
        first_row: u64,
        frame: DataFrame,
        rows: Option<Vec<u32>>,
    },
}

impl Origins {
    /// Of the row that was `row` in the frame as parsed.
    pub fn origin(&self, row: usize) -> (u64, String) {
        match self {
            Origins::Text { source, starts } => match starts.get(row) {
                Some(start) => source.record(*start),
                None => (0, String::new()),
            },
            Origins::Rows { first_row, frame, rows } => {
                let row = rows.as_ref().and_then(|rows| rows.get(row)).map_or(row, |r| *r as usize);
                (first_row + row as u64 + 1, row_text(frame, row))
            }
        }
    }
}

/// A chunk's text, shared with the string columns whose values lie in it.
#[derive(Debug)]
pub struct SourceText {
    bytes: PrimitiveArray<u8>,
    grammar: Grammar,
    first_line: u64,
    /// Newlines before each multiple of [`STRETCH`].
    newlines: OnceLock<Vec<u64>>,
}

impl SourceText {
    pub(super) fn new(bytes: Vec<u8>, grammar: Grammar, first_line: u64) -> Self {
        Self { bytes: PrimitiveArray::from_vec(bytes), grammar, first_line, newlines: OnceLock::new() }
    }

    pub(super) fn array(&self) -> &PrimitiveArray<u8> {
        &self.bytes
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.values().as_slice()
    }

    /// The line and raw text of the record that starts there.
    pub(super) fn record(&self, start: u32) -> (u64, String) {
        let start = start as usize;
        let end =
            next_record(self.bytes(), start, self.grammar, MAX_RECORD_BYTES, true).map_or(start, |r| r.content_end);
        (self.line(start), bounded(self.bytes().get(start..end).unwrap_or_default()))
    }

    fn line(&self, offset: usize) -> u64 {
        let newlines = self.newlines.get_or_init(|| {
            let mut sum = 0;
            let before = |stretch| {
                let before = sum;
                sum += memchr::memchr_iter(b'\n', stretch).count() as u64;
                before
            };
            self.bytes().chunks(STRETCH).map(before).collect()
        });
        let stretch = offset / STRETCH;
        let rest = self.bytes().get(stretch * STRETCH..offset).unwrap_or_default();
        let before = newlines.get(stretch).copied().unwrap_or(0);
        self.first_line + before + memchr::memchr_iter(b'\n', rest).count() as u64
    }
}

/// Text for people: bytes that are not UTF-8 replaced, and cut off with an ellipsis where it is long.
pub(super) fn bounded(raw: &[u8]) -> String {
    let Some(mut head) = raw.get(..MAX_RAW).filter(|_| raw.len() > MAX_RAW) else {
        return String::from_utf8_lossy(raw).into_owned();
    };
    // A character that is cut through is left out: at most three bytes and the lead byte before them.
    if let Some(next) = raw.get(MAX_RAW)
        && next & 0xc0 == 0x80
    {
        let lead = head.iter().rposition(|b| b & 0xc0 != 0x80).unwrap_or(0);
        head = head.get(..lead).unwrap_or_default();
    }
    format!("{}…", String::from_utf8_lossy(head))
}

/// `a=1, b=x`: a row that never was text.
pub(super) fn row_text(frame: &DataFrame, row: usize) -> String {
    let cells = frame.columns().iter().map(|c| format!("{}={}", c.name(), value_text(c, row)));
    bounded(cells.collect::<Vec<_>>().join(", ").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_text_is_cut_at_a_character() {
        assert_eq!(bounded(b"short \xff"), "short \u{fffd}");
        let long = "é".repeat(MAX_RAW);
        assert_eq!(bounded(long.as_bytes()), format!("{}…", "é".repeat(MAX_RAW / 2)));
        let odd = format!("x{long}");
        assert_eq!(bounded(odd.as_bytes()), format!("x{}…", "é".repeat(MAX_RAW / 2 - 1)));
    }

    #[test]
    fn lines_are_counted_across_stretches() {
        let text = "x\n".repeat(STRETCH);
        let source = SourceText::new(text.into_bytes(), Grammar::lines(), 10);
        for record in [0, 1, 32_767, 32_768, 65_535] {
            assert_eq!(source.record(record * 2), (10 + u64::from(record), "x".to_owned()));
        }
    }
}
