//! What comes before the records: comments and titles.

use super::super::style::Comment;
use super::MAX_TITLES;
use super::kinds::Kind;
use super::measure::Row;

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
        // All of the text begins so: it is data.
        let next = rows.get(heads)?;
        let last = rows.get(heads - 1)?;
        let is_header =
            last.cells.len() == next.cells.len() && !is_names(next, rows.get(heads + 1)) && (width > 1 || heads == 1);
        let comment = |mark: &str, unless_cells| Some(Comment { mark: mark.to_owned(), unless_cells });
        return match (is_header, heads) {
            (true, 1) => None,
            (true, _) if rows.iter().take(heads - 1).all(|r| r.begins_with("##")) && !last.begins_with("##") => {
                comment("##", None)
            }
            (true, _) => comment("#", Some(width)),
            (false, _) => comment("#", None),
        };
    }
    // Amid records a line is a comment if nothing parts it, and no record begins as it does.
    let marked: Vec<&Row> = rows.iter().filter(|r| r.begins_with("#")).collect();
    let alone = marked.iter().all(|r| r.cells.len() == 1);
    (width > 1 && alone && !marked.is_empty()).then(|| Comment { mark: "#".to_owned(), unless_cells: Some(width) })
}

/// Titles and the like before the first record of the table.
pub fn find_lead(rows: &[Row], width: usize, header: Option<bool>) -> Option<Lead> {
    if width < 2 {
        return None;
    }
    // Spreadsheets fill a line of a title with empty cells.
    let cells = |row: &Row| row.cells.iter().rposition(|cell| !cell.trim().is_empty()).map_or(0, |last| last + 1);
    let is_title = |row: &&Row| row.cells.len() < width || (width > 2 && cells(row) <= 1);
    let first = rows.iter().take_while(is_title).count();
    if first == 0 || first > MAX_TITLES {
        return None;
    }
    let (lead, table) = rows.split_at_checked(first)?;
    // Without a second record there is nothing to tell a title from a short record.
    let (one, two) = (table.first()?, table.get(1)?);
    let widths: Vec<usize> = lead.iter().map(cells).collect();
    // What has several cells, and as many in every line, is a table of its own, or the header of one whose records are longer.
    let is_table = widths.iter().min().is_some_and(|least| *least > 1)
        || widths.windows(2).any(|w| matches!(w, [a, b] if a == b && *a > 1));
    if is_table {
        return None;
    }
    // Nothing but the place tells a title from the one name of a column whose texts have the delimiter in them.
    let parted = one.line > lead.last()?.line + 1 || lead.len() > 1;
    let padded = lead.iter().any(|row| row.cells.len() > 1);
    if width == 2 && !parted && !padded && header != Some(false) && !is_names(one, Some(two)) {
        return None;
    }
    Some(Lead { lines: one.line, rows: first })
}

/// Whether the header names one column less than the records have cells, as R writes it: the first cells are names of rows, each
/// another, and the header stands above what is no text.
pub fn is_short_header(rows: &[Row], width: usize) -> bool {
    let Some((header, body)) = rows.split_first() else { return false };
    if header.cells.len() < 2 || header.cells.len() + 1 != width || body.iter().any(|r| r.cells.len() != width) {
        return false;
    }
    let column = |at: usize| body.iter().filter_map(move |r| r.cells.get(at));
    let mut names: Vec<&String> = column(0).collect();
    names.sort_unstable();
    let unique = names.windows(2).all(|pair| pair.first() != pair.last());
    let last = column(width - 1).filter(|cell| !cell.trim().is_empty());
    let words = last.clone().any(|cell| cell.starts_with(' ') || Kind::of(cell) == Kind::Text);
    let quoted = body.iter().all(|r| r.quoted.first() == Some(&true));
    last.clone().next().is_some() && unique && !names.iter().any(|name| name.trim().is_empty()) && (quoted || !words)
}

/// Whether a record could be a header above the next one.
fn is_names(row: &Row, next: Option<&Row>) -> bool {
    let kinds: Vec<Kind> = row.cells.iter().map(|cell| Kind::of(cell)).collect();
    let words = row.defect.is_none() && kinds.iter().all(|kind| *kind == Kind::Text);
    let above =
        |next: &Row| kinds.iter().zip(&next.cells).any(|(kind, cell)| *kind == Kind::Text && Kind::of(cell).is_value());
    words && next.is_none_or(above)
}
