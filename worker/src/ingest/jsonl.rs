//! Finds the cells of JSON lines: the values of each line's object, by key.

use std::collections::{HashMap, HashSet};

use shardmill_common::kinds::ingest::Wanted;
use shardmill_common::text::{Grammar, Kind, MAX_RECORD_BYTES, members, next_record, unescape_json};

use super::batch::{Batch, Cell, Records, Reject};
use super::line_fault::LineFault;

/// Keys that the schema lacks are collected up to here; objects used as maps would make columns without end.
pub(super) const MAX_NEW_COLUMNS: usize = 1000;

pub(super) struct JsonRecords<'a> {
    data: &'a [u8],
    columns: HashMap<String, usize>,
    names: Vec<String>,
    /// A key that is not a column rejects its row, rather than making a column.
    fixed: bool,
    /// Keys that are passed over.
    wanted: Option<&'a Wanted>,
    new_columns: Vec<String>,
    new_keys: HashSet<String>,
    at: usize,
    /// By column: the number of the last row that had it.
    seen: Vec<u64>,
    row: u64,
}

impl<'a> JsonRecords<'a> {
    pub(super) fn new(data: &'a [u8], names: Vec<String>, fixed: bool, wanted: Option<&'a Wanted>) -> Self {
        let columns = names.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect();
        let seen = vec![0; names.len()];
        Self {
            data,
            columns,
            names,
            fixed,
            wanted,
            new_columns: Vec::new(),
            new_keys: HashSet::new(),
            at: 0,
            seen,
            row: 0,
        }
    }

    /// Writes the values of the line's members to `cells`; the reason where it makes no row.
    fn record(&mut self, line: &str, start: usize, cells: &mut [Cell]) -> Result<(), LineFault> {
        self.row += 1;
        let mut fault = None;
        let mut expected = 0;
        let walked = members(line, |m| {
            if fault.is_some() {
                return;
            }
            let unescaped;
            let key = if m.key_escaped {
                match unescape_json(m.key) {
                    Some(key) => {
                        unescaped = key;
                        unescaped.as_str()
                    }
                    None => {
                        fault = Some(LineFault::KeySurrogate { key: m.key.to_owned() });
                        return;
                    }
                }
            } else {
                m.key
            };
            // Lines of one file mostly have their keys in one order.
            let column = match self.names.get(expected) {
                Some(name) if name == key => Some(expected),
                _ => self.columns.get(key).copied(),
            };
            let Some(column) = column else {
                if self.wanted.is_some_and(|wanted| !wanted.takes(key)) {
                    return;
                }
                if self.fixed {
                    fault = Some(LineFault::NotAColumn { key: key.to_owned() });
                } else if self.new_columns.len() <= MAX_NEW_COLUMNS && self.new_keys.insert(key.to_owned()) {
                    self.new_columns.push(key.to_owned());
                }
                return;
            };
            expected = column + 1;
            let Some((seen, cell)) = self.seen.get_mut(column).zip(cells.get_mut(column)) else { return };
            if std::mem::replace(seen, self.row) == self.row {
                fault = Some(LineFault::Twice { key: key.to_owned() });
                return;
            }
            let (from, to) = (start + m.start, start + m.end);
            *cell = match m.kind {
                Kind::Null => Cell::MISSING,
                Kind::Literal | Kind::Nested => Cell::plain(from, to),
                Kind::Text { escaped } => {
                    if escaped && line.get(m.start..m.end).and_then(unescape_json).is_none() {
                        fault = Some(LineFault::ValueSurrogate { key: key.to_owned() });
                    }
                    Cell::new(from, to, true, escaped)
                }
            };
        });
        match (walked, fault) {
            (Err(fault), _) => Err(fault.into()),
            (Ok(()), Some(fault)) => Err(fault),
            (Ok(()), None) => Ok(()),
        }
    }
}

impl Records for JsonRecords<'_> {
    fn width(&self) -> usize {
        self.names.len()
    }

    fn fill(&mut self, batch: &mut Batch, rows: usize, rejects: &mut Vec<Reject>) -> bool {
        let data = self.data;
        while batch.starts.len() < rows {
            let Some(record) =
                next_record(data, self.at, Grammar::lines(), MAX_RECORD_BYTES, true).filter(|r| r.end > r.start)
            else {
                return false;
            };
            self.at = record.end;
            let start = record.start as u32;
            let bytes = data.get(record.start..record.content_end).unwrap_or_default();
            let Ok(line) = simdutf8::basic::from_utf8(bytes) else {
                rejects.push(Reject { start, reason: "not valid UTF-8".to_owned() });
                continue;
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let first_cell = batch.cells.len();
            batch.cells.resize(first_cell + self.names.len(), Cell::MISSING);
            let cells = batch.cells.get_mut(first_cell..).unwrap_or_default();
            match self.record(line, record.start, cells) {
                Ok(()) => batch.starts.push(start),
                Err(fault) => {
                    batch.cells.truncate(first_cell);
                    rejects.push(Reject { start, reason: fault.to_string() });
                }
            }
        }
        true
    }

    fn take_new_columns(&mut self) -> Vec<String> {
        std::mem::take(&mut self.new_columns)
    }
}
