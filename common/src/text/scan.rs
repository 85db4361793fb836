//! The grammar of a record of delimited text, in one function that the cutter and the parser share.
//!
//! A quote opens a quoted field only where a field starts; a doubled quote inside means itself; behind the closing quote
//! come the delimiter, a newline (`\n` or `\r\n`; a lone `\r` is ordinary) or the end. Anything else spoils the record,
//! and a spoiled record ends so that one stray quote costs a line, or a few, and never the rest of the file.

use memchr::{memchr, memchr_iter, memchr2};

use super::Dialect;

/// A quoted field that has not closed within this many bytes never does. The record must fit a chunk, and memory.
pub const MAX_RECORD_BYTES: usize = 512 << 20;

/// A cell that is spoilt behind its closing quote holds no more line breaks than this; with more of them, the quote that opens it is
/// stray, and what is between are records.
const MAX_SPOILT_BREAKS: usize = 16;

/// The two bytes that shape a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grammar {
    pub delimiter: u8,
    pub quote: Option<u8>,
}

/// Bytes of a dialect that cannot make a grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialectError {
    #[error("the {role} must be one ASCII character and not a newline")]
    NotOneCharacter { role: &'static str },
    #[error("`{}` cannot be both delimiter and quote", char::from(*.0))]
    Same(u8),
}

impl Grammar {
    /// The grammar of a dialect, unless its bytes cannot make one.
    pub fn of(dialect: &Dialect) -> Result<Self, DialectError> {
        let Dialect { delimiter, quote, .. } = *dialect;
        for (role, byte) in [("delimiter", Some(delimiter)), ("quote", quote)] {
            if let Some(b) = byte
                && (!b.is_ascii() || b == b'\n' || b == b'\r')
            {
                return Err(DialectError::NotOneCharacter { role });
            }
        }
        if quote == Some(delimiter) {
            return Err(DialectError::Same(delimiter));
        }
        Ok(Self { delimiter, quote })
    }

    /// Every line is one field: JSON lines.
    pub const fn lines() -> Self {
        Self { delimiter: b'\n', quote: None }
    }
}

/// What spoils a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    TextAfterQuote,
    UnclosedQuote,
}

impl Defect {
    pub const fn reason(self) -> &'static str {
        match self {
            Defect::TextAfterQuote => "text after a closing quote",
            Defect::UnclosedQuote => "a quote opened here never closes",
        }
    }
}

/// One record: `start..content_end` is its text, `end` lies behind its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub start: usize,
    pub content_end: usize,
    pub end: usize,
    pub defect: Option<Defect>,
}

impl Record {
    /// An empty line, which is no record to the reader.
    pub const fn is_blank(&self) -> bool {
        self.start == self.content_end
    }
}

/// The text of one field without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpan {
    pub start: usize,
    pub end: usize,
    pub quoted: bool,
    /// It has doubled quotes: see [`unescape_quotes`].
    pub escaped: bool,
}

/// The record that starts at `start`; `None` where `data` ends before its end is known, which never happens when `data`
/// holds the last byte of the source (`last`).
pub fn next_record(data: &[u8], start: usize, grammar: Grammar, max: usize, last: bool) -> Option<Record> {
    if grammar.quote.is_none() {
        return line_from(data, start, start, last, None);
    }
    split_record(data, start, grammar, max, last, |_| ())
}

