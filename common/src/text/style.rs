//! How a delimited text is written, in all the ways that people and programs have; and how that is told.

use std::fmt;

/// What parts the cells of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delimiter {
    /// One ASCII byte that is neither a quote nor a line end.
    Byte(u8),
    /// Several characters, each time all of them.
    Text(String),
    /// Runs of spaces and tabs; those at the ends of a line part nothing.
    Blanks,
}

impl Delimiter {
    /// The byte that parts cells in the text that the parser gets.
    pub const fn byte(&self) -> u8 {
        match self {
            Delimiter::Byte(byte) => *byte,
            Delimiter::Text(_) | Delimiter::Blanks => b',',
        }
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Delimiter::Byte(b',') => f.write_str("comma"),
            Delimiter::Byte(b';') => f.write_str("semicolon"),
            Delimiter::Byte(b'\t') => f.write_str("tab"),
            Delimiter::Byte(b'|') => f.write_str("pipe"),
            Delimiter::Byte(b' ') => f.write_str("space"),
            Delimiter::Byte(other) if other.is_ascii_control() => write!(f, "\\x{other:02x}"),
            Delimiter::Byte(other) => write!(f, "`{}`", char::from(*other)),
            Delimiter::Text(text) => write!(f, "`{}`", text.escape_debug()),
            Delimiter::Blanks => f.write_str("runs of blanks"),
        }
    }
}

/// Lines that are not records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// What such a line begins with; not empty.
    pub mark: String,
    /// A line with so many cells is a record nevertheless: the mark was found, and not told.
    pub unless_cells: Option<usize>,
}

/// Everything of a delimited text's writing but its encoding and where its header is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    pub delimiter: Delimiter,
    /// One ASCII byte. `None`: quotes are ordinary characters.
    pub quote: Option<u8>,
    /// The ASCII byte behind which any character is itself. `None`: a quote inside quotes is doubled.
    pub escape: Option<u8>,
    pub comment: Option<Comment>,
    /// Blanks around a cell are no part of it.
    pub trim: bool,
    /// A `\r` by itself ends a line, too, and so does `\r\r\n`.
    pub returns: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            delimiter: Delimiter::Byte(b','),
            quote: Some(b'"'),
            escape: None,
            comment: None,
            trim: false,
            returns: false,
        }
    }
}

impl Style {
    /// Whether the parser reads such a text as it lies.
    pub const fn is_plain(&self) -> bool {
        matches!(self.delimiter, Delimiter::Byte(_))
            && self.escape.is_none()
            && self.comment.is_none()
            && !self.trim
            && !self.returns
    }

    /// The quote of the text that the parser gets.
    pub const fn quote_read(&self) -> Option<u8> {
        if self.is_plain() { self.quote } else { Some(b'"') }
    }
}

/// What is not as usual, in words: `semicolon, quote ', backslash escapes`. The delimiter is always told.
impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.delimiter)?;
        match self.quote {
            Some(b'"') => {}
            Some(quote) => write!(f, ", quote {}", char::from(quote))?,
            None => f.write_str(", no quotes")?,
        }
        match self.escape {
            Some(b'\\') => f.write_str(", backslash escapes")?,
            Some(escape) => write!(f, ", escape {}", char::from(escape))?,
            None => {}
        }
        if let Some(comment) = &self.comment {
            write!(f, ", comments after {}", comment.mark)?;
        }
        if self.trim {
            f.write_str(", blanks around cells cut")?;
        }
        if self.returns {
            f.write_str(", lines end with \\r")?;
        }
        Ok(())
    }
}
