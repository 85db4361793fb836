//! How the user says that sources are to be read.

use shardmill_common::kinds::ingest::{BytesAs, Wanted};
use shardmill_common::misread::Misread;
use shardmill_common::schema::Schema;
use shardmill_common::text::{Delimiter, Numbers, Ragged, Told};

use super::decode::TextEncoding;
use super::workbook::Pick;
use crate::export::Format;

/// The options of an ingest that concern reading.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// `None`: by name and content.
    pub kind: Option<Format>,
    /// Of delimited text.
    pub told: Told,
    /// `None`: by content.
    pub encoding: Option<TextEncoding>,
    pub numbers: Option<Numbers>,
    pub ragged: Ragged,
    /// A header must have a name of its own for every column.
    pub strict: bool,
    /// Columns without a name are passed over.
    pub drop_unnamed: bool,
    pub wanted: Wanted,
    /// Of workbooks.
    pub pick: Pick,
    /// Columns of a type that is not stored are passed over.
    pub skip_unstored: bool,
    /// The schema as the user fixed it.
    pub schema: Option<Schema>,
    /// The types of some columns, as the user fixed them.
    pub types: Schema,
    pub bytes: BytesAs,
    pub nulls: Vec<String>,
}

impl ReadOptions {
    /// The same, of a sheet that was made into text.
    pub fn of_sheet(&self) -> Self {
        let told = Told {
            delimiter: Some(Delimiter::Byte(b',')),
            quote: Some(Some(b'"')),
            escape: Some(None),
            comment: Some(None),
            ..self.told.clone()
        };
        Self { kind: Some(Format::Csv), told, encoding: Some(TextEncoding::Utf8), numbers: None, ..self.clone() }
    }
}

/// All that name and content tell, and nothing lost: short rows are filled.
impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            kind: None,
            told: Told::default(),
            encoding: None,
            numbers: None,
            ragged: Ragged::Fill,
            strict: false,
            drop_unnamed: false,
            wanted: Wanted::All,
            pick: Pick::default(),
            skip_unstored: false,
            schema: None,
            types: Schema::default(),
            bytes: BytesAs::Binary,
            nulls: Vec::new(),
        }
    }
}

/// Characters by themselves or by name: `;`, `||`, `\t`, `tab`, `space`, `blanks`, `comma`, `semicolon`, `pipe`.
pub fn parse_delimiter(text: &str) -> Result<Delimiter, Misread> {
    let byte = |byte| Ok(Delimiter::Byte(byte));
    match text.to_ascii_lowercase().as_str() {
        "\\t" | "tab" => byte(b'\t'),
        "space" => byte(b' '),
        "comma" => byte(b','),
        "semicolon" => byte(b';'),
        "pipe" => byte(b'|'),
        code if code.len() == 4 && code.starts_with("\\x") => {
            let code = code.get(2..).and_then(|hex| u8::from_str_radix(hex, 16).ok());
            match code.filter(|b| b.is_ascii() && !matches!(b, b'\n' | b'\r')) {
                Some(code) => byte(code),
                None => Err(Misread::new(text, "not a delimiter: \\x01 to \\x7f name ASCII characters by their codes")),
            }
        }
        "blanks" | "whitespace" | "\\s+" => Ok(Delimiter::Blanks),
        _ => match one_byte(text) {
            Some(one) => byte(one),
            None if !text.is_empty() && !text.contains(['\n', '\r', '"']) => Ok(Delimiter::Text(text.to_owned())),
            None => Err(Misread::new(
                text,
                "not a delimiter: give one or more characters, or tab, space, blanks (runs of them), comma, semicolon, pipe",
            )),
        },
    }
}

/// One character, or `backslash`; nothing means that only doubled quotes are special.
pub fn parse_escape(text: &str) -> Result<Option<u8>, Misread> {
    match text.to_ascii_lowercase().as_str() {
        "" | "none" | "doubled" => Ok(None),
        "backslash" => Ok(Some(b'\\')),
        _ => one_byte(text)
            .map(Some)
            .ok_or_else(|| Misread::new(text, "not an escape: give one ASCII character, or backslash, or '' for none")),
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
        for (text, byte) in [(";", b';'), ("\\t", b'\t'), ("\t", b'\t'), ("TAB", b'\t')] {
            assert_eq!(parse_delimiter(text), Ok(Delimiter::Byte(byte)));
        }
        assert_eq!(parse_delimiter("||"), Ok(Delimiter::Text("||".into())));
        assert_eq!(parse_delimiter("§"), Ok(Delimiter::Text("§".into())));
        assert_eq!(parse_delimiter("\\x01"), Ok(Delimiter::Byte(1)));
        assert!(parse_delimiter("\\xff").is_err());
        assert_eq!(parse_delimiter("blanks"), Ok(Delimiter::Blanks));
        assert!(parse_escape("ab").is_err());
        assert_eq!((parse_escape("backslash"), parse_escape("")), (Ok(Some(b'\\')), Ok(None)));
        for bad in ["", "a\"", "\n"] {
            assert!(parse_delimiter(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_quote(""), Ok(None));
        assert_eq!(parse_quote("'"), Ok(Some(b'\'')));
        assert!(parse_quote("''").is_err());
    }
}
