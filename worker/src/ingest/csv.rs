//! Finds the cells of delimited text: quickly where a record has no quoted cell, by the common grammar where it has.

use memchr::memchr;
use shardmill_common::text::{Defect, Grammar, MAX_RECORD_BYTES, Ragged, split_record};

use super::batch::{Batch, Cell, Oddities, Records, Reject};
use super::marks::Marks;

pub(super) struct CsvRecords<'a> {
    data: &'a [u8],
    grammar: Grammar,
    width: usize,
    /// Of each column asked for, its cell.
    places: Vec<usize>,
    ragged: Ragged,
    /// The text as a whole is not UTF-8: look at each record.
    check_utf8: bool,
    marks: Marks<'a>,
    at: usize,
    odd: Oddities,
}

/// What is read of a record.
pub(super) struct Columns {
    /// Cells of a record.
    pub(super) width: usize,
    /// Of each column asked for, its cell.
    pub(super) places: Vec<usize>,
    pub(super) ragged: Ragged,
}

/// Where a record ends, before and behind its newline.
struct End {
    content: usize,
    next: usize,
    defect: Option<Defect>,
}

impl<'a> CsvRecords<'a> {
    pub(super) fn new(data: &'a [u8], grammar: Grammar, columns: Columns, check_utf8: bool) -> Self {
        let marks = Marks::new(data, [b'\n', grammar.delimiter, grammar.quote.unwrap_or(b'\n')]);
        let Columns { width, places, ragged } = columns;
        Self { data, grammar, width, places, ragged, check_utf8, marks, at: 0, odd: Oddities::default() }
    }

    /// Appends the cells of the record that starts at `self.at`.
    #[inline(always)]
    fn record(&mut self, cells: &mut Vec<Cell>) -> End {
        let first_cell = cells.len();
        let mut start = self.at;
        while let Some(place) = self.marks.next() {
            let byte = self.data.get(place).copied().unwrap_or(b'\n');
            if byte == self.grammar.delimiter {
                cells.push(Cell::plain(start, place));
                start = place + 1;
            } else if byte == b'\n' {
                let content = match place.checked_sub(1) {
                    Some(before) if before >= start && self.data.get(before) == Some(&b'\r') => before,
                    _ => place,
                };
                cells.push(Cell::plain(start, content));
                return End { content, next: place + 1, defect: None };
            } else if place == start {
                cells.truncate(first_cell);
                return self.quoted_record(cells);
            }
            // A quote inside an unquoted cell is a character like any other.
        }
        let content = self.data.len();
        cells.push(Cell::plain(start, content));
        End { content, next: content, defect: None }
    }

    fn quoted_record(&mut self, cells: &mut Vec<Cell>) -> End {
        let found = split_record(self.data, self.at, self.grammar, MAX_RECORD_BYTES, true, |f| {
            cells.push(Cell::new(f.start, f.end, f.quoted, f.escaped));
        });
        let end = match found {
            Some(record) => End { content: record.content_end, next: record.end, defect: record.defect },
            None => End { content: self.data.len(), next: self.data.len(), defect: None },
        };
        self.marks.seek(end.next);
        if end.defect.is_none() && self.swallows(cells) {
            self.odd.swallowing.add(self.at as u32);
        }
        end
    }

    /// Whether a cell has lines in it that have as many delimiters as a record: a quote may be missing.
    fn swallows(&self, cells: &[Cell]) -> bool {
        let parts = |line: &[u8]| line.iter().filter(|b| **b == self.grammar.delimiter).count() + 1 == self.width;
        let cells = cells.iter().rev().take(self.width.max(2)).filter(|cell| cell.quoted());
        cells.map(|cell| cell.text(self.data)).filter(|text| self.width > 1 && memchr(b'\n', text).is_some()).any(
            |text| {
                let records = text.split(|b| *b == b'\n').skip(1).filter(|line| parts(line)).count();
                // A comma is soon in a line of prose.
                records > usize::from(self.width < 4)
            },
        )
    }

    /// Brings the record's cells to the number of columns, if that is wanted and loses nothing.
    #[cold]
    fn even_out(&mut self, cells: &mut Vec<Cell>, first_cell: usize) -> bool {
        let found = cells.len() - first_cell;
        if self.ragged == Ragged::Reject {
            return false;
        }
        if found < self.width {
            cells.resize(first_cell + self.width, Cell::MISSING);
            self.odd.filled.add(self.at as u32);
            return true;
        }
        let rest = cells.get(first_cell + self.width..).unwrap_or_default();
        let empty = rest.iter().all(|cell| cell.text(self.data).is_empty());
        if empty {
            cells.truncate(first_cell + self.width);
            self.odd.cut.add(self.at as u32);
        }
        empty
    }

