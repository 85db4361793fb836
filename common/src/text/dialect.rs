//! How a delimited text is written.

use serde::{Deserialize, Serialize};

/// The character encoding of a text source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    #[default]
    Utf8,
    Latin1,
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
}

impl Default for Dialect {
    fn default() -> Self {
        Self { delimiter: b',', quote: Some(b'"'), header: true, encoding: Encoding::Utf8 }
    }
}
