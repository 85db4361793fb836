//! How the user says that sources are to be read.

use shardmill_common::misread::Misread;
use shardmill_common::schema::Schema;
use shardmill_common::text::{Dialect, Encoding};

use crate::export::Format;

/// The options of an ingest that concern reading.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// `None`: by name and content.
    pub kind: Option<Format>,
    /// `None`: a comma, or a tab for TSV.
    pub delimiter: Option<u8>,
    pub quote: Option<u8>,
    pub header: bool,
    pub encoding: Encoding,
    /// The schema as the user fixed it.
    pub schema: Option<Schema>,
    pub nulls: Vec<String>,
}

/// UTF-8 with a header and double quotes; the rest as name and content say.
impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            kind: None,
            delimiter: None,
            quote: Some(b'"'),
            header: true,
            encoding: Encoding::Utf8,
            schema: None,
            nulls: Vec::new(),
        }
    }
}

impl ReadOptions {
    pub fn dialect(&self, kind: Format) -> Dialect {
        let usual = if kind == Format::Tsv { b'\t' } else { b',' };
        Dialect {
            delimiter: self.delimiter.unwrap_or(usual),
            quote: self.quote,
            header: self.header,
            encoding: self.encoding,
        }
    }
}

/// A character by itself or by name: `;`, `\t`, `tab`, `space`, `comma`, `semicolon`, `pipe`.
pub fn parse_delimiter(text: &str) -> Result<u8, Misread> {
    match text.to_ascii_lowercase().as_str() {
        "\\t" | "tab" => Ok(b'\t'),
        "space" => Ok(b' '),
        "comma" => Ok(b','),
        "semicolon" => Ok(b';'),
        "pipe" => Ok(b'|'),
        _ => one_byte(text).ok_or_else(|| {
            Misread::new(text, "not a delimiter: give one ASCII character, or tab, space, comma, semicolon, pipe")
        }),
    }
}

/// A character by itself or by name; nothing means that quotes are ordinary characters.
pub fn parse_quote(text: &str) -> Result<Option<u8>, Misread> {
    match text.to_ascii_lowercase().as_str() {
        "" | "none" => Ok(None),
        "double" => Ok(Some(b'"')),
        "single" => Ok(Some(b'\'')),
        _ => one_byte(text)
            .map(Some)
            .ok_or_else(|| Misread::new(text, "not a quote: give one ASCII character, or '' for none")),
    }
}

fn one_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [b] if b.is_ascii() && !matches!(b, b'\n' | b'\r') => Some(*b),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_by_themselves_or_by_name() {
        assert_eq!(parse_delimiter(";"), Ok(b';'));
        assert_eq!(parse_delimiter("\\t"), Ok(b'\t'));
        assert_eq!(parse_delimiter("\t"), Ok(b'\t'));
        assert_eq!(parse_delimiter("TAB"), Ok(b'\t'));
        for bad in ["", "ab", "§", "\n"] {
            assert!(parse_delimiter(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_quote(""), Ok(None));
        assert_eq!(parse_quote("'"), Ok(Some(b'\'')));
        assert!(parse_quote("''").is_err());
    }
}
