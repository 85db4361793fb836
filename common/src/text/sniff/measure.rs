//! The records that a sample has in a style, and which style explains a sample best.

use super::super::scan::{Defect, Grammar, split_record, unescape_quotes};
use super::super::style::{Delimiter, Style};
use super::super::translate::Translator;
use super::kinds::Kind;
use super::{Told, has_returns, usual_width};

/// Records that are looked at.
const MAX_ROWS: usize = 1000;
/// Records whose cells are looked at to choose between styles.
const TYPED_ROWS: usize = 50;
/// A style must explain so much more of the records than one that is more usual.
const CLEARLY: f64 = 0.02;
/// As much more of the cells must have a type, where two styles explain the records alike.
const TYPED: f64 = 0.25;

/// A record of the sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Lines of the sample before it.
    pub line: u64,
    pub cells: Vec<String>,
    /// Which cells are in quotes.
    pub quoted: Vec<bool>,
    pub defect: Option<Defect>,
}

impl Row {
    /// Whether nothing stands in the last cell.
    pub fn ends_empty(&self) -> bool {
        self.cells.last().is_some_and(|cell| cell.trim().is_empty())
    }

    pub fn begins_with(&self, mark: &str) -> bool {
        self.cells.first().is_some_and(|cell| cell.starts_with(mark))
    }
}

/// The whole records of a sample, without blank lines.
pub fn rows(style: &Style, sample: &[u8], last: bool) -> Vec<Row> {
    records(style, sample, last).0
}

/// As [`rows`], with the number of cells that are in quotes.
fn records(style: &Style, sample: &[u8], last: bool) -> (Vec<Row>, u64) {
    let mut quotes = None;
    let translated;
    let (data, delimiter, quote) = match style {
        Style { delimiter: Delimiter::Byte(byte), quote, .. } if style.is_plain() => (sample, *byte, *quote),
        _ => {
            let mut out = Vec::with_capacity(sample.len() + sample.len() / 8);
            let mut translator = Translator::new(style.clone());
            translator.step(sample, last, &mut out);
            quotes = Some(translator.quotes());
            translated = out;
            (&translated[..], style.delimiter.byte(), style.quote_read())
        }
    };
    let grammar = Grammar { delimiter, quote };
    let (mut at, mut line, mut found) = (0, 0, Vec::new());
    while at < data.len() && found.len() < MAX_ROWS {
        let mut row = Row { line, cells: Vec::new(), quoted: Vec::new(), defect: None };
        let record = split_record(data, at, grammar, data.len() + 1, last, |field| {
            let text = data.get(field.start..field.end).unwrap_or_default();
            let mut cell = Vec::with_capacity(text.len());
            match quote {
                Some(quote) if field.escaped => unescape_quotes(text, quote, &mut cell),
                _ => cell.extend_from_slice(text),
            }
            row.cells.push(String::from_utf8_lossy(&cell).into_owned());
            row.quoted.push(field.quoted);
        });
        let Some(record) = record else { break };
        line += memchr::memchr_iter(b'\n', data.get(at..record.end).unwrap_or_default()).count() as u64;
        at = record.end;
        row.defect = record.defect;
        if !record.is_blank() {
            found.push(row);
        }
    }
    let quoted = || found.iter().flat_map(|r| &r.quoted).filter(|quoted| **quoted).count() as u64;
    let quotes = quotes.unwrap_or_else(quoted);
    (found, quotes)
}

/// How well a style explains a sample.
struct Measure {
    width: usize,
    /// The share of records that have the usual width, less what is spoilt.
    fit: f64,
    typed: f64,
    defects: usize,
    /// Cells in quotes.
    quotes: u64,
    /// The first record that is no comment has as many cells as most.
    first_fits: bool,
    /// It has one cell.
    one_first: bool,
    rows: Vec<Row>,
}

fn measure(style: &Style, sample: &[u8], last: bool) -> Measure {
    let (rows, quotes) = records(style, sample, last);
    let counted: Vec<&Row> = rows.iter().filter(|r| !r.begins_with("#")).collect();
    let width = usual_width(&rows);
    let fits = |row: &&&Row| {
        let cells = row.cells.len();
        row.defect.is_none() && (cells == width || (cells == width + 1 && row.ends_empty()))
    };
    let first_fits = counted.first().is_none_or(|r| r.defect.is_none() && r.cells.len() == width);
    let one_first = counted.first().is_some_and(|r| r.cells.len() == 1);
    let defects = counted.iter().filter(|r| r.defect.is_some()).count();
    let good = counted.iter().filter(fits).count();
    let fit = (good as f64 - 2.0 * defects as f64) / counted.len().max(1) as f64;
    let cells = || rows.iter().take(TYPED_ROWS).flat_map(|r| &r.cells);
    let typed = cells().filter(|cell| Kind::of(cell).is_value()).count() as f64 / cells().count().max(1) as f64;
    Measure { width, fit, typed, defects, quotes, first_fits, one_first, rows }
}

