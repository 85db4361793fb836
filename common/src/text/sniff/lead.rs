//! What comes before the records: comments, titles, the header.

use super::super::style::Comment;
use super::measure::Row;
use super::{MAX_TITLES, is_typed};

/// Lines before the table that are no part of it.
pub struct Lead {
    pub lines: u64,
    pub rows: usize,
}

/// The comments of a text whose records have so many cells, if it has any.
pub fn find_comment(rows: &[Row], width: usize) -> Option<Comment> {
    let first = rows.first()?;
    if first.begins_with("#") {
        let heads = rows.iter().take_while(|r| r.begins_with("#")).count();
        let next = rows.get(heads)?;
        // All of the text begins so: it is data.
        let last = rows.get(heads - 1)?;
        let is_header =
            last.cells.len() == next.cells.len() && width > 1 && !looks_like_names(next, rows.get(heads + 1));
        return match (is_header, heads) {
            (true, 1) => None,
            (true, _) if rows.iter().take(heads - 1).all(|r| r.begins_with("##")) && !last.begins_with("##") => {
                Some(Comment { mark: "##".to_owned(), unless_cells: None })
            }
            (true, _) => Some(Comment { mark: "#".to_owned(), unless_cells: Some(width) }),
            (false, _) => Some(Comment { mark: "#".to_owned(), unless_cells: None }),
        };
    }
    let marked = rows.iter().filter(|r| r.begins_with("#"));
    let odd = marked.clone().filter(|r| r.cells.len() != width).count();
    let whole = marked.count() - odd;
    (odd > 0 && whole == 0 && width > 1).then(|| Comment { mark: "#".to_owned(), unless_cells: Some(width) })
}

/// Titles and the like: records with fewer cells than the table has, before its first.
pub fn find_lead(rows: &[Row], width: usize, header: Option<bool>) -> Option<Lead> {
    if width < 2 {
        return None;
    }
    let first = rows.iter().position(|r| r.cells.len() >= width)?;
    if first == 0 || first > MAX_TITLES {
        return None;
    }
    let table = rows.get(first..).unwrap_or_default();
    let (one, two) = (table.first()?, table.get(1));
    // A header may be one short: the first column, which holds the names of rows, has none.
    let short = rows.first().filter(|r| first == 1 && r.cells.len() + 1 == width && is_names(r));
    if short.is_some() && header != Some(false) && !looks_like_names(one, two) {
        return None;
    }
    // Without a second record there is nothing to tell a title from a short record.
    two?;
    Some(Lead { lines: one.line, rows: first })
}

/// Whether the first record names the columns.
pub fn find_header(rows: &[Row]) -> bool {
    let Some(first) = rows.first() else { return true };
    let typed: Vec<&String> = first.cells.iter().filter(|cell| is_typed(cell)).collect();
    if typed.is_empty() {
        return true;
    }
    if is_series(&typed) && typed.len() < first.cells.len() {
        return true;
    }
    let body = rows.get(1..).unwrap_or_default();
    // A column of numbers under a word has a header.
    (0..first.cells.len()).any(|column| {
        let text = first.cells.get(column).is_some_and(|cell| !cell.trim().is_empty() && !is_typed(cell));
        let mut cells =
            body.iter().filter_map(|r| r.cells.get(column)).filter(|cell| !cell.trim().is_empty()).peekable();
        text && cells.peek().is_some() && cells.all(|cell| is_typed(cell))
    })
}

/// Whole numbers that name columns: years, or a count from 0 or 1.
fn is_series(cells: &[&String]) -> bool {
    let numbers: Option<Vec<i64>> = cells.iter().map(|cell| cell.trim().parse().ok()).collect();
    let Some(numbers) = numbers.filter(|n| n.len() >= 2) else { return false };
    let rises = numbers.windows(2).all(|pair| matches!(pair, [a, b] if b.checked_sub(*a) == Some(1)));
    let years =
        numbers.iter().all(|n| (1800..2200).contains(n)) && numbers.windows(2).all(|pair| pair.first() < pair.last());
    years || (rises && numbers.len() >= 4 && matches!(numbers.first(), Some(0 | 1)))
}

/// Whether all cells could be names of columns.
fn is_names(row: &Row) -> bool {
    row.defect.is_none() && row.cells.iter().all(|cell| !cell.trim().is_empty() && !is_typed(cell))
}

/// Whether a record could be a header above the next one.
fn looks_like_names(row: &Row, next: Option<&Row>) -> bool {
    let typed_below = next.is_some_and(|next| {
        row.cells
            .iter()
            .zip(&next.cells)
            .any(|(name, cell)| !is_typed(name) && !name.trim().is_empty() && is_typed(cell))
    });
    is_names(row) && (typed_below || next.is_none())
}