/// As [`next_record`], telling each field; those of a spoiled record are worthless.
#[inline]
pub fn split_record(
    data: &[u8],
    start: usize,
    grammar: Grammar,
    max: usize,
    last: bool,
    mut field: impl FnMut(FieldSpan),
) -> Option<Record> {
    let whole = |content_end, end| Some(Record { start, content_end, end, defect: None });
    let mut at = start;
    loop {
        if let Some(quote) = grammar.quote
            && data.get(at) == Some(&quote)
        {
            let (close, escaped) = match closing_quote(data, at, quote, max, last) {
                Closing::At(close, escaped) => (close, escaped),
                Closing::Never => return line_from(data, start, at + 1, last, Some(Defect::UnclosedQuote)),
                Closing::Unknown => return None,
            };
            let span = FieldSpan { start: at + 1, end: close, quoted: true, escaped };
            let next = close + 1;
            match (data.get(next), data.get(next + 1)) {
                (Some(&b'\n'), _) => {
                    field(span);
                    return whole(next, next + 1);
                }
                (Some(&b), _) if b == grammar.delimiter => {
                    field(span);
                    at = next + 1;
                }
                (Some(b'\r'), Some(b'\n')) => {
                    field(span);
                    return whole(next, next + 2);
                }
                (None, _) if last => {
                    field(span);
                    return whole(next, next);
                }
                (None, _) => return None,
                (Some(b'\r'), None) if !last => return None,
                _ if breaks(data, at, next) > MAX_SPOILT_BREAKS => {
                    return line_from(data, start, at + 1, last, Some(Defect::UnclosedQuote));
                }
                _ => return line_from(data, start, next, last, Some(Defect::TextAfterQuote)),
            }
        } else {
            let rest = data.get(at..).unwrap_or_default();
            let plain = |end| FieldSpan { start: at, end, quoted: false, escaped: false };
            match memchr2(b'\n', grammar.delimiter, rest).map(|n| at + n) {
                None if last => {
                    field(plain(data.len()));
                    return whole(data.len(), data.len());
                }
                None => return None,
                Some(found) if data.get(found) == Some(&b'\n') => {
                    let content_end = trim_return(data, at, found);
                    field(plain(content_end));
                    return whole(content_end, found + 1);
                }
                Some(found) => {
                    field(plain(found));
                    at = found + 1;
                }
            }
        }
    }
}

#[cold]
fn breaks(data: &[u8], from: usize, to: usize) -> usize {
    memchr_iter(b'\n', data.get(from..to).unwrap_or_default()).count()
}

enum Closing {
    /// Where it is, and whether doubled quotes come before it.
    At(usize, bool),
    Never,
    /// More data is needed to tell.
    Unknown,
}

fn closing_quote(data: &[u8], open: usize, quote: u8, max: usize, last: bool) -> Closing {
    let limit = open.saturating_add(max);
    let stop = limit.min(data.len());
    let mut at = open + 1;
    let mut escaped = false;
    while let Some(found) = data.get(at..stop).and_then(|window| memchr(quote, window)).map(|n| at + n) {
        match data.get(found + 1) {
            Some(&next) if next == quote => {
                escaped = true;
                at = found + 2;
            }
            None if !last => return Closing::Unknown,
            _ => return Closing::At(found, escaped),
        }
    }
    if last || limit <= data.len() { Closing::Never } else { Closing::Unknown }
}

/// The record that ends at the first newline at or behind `from`.
fn line_from(data: &[u8], start: usize, from: usize, last: bool, defect: Option<Defect>) -> Option<Record> {
    match memchr(b'\n', data.get(from..).unwrap_or_default()).map(|n| from + n) {
        Some(newline) => {
            Some(Record { start, content_end: trim_return(data, start, newline), end: newline + 1, defect })
        }
        None if last => Some(Record { start, content_end: data.len(), end: data.len(), defect }),
        None => None,
    }
}

/// `newline`, or the place of the `\r` before it if that is not before `start`.
#[inline]
fn trim_return(data: &[u8], start: usize, newline: usize) -> usize {
    match newline.checked_sub(1) {
        Some(before) if before >= start && data.get(before) == Some(&b'\r') => before,
        _ => newline,
    }
}