/// The style that explains the sample best, as far as it was not told.
pub fn best(sample: &[u8], last: bool, told: &Told) -> Style {
    let mut chosen: Option<(Style, Measure)> = None;
    for style in candidates(sample, told) {
        let measured = measure(&style, sample, last);
        let better = match &chosen {
            None => true,
            Some((best, known)) => is_better(&style, &measured, best, known, told),
        };
        if better {
            chosen = Some((style, measured));
        }
    }
    if let Some(unquoted) = without_quotes(sample, last, told) {
        let measured = measure(&unquoted, sample, last);
        if chosen.as_ref().is_none_or(|(best, known)| is_better(&unquoted, &measured, best, known, told)) {
            chosen = Some((unquoted, measured));
        }
    }
    let Some((mut style, mut measured)) = chosen else { return Style::default() };
    if told.quote.is_none()
        && let Some((single, fit)) = in_single_quotes(&style, sample, last, told)
        && (fit > measured.fit + CLEARLY
            || (fit > measured.fit - CLEARLY && measured.quotes == 0 && is_quoted_by(b'\'', &measured.rows)))
    {
        style = single;
        measured = measure(&style, sample, last);
    }
    if told.trim.is_none()
        && !style.trim
        && style.delimiter != Delimiter::Byte(b' ')
        && has_blanks_after(&measured.rows)
    {
        // Behind blanks quotes were characters like any other; so everything but the delimiter is looked at anew.
        let told = Told { delimiter: Some(style.delimiter), trim: Some(true), ..told.clone() };
        return best(sample, last, &told);
    }
    style
}

fn is_better(style: &Style, new: &Measure, best: &Style, known: &Measure, told: &Told) -> bool {
    // One column is what remains where nothing parts cells; and one long record fits itself.
    if new.width < 2 || new.fit < 0.5 || (!style.returns && best.returns && 2 * new.rows.len() < known.rows.len()) {
        return false;
    }
    // A doubled colon is common within words.
    if style.delimiter == Delimiter::Text("::".to_owned()) && new.width < 3 {
        return false;
    }
    // The one name above a column whose texts have the delimiter in them.
    let one_name = |m: &Measure| m.width == 2 && m.one_first && !is_parted(&m.rows);
    if told.delimiter.is_none() && one_name(new) {
        return false;
    }
    if known.width < 2 || known.fit < 0.5 {
        return true;
    }
    if style.delimiter == best.delimiter && style.returns == best.returns {
        return new.defects < known.defects && new.fit >= known.fit
            || new.fit > known.fit + CLEARLY
            || (new.fit > known.fit && new.defects <= known.defects);
    }
    // A doubled delimiter leaves every other cell empty.
    if is_doubled((best, known), (style, new)) && new.fit > known.fit - CLEARLY {
        return true;
    }
    if is_doubled((style, new), (best, known)) && new.fit < known.fit + CLEARLY {
        return false;
    }
    if (new.fit - known.fit).abs() > CLEARLY {
        return new.fit > known.fit;
    }
    if new.first_fits != known.first_fits {
        return new.first_fits;
    }
    if (new.typed - known.typed).abs() > TYPED {
        return new.typed > known.typed;
    }
    new.width > known.width
}

/// Tab-separated values without quotes, which they have none of by their definition (IANA, text/tab-separated-values), where quotes
/// make no sense.
fn without_quotes(sample: &[u8], last: bool, told: &Told) -> Option<Style> {
    let tab = Delimiter::Byte(b'\t');
    if told.quote.is_some() || told.delimiter.as_ref().is_some_and(|delimiter| *delimiter != tab) {
        return None;
    }
    let (trim, escape) = (told.trim.unwrap_or(false), told.escape.flatten());
    let returns = has_returns(sample);
    let quoted = Style { delimiter: tab, quote: Some(b'"'), escape, comment: None, trim, returns };
    let measured = measure(&quoted, sample, last);
    (measured.defects > 0 && !needs_quotes(&measured.rows)).then_some(Style { quote: None, ..quoted })
}

/// Whether the delimiter of the second is that of the first twice, and its records have as many cells less.
fn is_doubled((one, single): (&Style, &Measure), (two, double): (&Style, &Measure)) -> bool {
    matches!((&one.delimiter, &two.delimiter), (Delimiter::Byte(one), Delimiter::Text(two))
        if two.bytes().all(|b| b == *one) && single.width + 1 == 2 * double.width)
}

