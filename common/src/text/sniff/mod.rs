//! How a delimited text is written, found out from its first records where nobody said.
//!
//! Whatever is found is told to whoever asked for the reading, and every part of it can be given instead. A text that can be read
//! in the usual style is: another style must explain the records better.

mod header;
mod kinds;
mod lead;
mod measure;

use super::style::{Comment, Delimiter, Style};
use header::find_header;
use lead::{find_comment, find_lead, is_short_header};
use measure::{Row, best, rows};

/// Text that is looked at, and of lines so long that only a few would be in it.
const SAMPLE: usize = 64 << 10;
const WIDE_SAMPLE: usize = 1 << 20;
const FEW_LINES: usize = 8;
/// Lines before the first record that are recognised as titles.
const MAX_TITLES: usize = 30;

/// What was said of a text's writing. What is `None` is found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub delimiter: Option<Delimiter>,
    /// `Some(None)`: quotes are ordinary characters.
    pub quote: Option<Option<u8>>,
    /// `Some(None)`: quotes are doubled, and nothing else is special.
    pub escape: Option<Option<u8>>,
    /// `Some(None)`: every line is a record.
    pub comment: Option<Option<String>>,
    pub trim: Option<bool>,
    pub header: Option<bool>,
    /// Lines before the header, or before the data where there is none.
    pub skip_lines: Option<u64>,
    /// Tabs are the usual delimiter here.
    pub tabs: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sniffed {
    pub style: Style,
    /// Lines before the header, or before the data where there is none.
    pub skip_lines: u64,
    /// These lines are there, and nobody said so: titles.
    pub titles: bool,
    pub header: bool,
    /// Cells of most records behind the header, and which of them are always empty; `None` where there are none.
    pub body: Option<BodyShape>,
    /// The text becomes one column, although it looks as if this parted cells.
    pub unparted: Option<Delimiter>,
    /// The header has one name less than the records have cells, as R writes it.
    pub short_header: bool,
    /// Cells are parted by runs of blanks, and not each by one, as was told.
    pub in_runs: bool,
}

/// The records behind the header, as far as they were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyShape {
    pub width: usize,
    /// By column: no record of that width has anything there.
    pub empty: Vec<bool>,
}

/// Looks at `text`, the start of a text without its byte order mark; `last` says that it is all of it.
pub fn sniff(text: &[u8], last: bool, told: &Told) -> Sniffed {
    let mut told = told.clone();
    if let (None, Some(delimiter)) = (told.skip_lines, separator_line(text)) {
        told.delimiter.get_or_insert(delimiter);
        told.skip_lines = Some(1);
    }
    let skip = told.skip_lines.unwrap_or(0);
    let rest = text.get(skip_of(text, skip, has_returns(text))..).unwrap_or_default();
    let (sample, last) = sample_of(rest, last);
    let mut style = best(sample, last, &told);
    let mut found = rows(&style, sample, last);
    let width = usual_width(&found);
    if told.comment.is_none()
        && let Some(comment) = find_comment(&found, width)
    {
        style.comment = Some(comment);
        found = rows(&style, sample, last);
    } else if let Some(Some(mark)) = told.comment {
        style.comment = Some(Comment { mark, unless_cells: None });
        found = rows(&style, sample, last);
    }
    let lead = if told.skip_lines.is_none() { find_lead(&found, width, told.header) } else { None };
    let titles = lead.is_some();
    let mut skip_lines = skip;
    if let Some(lead) = lead {
        skip_lines += lead.lines;
        found.drain(..lead.rows);
    }
    let short_header = told.header != Some(false) && is_short_header(&found, width);
    let header = told.header.unwrap_or_else(|| short_header || find_header(&found));
    let body = found.get(usize::from(header)..).unwrap_or_default();
    let shape = (!body.is_empty()).then(|| shape(body));
    let unparted = (width <= 1).then(|| looks_parted(sample)).flatten();
    let in_runs = style.delimiter == Delimiter::Byte(b' ') && are_runs(&style, &found, sample, last);
    Sniffed { style, skip_lines, titles, header, body: shape, unparted, short_header, in_runs }
}

fn shape(body: &[Row]) -> BodyShape {
    let width = usual_width(body);
    let mut empty = vec![true; width];
    for row in body.iter().filter(|r| r.cells.len() == width) {
        empty.iter_mut().zip(&row.cells).for_each(|(empty, cell)| *empty &= cell.trim().is_empty());
    }
    BodyShape { width, empty }
}

