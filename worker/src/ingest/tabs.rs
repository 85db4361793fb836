//! Lines that a program wrote: cells between tabs, or objects of which only the keys are looked at.

use shardmill_common::text::{Kind, members, unescape_json};

use super::batch::{Batch, Cell, Records, Reject};
use super::line_fault::LineFault;

/// Cells between tabs, nothing quoted and no line left out.
pub(super) struct TabRecords<'a> {
    data: &'a [u8],
    width: usize,
    /// The last column takes all that is left of the line, or nothing where there is none.
    open: bool,
    at: usize,
}

impl<'a> TabRecords<'a> {
    pub(super) fn new(data: &'a [u8], width: usize, open: bool) -> Self {
        Self { data, width, open, at: 0 }
    }
}

/// Where the line that starts at `at` ends, and where the next starts.
fn line_end(data: &[u8], at: usize) -> (usize, usize) {
    match memchr::memchr(b'\n', data.get(at..).unwrap_or_default()) {
        Some(n) => (at + n, at + n + 1),
        None => (data.len(), data.len()),
    }
}

impl Records for TabRecords<'_> {
    fn width(&self) -> usize {
        self.width
    }

    fn fill(&mut self, batch: &mut Batch, rows: usize, rejects: &mut Vec<Reject>) -> bool {
        while batch.starts.len() < rows {
            if self.at >= self.data.len() {
                return false;
            }
            let (start, (end, next)) = (self.at, line_end(self.data, self.at));
            self.at = next;
            let first_cell = batch.cells.len();
            let (mut from, mut found) = (start, 1);
            for tab in memchr::memchr_iter(b'\t', self.data.get(start..end).unwrap_or_default()) {
                if found == self.width {
                    if !self.open {
                        found += 1;
                    }
                    break;
                }
                batch.cells.push(Cell::plain(from, start + tab));
                from = start + tab + 1;
                found += 1;
            }
            if found <= self.width {
                batch.cells.push(Cell::plain(from, end));
            }
            if self.open && found < self.width {
                batch.cells.resize(first_cell + self.width, Cell::MISSING);
                found = self.width;
            }
            if found == self.width {
                batch.starts.push(start as u32);
                continue;
            }
            batch.cells.truncate(first_cell);
            let cells = self.data.get(start..end).map_or(0, |l| memchr::memchr_iter(b'\t', l).count()) + 1;
            let s = if self.width == 1 { "" } else { "s" };
            let reason = format!("expected {} cell{s} with tabs between them, found {cells}", self.width);
            rejects.push(Reject { start: start as u32, reason });
        }
        true
    }
}

/// JSON objects as the values of some of their keys and, as the last cell, the line itself.
pub(super) struct KeyedRecords<'a> {
    data: &'a [u8],
    keys: &'a [String],
    at: usize,
}

impl<'a> KeyedRecords<'a> {
    pub(super) fn new(data: &'a [u8], keys: &'a [String]) -> Self {
        Self { data, keys, at: 0 }
    }

    fn record(&self, start: usize, end: usize, cells: &mut [Cell]) -> Result<(), LineFault> {
        let line = self.data.get(start..end).unwrap_or_default();
        let line = simdutf8::basic::from_utf8(line).map_err(|_| LineFault::NotUtf8)?;
        let mut fault = None;
        members(line, |m| {
            let unescaped = if m.key_escaped { unescape_json(m.key) } else { None };
            let key = unescaped.as_deref().unwrap_or(m.key);
            let Some(cell) = self.keys.iter().position(|k| k == key).and_then(|n| cells.get_mut(n)) else { return };
            let (from, to) = (start + m.start, start + m.end);
            *cell = match m.kind {
                Kind::Null => Cell::MISSING,
                Kind::Literal => Cell::plain(from, to),
                Kind::Nested => {
                    fault = Some(LineFault::NestedKey { key: key.to_owned() });
                    return;
                }
                Kind::Text { escaped } => {
                    if escaped && line.get(m.start..m.end).and_then(unescape_json).is_none() {
                        fault = Some(LineFault::ValueSurrogate { key: key.to_owned() });
                    }
                    Cell::new(from, to, true, escaped)
                }
            };
        })?;
        if let Some(last) = cells.last_mut() {
            *last = Cell::plain(start, end);
        }
        fault.map_or(Ok(()), Err)
    }
}

