//! How the text is written that the parser reads.

use serde::{Deserialize, Serialize};

use super::numbers::Numbers;

/// The character encoding of a text that the parser reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    #[default]
    Utf8,
    /// What is called Latin-1 as the web reads it (WHATWG): `0x80` is the euro.
    #[serde(rename = "latin1")]
    Windows1252,
}

/// What becomes of a record with fewer or more cells than there are columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ragged {
    #[default]
    Reject,
    /// What lacks is null; more cells than columns are cut off if they are empty, and reject the record otherwise.
    Fill,
}

impl Ragged {
    const fn is_default(&self) -> bool {
        matches!(self, Ragged::Reject)
    }
}

/// Delimiter, quote, header and encoding of a delimited text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// One ASCII byte.
    pub delimiter: u8,
    /// One ASCII byte; doubled inside a quoted cell to mean itself. `None`: quotes are ordinary characters.
    pub quote: Option<u8>,
    /// The first record names the columns.
    pub header: bool,
    pub encoding: Encoding,
    #[serde(default, skip_serializing_if = "Ragged::is_default")]
    pub ragged: Ragged,
    /// How numbers are written, if not as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
}

impl Dialect {
    /// Commas, double quotes, a header, UTF-8.
    pub const USUAL: Dialect = Dialect {
        delimiter: b',',
        quote: Some(b'"'),
        header: true,
        encoding: Encoding::Utf8,
        ragged: Ragged::Reject,
        numbers: None,
    };
}

impl Default for Dialect {
    fn default() -> Self {
        Self::USUAL
    }
}