/// The length of so many lines.
pub fn skip_of(text: &[u8], lines: u64, returns: bool) -> usize {
    let mut at = 0;
    for _ in 0..lines {
        let rest = text.get(at..).unwrap_or_default();
        let end = rest.iter().position(|b| *b == b'\n' || (returns && *b == b'\r'));
        let Some(end) = end else { return text.len() };
        let pair = rest.get(end..end + 2) == Some(b"\r\n".as_slice());
        at += end + 1 + usize::from(pair);
    }
    at
}

/// Whether a `\r` is in the text that no `\n` follows.
fn has_returns(text: &[u8]) -> bool {
    let text = text.get(..SAMPLE).unwrap_or(text);
    memchr::memchr_iter(b'\r', text).any(|at| text.get(at + 1).is_some_and(|next| *next != b'\n'))
}

/// The delimiter that a first line `sep=;` names.
fn separator_line(text: &[u8]) -> Option<Delimiter> {
    let end = text.iter().position(|b| matches!(b, b'\n' | b'\r'))?;
    let line = text.get(..end)?;
    let line = line.strip_prefix(b"\"").and_then(|l| l.strip_suffix(b"\"")).unwrap_or(line);
    match line {
        [s, e, p, b'=', byte] if [s, e, p].map(u8::to_ascii_lowercase) == *b"sep" && byte.is_ascii() => {
            Some(Delimiter::Byte(*byte))
        }
        _ => None,
    }
}

/// As much of the text as is looked at, ending where a line ends.
fn sample_of(text: &[u8], last: bool) -> (&[u8], bool) {
    let ends = |start: &[u8]| start.iter().filter(|b| matches!(b, b'\n' | b'\r')).count();
    let usual = text.get(..SAMPLE).filter(|start| ends(start) > FEW_LINES);
    let Some(start) = usual.or(text.get(..WIDE_SAMPLE)) else { return (text, last) };
    let end = start.iter().rposition(|b| matches!(b, b'\n' | b'\r'));
    (end.and_then(|end| start.get(..=end)).unwrap_or(start), false)
}

/// The number of cells that most records have; of several, the largest.
fn usual_width(rows: &[Row]) -> usize {
    let mut widths: Vec<usize> = rows.iter().filter(|r| r.defect.is_none()).map(|r| r.cells.len()).collect();
    widths.sort_unstable();
    let runs = widths.chunk_by(|a, b| a == b);
    runs.max_by_key(|run| run.len()).and_then(|run| run.first()).copied().unwrap_or(1)
}

/// Whether runs of blanks explain records better that have cells between single ones.
fn are_runs(style: &Style, single: &[Row], sample: &[u8], last: bool) -> bool {
    let even = |rows: &[Row]| {
        let width = usual_width(rows);
        rows.iter().filter(|r| r.cells.len() == width).count() as f64 / rows.len().max(1) as f64
    };
    let runs = rows(&Style { delimiter: Delimiter::Blanks, ..style.clone() }, sample, last);
    runs.iter().any(|r| r.cells.len() > 1) && even(&runs) > even(single)
}

/// What occurs equally often in every line, of three or more; the usual delimiters also behind a first line that has none.
fn looks_parted(sample: &[u8]) -> Option<Delimiter> {
    let is_line = |line: &&[u8]| !line.trim_ascii().is_empty() && !line.starts_with(b"#");
    let lines: Vec<&[u8]> = sample.split(|b| *b == b'\n').filter(is_line).take(200).collect();
    let same = |lines: &[&[u8]], count: &dyn Fn(&[u8]) -> usize| {
        let first = lines.first().map_or(0, |line| count(line));
        first > 0 && lines.iter().all(|line| count(line) == first)
    };
    let byte = |byte: u8| move |line: &[u8]| line.iter().filter(|b| **b == byte).count();
    let body = lines.get(1..).filter(|body| body.len() > 1)?;
    let usual = b",;\t|".iter().find(|b| same(body, &byte(**b)));
    if let Some(found) = usual.or_else(|| b":^~\x01\x1f".iter().find(|b| same(&lines, &byte(**b)))) {
        return Some(Delimiter::Byte(*found));
    }
    let words = |line: &[u8]| {
        line.split(|b| matches!(b, b' ' | b'\t' | b'\r')).filter(|w| !w.is_empty()).count().saturating_sub(1)
    };
    same(&lines, &words).then_some(Delimiter::Blanks)
}

#[cfg(test)]
mod law_tests;
#[cfg(test)]
mod tests;