impl Records for KeyedRecords<'_> {
    fn width(&self) -> usize {
        self.keys.len() + 1
    }

    fn fill(&mut self, batch: &mut Batch, rows: usize, rejects: &mut Vec<Reject>) -> bool {
        while batch.starts.len() < rows {
            if self.at >= self.data.len() {
                return false;
            }
            let (start, (end, next)) = (self.at, line_end(self.data, self.at));
            self.at = next;
            if self.data.get(start..end).is_some_and(|l| l.trim_ascii().is_empty()) {
                continue;
            }
            let first_cell = batch.cells.len();
            batch.cells.resize(first_cell + self.width(), Cell::MISSING);
            match self.record(start, end, batch.cells.get_mut(first_cell..).unwrap_or_default()) {
                Ok(()) => batch.starts.push(start as u32),
                Err(fault) => {
                    batch.cells.truncate(first_cell);
                    rejects.push(Reject { start: start as u32, reason: fault.to_string() });
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tabs(text: &str, width: usize, open: bool) -> (Vec<Vec<String>>, Vec<String>) {
        let (mut rows, mut rejects) = (Vec::new(), Vec::new());
        let mut records = TabRecords::new(text.as_bytes(), width, open);
        let mut more = true;
        while more {
            let mut batch = Batch::default();
            more = records.fill(&mut batch, 2, &mut rejects);
            assert_eq!(batch.cells.len(), batch.starts.len() * width);
            let cell = |c: &Cell| String::from_utf8(c.text(text.as_bytes()).to_vec()).unwrap();
            rows.extend(batch.cells.chunks(width).map(|r| r.iter().map(cell).collect::<Vec<_>>()));
        }
        (rows, rejects.into_iter().map(|r| format!("{}: {}", r.start, r.reason)).collect())
    }

    #[test]
    fn a_line_is_as_many_cells_as_there_are_columns() {
        let (rows, rejects) = tabs("a\tb\n\t\n\na\nb\tc\td\nx\ty\r", 2, false);
        assert_eq!(rows, [["a", "b"], ["", ""], ["x", "y\r"]]);
        let expected = "expected 2 cells with tabs between them, found";
        assert_eq!(rejects, [format!("6: {expected} 1"), format!("7: {expected} 1"), format!("9: {expected} 3")]);
        let (rows, rejects) = tabs("a\n\nb\tc\n", 1, false);
        assert_eq!((rows, rejects.len()), (vec![vec!["a".to_owned()], vec![String::new()]], 1));
    }

    #[test]
    fn the_last_column_may_take_the_rest() {
        let (rows, rejects) = tabs("k\tv\tw\nalone\n\n\tv\nk\t", 2, true);
        assert_eq!(rows, [["k", "v\tw"], ["alone", ""], ["", ""], ["", "v"], ["k", ""]]);
        assert_eq!(rejects, [] as [String; 0]);
    }

    #[test]
    fn objects_keep_their_line() {
        let keys = ["k".to_owned(), "é".to_owned()];
        let text = "{\"x\":[1],\"k\":1.0,\"\\u00e9\":\"a\\nb\"}\n\n{\"k\":null}\n[1]\n{\"k\":{}}\n {\"é\":\"\"}";
        let mut records = KeyedRecords::new(text.as_bytes(), &keys);
        let (mut batch, mut rejects) = (Batch::default(), Vec::new());
        assert!(!records.fill(&mut batch, 100, &mut rejects));
        let cells: Vec<&str> =
            batch.cells.iter().map(|c| std::str::from_utf8(c.text(text.as_bytes())).unwrap()).collect();
        let first = text.lines().next().unwrap();
        assert_eq!(cells, ["1.0", "a\\nb", first, "", "", "{\"k\":null}", "", "", " {\"é\":\"\"}"]);
        let reasons: Vec<&str> = rejects.iter().map(|r| r.reason.as_str()).collect();
        let nested = "the key `k` holds a list or an object, by which rows cannot be grouped";
        assert_eq!(reasons, ["not a JSON object", nested]);
    }
}