/// Whether lines are between the first record and the second.
fn is_parted(rows: &[Row]) -> bool {
    matches!(rows, [one, two, ..] if two.line > one.line + 1)
}

/// Styles to try, the more usual ones first.
fn candidates(sample: &[u8], told: &Told) -> Vec<Style> {
    let has = |text: &[u8]| memchr::memmem::find(sample, text).is_some();
    let delimiters = match (&told.delimiter, told.tabs) {
        (Some(delimiter), _) => vec![delimiter.clone()],
        (None, tabs) => {
            let mut bytes = if tabs { *b"\t,;|" } else { *b",;\t|" }.to_vec();
            let first = bytes.first().copied();
            bytes.retain(|byte| Some(*byte) == first || has(&[*byte]));
            let texts = ["||", "::"].into_iter().filter(|text| has(text.as_bytes()));
            let texts = texts.map(|text| Delimiter::Text(text.to_owned()));
            bytes.into_iter().map(Delimiter::Byte).chain(texts).collect()
        }
    };
    let escapes = match told.escape {
        Some(escape) => vec![escape],
        None if has(b"\\\"") || has(b"\\,") || has(b"\\;") || has(b"\\\t") => vec![None, Some(b'\\')],
        None => vec![None],
    };
    let quote = told.quote.unwrap_or(Some(b'"'));
    let trims = match told.trim {
        Some(trim) => vec![trim],
        None if quote.is_some_and(|quote| has(&[b' ', quote])) => vec![false, true],
        None => vec![false],
    };
    let returns = if has_returns(sample) { vec![true, false] } else { vec![false] };
    let mut all = Vec::new();
    for returns in returns {
        for delimiter in &delimiters {
            for escape in &escapes {
                for trim in &trims {
                    let delimiter = delimiter.clone();
                    all.push(Style { delimiter, quote, escape: *escape, comment: None, trim: *trim, returns });
                }
            }
        }
    }
    all
}

/// Whether some cell would not be one without its quotes.
fn needs_quotes(rows: &[Row]) -> bool {
    let sound = rows.iter().filter(|r| r.defect.is_none());
    sound.flat_map(|r| r.cells.iter().zip(&r.quoted)).any(|(cell, quoted)| *quoted && cell.contains(['\t', '\n', '"']))
}

/// The style with single quotes, and how well it explains the sample, if it makes sense.
fn in_single_quotes(style: &Style, sample: &[u8], last: bool, told: &Told) -> Option<(Style, f64)> {
    let escapes = told.escape.map_or_else(|| vec![None, Some(b'\\')], |escape| vec![escape]);
    let trims = told.trim.map_or_else(|| vec![style.trim, true], |trim| vec![trim]);
    let mut best: Option<(Style, f64)> = None;
    for (escape, trim) in escapes.iter().flat_map(|escape| trims.iter().map(move |trim| (*escape, *trim))) {
        let single = Style { quote: Some(b'\''), escape, trim, ..style.clone() };
        let measured = measure(&single, sample, last);
        if measured.quotes > 1
            && measured.width > 1
            && best.as_ref().is_none_or(|(_, fit)| measured.fit > fit + CLEARLY)
        {
            best = Some((single, measured.fit));
        }
    }
    best
}

/// Whether nearly all cells of some column are between such quotes.
fn is_quoted_by(quote: u8, rows: &[Row]) -> bool {
    let between = |cell: &&String| {
        let cell = cell.trim_matches(' ').as_bytes();
        cell.len() >= 2 && cell.first() == Some(&quote) && cell.last() == Some(&quote)
    };
    let body = rows.get(1..).unwrap_or_default();
    (0..usual_width(rows)).any(|column| {
        let cells = || body.iter().filter_map(|r| r.cells.get(column)).filter(|cell| !cell.is_empty());
        let all = cells().count();
        all > 0 && cells().filter(between).count() * 5 >= all * 4
    })
}

/// Whether (nearly) every cell but the first of a record begins with a blank.
fn has_blanks_after(rows: &[Row]) -> bool {
    let cells = || {
        let later = rows.iter().flat_map(|r| r.cells.iter().zip(&r.quoted).skip(1));
        later.filter(|(cell, _)| !cell.is_empty())
    };
    let all = cells().count();
    let blank = cells().filter(|(cell, quoted)| !**quoted && cell.starts_with(' ')).count();
    all >= 2 && blank * 10 >= all * 9
}