    /// What spoils a record, in words.
    #[cold]
    fn reason(&self, defect: Defect, content: usize) -> String {
        let lines = memchr::memchr_iter(b'\n', self.data.get(self.at..content).unwrap_or_default()).count();
        match (defect, lines) {
            (Defect::TextAfterQuote, 1..) => {
                format!("{}; {} lines are in the record: is a quote missing?", defect.reason(), lines + 1)
            }
            _ => defect.reason().to_owned(),
        }
    }

    /// Which byte of a record is not text.
    #[cold]
    fn bad_byte(&self, end: usize) -> String {
        let record = self.data.get(self.at..end).unwrap_or_default();
        let Some(error) = std::str::from_utf8(record).err() else { return "not valid UTF-8".to_owned() };
        let at = error.valid_up_to();
        let byte = record.get(at).copied().unwrap_or_default();
        let before = String::from_utf8_lossy(record.get(..at).unwrap_or_default()).chars().count();
        format!("not valid UTF-8: byte 0x{byte:02X} behind {before} characters")
    }

    fn is_utf8(&self, end: usize) -> bool {
        !self.check_utf8 || simdutf8::basic::from_utf8(self.data.get(self.at..end).unwrap_or_default()).is_ok()
    }
}

impl Records for CsvRecords<'_> {
    fn width(&self) -> usize {
        self.width
    }

    fn place(&self, index: usize) -> usize {
        self.places.get(index).copied().unwrap_or(index)
    }

    fn oddities(&self) -> Oddities {
        self.odd
    }

    fn fill(&mut self, batch: &mut Batch, rows: usize, rejects: &mut Vec<Reject>) -> bool {
        while batch.starts.len() < rows {
            if self.at >= self.data.len() {
                return false;
            }
            let first_cell = batch.cells.len();
            let end = self.record(&mut batch.cells);
            let found = batch.cells.len() - first_cell;
            let start = self.at as u32;
            let is_blank = end.content == self.at;
            let reason = if is_blank {
                None
            } else if let Some(defect) = end.defect {
                Some(self.reason(defect, end.content))
            } else if !self.is_utf8(end.content) {
                Some(self.bad_byte(end.content))
            } else if found != self.width && !self.even_out(&mut batch.cells, first_cell) {
                let s = if self.width == 1 { "" } else { "s" };
                Some(format!("expected {} field{s}, found {found}", self.width))
            } else {
                batch.starts.push(start);
                self.at = end.next;
                continue;
            };
            batch.cells.truncate(first_cell);
            rejects.extend(reason.map(|reason| Reject { start, reason }));
            self.at = end.next;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records by the common grammar alone: their starts and cells, and the starts of the rejected.
    fn by_grammar(data: &[u8], grammar: Grammar, width: usize) -> (Vec<u32>, Vec<Cell>, Vec<u32>) {
        let (mut at, mut starts, mut cells, mut rejects) = (0, Vec::new(), Vec::new(), Vec::new());
        while at < data.len() {
            let mut fields = Vec::new();
            let record = split_record(data, at, grammar, MAX_RECORD_BYTES, true, |f| {
                fields.push(Cell::new(f.start, f.end, f.quoted, f.escaped));
            })
            .unwrap();
            if record.defect.is_some() || (!record.is_blank() && fields.len() != width) {
                rejects.push(at as u32);
            } else if !record.is_blank() {
                starts.push(at as u32);
                cells.extend(fields);
            }
            at = record.end;
        }
        (starts, cells, rejects)
    }

    #[test]
    fn the_quick_way_agrees_with_the_grammar() {
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..3000 {
            let data: Vec<u8> = (0..random(300)).map(|_| b"aaaa,,,\"\n\r"[random(10)]).collect();
            for quote in [Some(b'"'), None] {
                let grammar = Grammar { delimiter: b',', quote };
                let width = 1 + random(3);
                let (mut batch, mut rejects) = (Batch::default(), Vec::new());
                let columns = Columns { width, places: (0..width).collect(), ragged: Ragged::Reject };
                let mut records = CsvRecords::new(&data, grammar, columns, false);
                let mut rows = 0;
                let mut more = true;
                while more {
                    rows += 1 + random(5);
                    more = records.fill(&mut batch, rows, &mut rejects);
                }
                let rejects = rejects.iter().map(|r| r.start).collect();
                assert_eq!((batch.starts, batch.cells, rejects), by_grammar(&data, grammar, width), "{data:?}");
            }
        }
    }
}
