//! A few thousand records as the places of their cells, small enough to stay in the cache while the columns are made.

/// The place of one cell in the text: 31 bits each for start and end, and two flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    start: u32,
    end: u32,
}

const FLAG: u32 = 1 << 31;
/// Texts up to this length can be addressed.
pub(super) const MAX_TEXT: usize = FLAG as usize - 1;

impl Cell {
    /// No cell: an empty one without quotes is null.
    pub(super) const MISSING: Cell = Cell { start: 0, end: 0 };

    #[inline(always)]
    pub(super) fn plain(start: usize, end: usize) -> Self {
        Cell { start: start as u32, end: end as u32 }
    }

    /// `quoted`: a CSV cell in quotes, or a JSON string. `escaped`: its text is not its value.
    #[inline(always)]
    pub(super) fn new(start: usize, end: usize, quoted: bool, escaped: bool) -> Self {
        Cell { start: start as u32 | if quoted { FLAG } else { 0 }, end: end as u32 | if escaped { FLAG } else { 0 } }
    }

    #[inline(always)]
    pub(super) fn quoted(self) -> bool {
        self.start & FLAG != 0
    }

    #[inline(always)]
    pub(super) fn escaped(self) -> bool {
        self.end & FLAG != 0
    }

    #[inline(always)]
    pub(super) fn start(self) -> u32 {
        self.start & !FLAG
    }

    #[inline(always)]
    pub(super) fn text(self, data: &[u8]) -> &[u8] {
        data.get(self.start() as usize..(self.end & !FLAG) as usize).unwrap_or_default()
    }
}

/// Cells of whole records, record by record.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) cells: Vec<Cell>,
    /// Where each record starts.
    pub(super) starts: Vec<u32>,
}

/// A record that makes no row.
#[derive(Debug)]
pub(super) struct Reject {
    pub(super) start: u32,
    pub(super) reason: String,
}

/// How many records there were of a kind, and where the first starts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) records: u64,
    pub(super) first: u32,
}

impl Seen {
    pub(super) fn add(&mut self, start: u32) {
        if self.records == 0 {
            self.first = start;
        }
        self.records += 1;
    }
}

/// See [`shardmill_common::kinds::ingest::ParseResult`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Oddities {
    pub(super) filled: Seen,
    pub(super) cut: Seen,
    pub(super) swallowing: Seen,
}

/// Finds the cells of a text's records.
pub(super) trait Records {
    /// Cells in a record.
    fn width(&self) -> usize;

    /// Appends up to `rows` records to the batch and those that make no row to `rejects`; false at the end of the text.
    fn fill(&mut self, batch: &mut Batch, rows: usize, rejects: &mut Vec<Reject>) -> bool;

    /// Which cell of a record the column asked for at `index` is.
    fn place(&self, index: usize) -> usize {
        index
    }

    /// Columns to read besides those asked for, found on the way.
    fn take_new_columns(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Records that were read although something is odd about them.
    fn oddities(&self) -> Oddities {
        Oddities::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_do_not_touch_the_place() {
        let data = b"0123456789";
        for (quoted, escaped) in [(false, false), (true, false), (true, true)] {
            let cell = Cell::new(3, 5, quoted, escaped);
            assert_eq!(
                (cell.text(data), cell.quoted(), cell.escaped(), cell.start()),
                (&b"34"[..], quoted, escaped, 3)
            );
        }
    }
}