/// A quoted field's text with each doubled quote made one, appended to `out`.
pub fn unescape_quotes(field: &[u8], quote: u8, out: &mut Vec<u8>) {
    let mut rest = field;
    while let Some(found) = memchr(quote, rest) {
        out.extend_from_slice(rest.get(..=found).unwrap_or_default());
        rest = rest.get(found + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: Grammar = Grammar { delimiter: b',', quote: Some(b'"') };

    fn records(text: &str, max: usize) -> Vec<(Vec<String>, Option<Defect>)> {
        let data = text.as_bytes();
        let (mut at, mut out) = (0, Vec::new());
        while at < data.len() {
            let mut fields = Vec::new();
            let record = split_record(data, at, CSV, max, true, |f| {
                let mut cell = Vec::new();
                let raw = &data[f.start..f.end];
                if f.escaped {
                    unescape_quotes(raw, b'"', &mut cell)
                } else {
                    cell.extend(raw)
                }
                fields.push(String::from_utf8(cell).unwrap());
            })
            .unwrap();
            assert!(record.end > at);
            if record.defect.is_some() {
                fields = vec![text[record.start..record.content_end].to_owned()];
            }
            out.push((fields, record.defect));
            at = record.end;
        }
        out
    }

    fn good(fields: &[&str]) -> (Vec<String>, Option<Defect>) {
        (fields.iter().map(|s| (*s).to_owned()).collect(), None)
    }

    #[test]
    fn plain_and_quoted_fields() {
        assert_eq!(
            records("a,b\r\n\"x,\"\"y\"\"\n\",\r\nlast,\"q\"", 99),
            [good(&["a", "b"]), good(&["x,\"y\"\n", ""]), good(&["last", "q"]),]
        );
        assert_eq!(records("a\"b,c\n", 99), [good(&["a\"b", "c"])]);
        assert_eq!(records("a\rb,\r\n,\n", 99), [good(&["a\rb", ""]), good(&["", ""])]);
    }

    #[test]
    fn a_stray_quote_costs_one_line() {
        let expected = [(vec!["1,\"oops".to_owned()], Some(Defect::UnclosedQuote)), good(&["2", "b"])];
        assert_eq!(records("1,\"oops\r\n2,b\n", 99), expected);
        let long = format!("1,\"oops\n2,b\n{}\n3,\"c\"\n", "x".repeat(40));
        assert_eq!(records(&long, 20)[..2], expected);
        assert_eq!(records(&long, 20)[3], good(&["3", "c"]));
    }

    #[test]
    fn text_after_a_closing_quote() {
        assert_eq!(
            records("\"a\"b,\"c\n1,2\n", 99),
            [(vec!["\"a\"b,\"c".to_owned()], Some(Defect::TextAfterQuote)), good(&["1", "2"]),]
        );
        assert_eq!(records("\"a\"\r", 99)[0].1, Some(Defect::TextAfterQuote));
    }

    #[test]
    fn a_stray_quote_does_not_reach_for_one_far_away() {
        let rows = |n: usize| "2,b\n".repeat(n);
        let far = records(&format!("1,\"oops\n{}3,\"c\"\n", rows(20)), 9999);
        assert_eq!((far.len(), far[0].1, &far[21]), (22, Some(Defect::UnclosedQuote), &good(&["3", "c"])));
        let near = records(&format!("1,\"oops\n{}3,\"c\"\n", rows(2)), 9999);
        assert_eq!((near.len(), near[0].1), (1, Some(Defect::TextAfterQuote)));
    }

    #[test]
    fn an_open_end_needs_more() {
        for text in ["a", "a,", "\"a", "\"a\"", "\"a\"\r", "\"a\"b", "\"a\nb", "a\r"] {
            assert_eq!(next_record(text.as_bytes(), 0, CSV, 99, false), None, "{text:?}");
            assert!(next_record(text.as_bytes(), 0, CSV, 99, true).unwrap().end > 0);
        }
        let blank = next_record(b"\r\nx", 0, CSV, 99, false).unwrap();
        assert!(blank.is_blank() && blank.end == 2);
    }

    #[test]
    fn impossible_dialects() {
        let of = |delimiter, quote| Grammar::of(&Dialect { delimiter, quote, ..Dialect::default() });
        assert_eq!(of(b';', None), Ok(Grammar { delimiter: b';', quote: None }));
        assert!(of(b'"', Some(b'"')).is_err() && of(b'\n', None).is_err() && of(0xa7, None).is_err());
    }
}
