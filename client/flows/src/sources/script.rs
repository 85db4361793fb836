//! How a source's bytes become the text that the parser reads: unpacked, decoded, translated.

use std::io::{self, Read};

use encoding_rs::Encoding;
use shardmill_common::text::{Style, Translated};

use super::decode::Decoder;
use super::json_text::JsonLines;
use super::kind::Packing;
use super::open::Tee;
use super::unpack::Unpacked;

/// What is to be done with unpacked bytes.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// `None`: they are what the parser reads, or UTF-8.
    pub encoding: Option<&'static Encoding>,
    /// Decoded bytes at the start that are left out before a translation.
    pub skip: u64,
    /// The lines in those.
    pub skipped_lines: u64,
    pub form: Form,
}

/// What the text is translated from.
#[derive(Clone, Debug, Default)]
pub enum Form {
    #[default]
    AsItIs,
    Styled(Style),
    /// JSON values of any layout, or an array of them.
    Json,
}

impl Script {
    /// Whether the parser reads the unpacked bytes themselves.
    pub const fn is_plain(&self) -> bool {
        self.encoding.is_none() && self.skip == 0 && matches!(self.form, Form::AsItIs)
    }
}

type Raw = Decoder<Unpacked<Tee>>;

/// A source's text as the parser reads it.
pub enum TextReader {
    AsItIs(Box<Raw>),
    Styled(Box<Translated<Raw>>),
    Json(Box<JsonLines<Raw>>),
}

impl TextReader {
    pub fn new(raw: Tee, packing: Packing, script: &Script) -> io::Result<Self> {
        let mut decoded = Decoder::new(Unpacked::new(raw, packing)?, script.encoding);
        io::copy(&mut decoded.by_ref().take(script.skip), &mut io::sink())?;
        Ok(match &script.form {
            Form::AsItIs => TextReader::AsItIs(Box::new(decoded)),
            Form::Styled(style) => {
                TextReader::Styled(Box::new(Translated::new(decoded, style.clone(), script.skipped_lines)))
            }
            Form::Json => TextReader::Json(Box::new(JsonLines::new(decoded))),
        })
    }

    /// Reads what is left of the source: its size and checksum, and the lines that were left out as comments.
    pub fn finish(&mut self) -> io::Result<(u64, String, u64)> {
        let (decoded, comments) = match self {
            TextReader::AsItIs(decoded) => (decoded.as_mut(), 0),
            TextReader::Styled(translated) => translated.parts(),
            TextReader::Json(lines) => (lines.get_mut(), 0),
        };
        let (size, checksum) = decoded.get_mut().raw()?.finish()?;
        Ok((size, checksum, comments))
    }
}

impl Read for TextReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            TextReader::AsItIs(reader) => reader.read(out),
            TextReader::Styled(reader) => reader.read(out),
            TextReader::Json(reader) => reader.read(out),
        }
    }
}
