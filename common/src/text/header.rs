//! The names of a delimited text's columns.

use super::encoding::windows_1252_to_utf8;
use super::scan::{Defect, DialectError, Grammar, MAX_RECORD_BYTES, Record, split_record, unescape_quotes};
use super::{Dialect, Encoding};

/// What the start of a source says about its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub names: Vec<String>,
    /// Where the data begins, as an offset into what was given: behind the header, or 0 where there is none.
    pub data_start: usize,
    /// Lines before the data.
    pub lines: u64,
}

/// Why the columns of a source are not known. Positions count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error(transparent)]
    Dialect(#[from] DialectError),
    #[error("the header cannot be read: {}; --delimiter, --quote and --escape say how the text is written", .0.reason())]
    Defect(Defect),
    #[error("the name of column {position} is not valid UTF-8: `{name}`")]
    NotUtf8 { position: usize, name: String },
    #[error("column {position} of the header has no name")]
    NoName { position: usize },
    #[error("columns {first} and {second} of the header are both named `{name}`")]
    Twice { first: usize, second: usize, name: String },
    #[error("the first record has no end within {bytes} bytes")]
    NoEnd { bytes: usize },
    #[error("there are no columns: the source is empty")]
    Empty,
}

/// Reads the names from the first record that is not blank, each of which must be there and be another's. `start` begins behind a byte
/// order mark and holds the first record; `last` says that it holds the whole source.
pub fn read_header(start: &[u8], dialect: &Dialect, last: bool) -> Result<Header, HeaderError> {
    let header = read_names(start, dialect, last)?;
    for (index, name) in header.names.iter().enumerate() {
        let position = index + 1;
        if name.trim().is_empty() {
            return Err(HeaderError::NoName { position });
        }
        if let Some(earlier) = header.names.iter().take(index).position(|n| n == name) {
            return Err(HeaderError::Twice { first: earlier + 1, second: position, name: name.clone() });
        }
    }
    Ok(header)
}

/// As [`read_header`], with the names as they are written: empty, or the same twice.
pub fn read_names(start: &[u8], dialect: &Dialect, last: bool) -> Result<Header, HeaderError> {
    let grammar = Grammar::of(dialect)?;
    let (record, fields) = first_record(start, grammar, last)?;
    if !dialect.header {
        return Ok(Header { names: numbered_names(fields.len()), data_start: 0, lines: 0 });
    }
    if let Some(defect) = record.defect {
        return Err(HeaderError::Defect(defect));
    }
    let mut names: Vec<String> = Vec::with_capacity(fields.len());
    for (index, bytes) in fields.into_iter().enumerate() {
        let position = index + 1;
        let bytes = match dialect.encoding {
            Encoding::Utf8 => bytes,
            Encoding::Windows1252 => windows_1252_to_utf8(bytes),
        };
        let name = String::from_utf8(bytes).map_err(|e| {
            let name = String::from_utf8_lossy(e.as_bytes()).into_owned();
            HeaderError::NotUtf8 { position, name }
        })?;
        names.push(name);
    }
    let lines = memchr::memchr_iter(b'\n', start.get(..record.end).unwrap_or_default()).count() as u64;
    Ok(Header { names, data_start: record.end, lines })
}

/// `column_1, column_2, ...`: the names of columns that have none.
pub fn numbered_names(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("column_{n}")).collect()
}

fn first_record(start: &[u8], grammar: Grammar, last: bool) -> Result<(Record, Vec<Vec<u8>>), HeaderError> {
    let mut at = 0;
    while at < start.len() {
        let mut fields: Vec<Vec<u8>> = Vec::new();
        let record = split_record(start, at, grammar, MAX_RECORD_BYTES, last, |field| {
            let text = start.get(field.start..field.end).unwrap_or_default();
            let mut cell = Vec::with_capacity(text.len());
            match grammar.quote {
                Some(quote) if field.escaped => unescape_quotes(text, quote, &mut cell),
                _ => cell.extend_from_slice(text),
            }
            fields.push(cell);
        })
        .ok_or(HeaderError::NoEnd { bytes: start.len() })?;
        if !record.is_blank() {
            return Ok((record, fields));
        }
        at = record.end;
    }
    Err(HeaderError::Empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Header, HeaderError> {
        read_header(text, &Dialect::default(), true)
    }

    #[test]
    fn names_and_where_the_data_begins() {
        let header = read(b"\n\"a\nb\",\"c\"\"d\",e\r\n1,2,3\n").unwrap();
        assert_eq!(header.names, ["a\nb", "c\"d", "e"]);
        assert_eq!((header.data_start, header.lines), (17, 3));
        let bare = Dialect { header: false, ..Dialect::default() };
        let header = read_header(b"1,2\n", &bare, true).unwrap();
        assert_eq!(header, Header { names: numbered_names(2), data_start: 0, lines: 0 });
        assert_eq!(header.names, ["column_1", "column_2"]);
        let latin1 = Dialect { encoding: Encoding::Windows1252, ..Dialect::default() };
        assert_eq!(read_header(b"caf\xe9\n", &latin1, true).unwrap().names, ["café"]);
    }

    #[test]
    fn what_is_wrong_with_a_header() {
        assert_eq!(read(b"").unwrap_err().to_string(), "there are no columns: the source is empty");
        assert_eq!(read(b"\n\r\n").unwrap_err().to_string(), "there are no columns: the source is empty");
        assert_eq!(read(b"a,,b\n").unwrap_err().to_string(), "column 2 of the header has no name");
        assert_eq!(read(b"a,b,a\n").unwrap_err().to_string(), "columns 1 and 3 of the header are both named `a`");
        assert_eq!(read(b"a,\xff\n").unwrap_err().to_string(), "the name of column 2 is not valid UTF-8: `\u{fffd}`");
        assert_eq!(
            read(b"a,\"b\n1,2\n").unwrap_err().to_string(),
            "the header cannot be read: a quote opened here never closes; --delimiter, --quote and --escape say how the text is written"
        );
        assert!(
            read_header(b"a,b", &Dialect::default(), false).unwrap_err().to_string().contains("no end within 3 bytes")
        );
    }
}
