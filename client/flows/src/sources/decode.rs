//! The character encodings of sources, and a reader that turns any of them into UTF-8.

use std::io::{self, Read};

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use shardmill_common::misread::Misread;
use shardmill_common::text::{Guess, Ready, guess_encoding};

use super::error::SourceError;

const BLOCK: usize = 64 << 10;
/// Stands for bytes that are no character: the parser rejects their record, as no UTF-8 has it.
const NO_CHARACTER: u8 = 0xff;

/// The encoding of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextEncoding {
    Utf8,
    /// Also what is called Latin-1.
    Windows1252,
    Other(&'static Encoding),
}

impl TextEncoding {
    /// Its name in the WHATWG's Encoding Standard.
    pub fn name(self) -> &'static str {
        match self {
            TextEncoding::Utf8 => "UTF-8",
            TextEncoding::Windows1252 => "windows-1252",
            TextEncoding::Other(encoding) => encoding.name(),
        }
    }

    /// What decodes it before anything looks at the text, if something must.
    pub fn decoder(self) -> Option<&'static Encoding> {
        match self {
            TextEncoding::Utf8 => None,
            TextEncoding::Windows1252 => Some(WINDOWS_1252),
            TextEncoding::Other(encoding) => Some(encoding),
        }
    }

    /// The encoding of a text that starts so, unless nothing tells.
    pub fn found(name: &str, start: &[u8]) -> Result<Self, SourceError> {
        match guess_encoding(start) {
            Guess::Utf8 => Ok(TextEncoding::Utf8),
            Guess::Utf16Le => Ok(TextEncoding::Other(UTF_16LE)),
            Guess::Utf16Be => Ok(TextEncoding::Other(UTF_16BE)),
            Guess::Windows1252 => Ok(TextEncoding::Windows1252),
            Guess::Unknown { offset } => {
                let before = start.get(..offset).unwrap_or_default();
                let line = memchr::memchr_iter(b'\n', before).count() as u64 + 1;
                let byte = start.get(offset).copied().unwrap_or_default();
                Err(SourceError::Encoding { name: name.to_owned(), line, byte })
            }
        }
    }
}

/// An encoding by one of the names that the WHATWG's Encoding Standard lists, in any case.
pub fn parse_encoding(text: &str) -> Result<TextEncoding, Misread> {
    let found = match text.to_ascii_lowercase().as_str() {
        "utf-8-sig" | "utf_8" => Some(UTF_8),
        "utf_16" | "utf16" => Some(UTF_16LE),
        other => Encoding::for_label(other.as_bytes()),
    };
    match found {
        Some(encoding) if encoding == UTF_8 => Ok(TextEncoding::Utf8),
        Some(encoding) if encoding == WINDOWS_1252 => Ok(TextEncoding::Windows1252),
        Some(encoding) => Ok(TextEncoding::Other(encoding)),
        None => Err(Misread::new(
            text,
            "not an encoding that is known: utf-8, utf-16le, utf-16be, windows-1250 to windows-1258, iso-8859-1 to -16, koi8-r, \
             shift_jis, euc-jp, euc-kr, gb18030, big5 and the other names of the WHATWG are",
        )),
    }
}

/// A reader's bytes as UTF-8 without a byte order mark; without an encoding, as they are.
pub struct Decoder<R> {
    inner: R,
    decoder: Option<encoding_rs::Decoder>,
    raw: Vec<u8>,
    ready: Ready,
    ended: bool,
}

impl<R: Read> Decoder<R> {
    pub fn new(inner: R, encoding: Option<&'static Encoding>) -> Self {
        let decoder = encoding.map(Encoding::new_decoder_with_bom_removal);
        Self { inner, decoder, raw: Vec::new(), ready: Ready::default(), ended: false }
    }

    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    fn fill(&mut self, decoder: &mut encoding_rs::Decoder) -> io::Result<()> {
        let ready = self.ready.renew();
        while ready.is_empty() && !self.ended {
            self.raw.resize(BLOCK, 0);
            let n = self.inner.read(&mut self.raw)?;
            self.ended = n == 0;
            decode(decoder, self.raw.get(..n).unwrap_or_default(), self.ended, ready);
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(mut decoder) = self.decoder.take() else { return self.inner.read(out) };
        let filled = if self.ready.is_spent() { self.fill(&mut decoder) } else { Ok(()) };
        self.decoder = Some(decoder);
        filled?;
        Ok(self.ready.hand(out))
    }
}

/// Appends what `raw` says.
fn decode(decoder: &mut encoding_rs::Decoder, raw: &[u8], last: bool, out: &mut Vec<u8>) {
    let mut at = 0;
    loop {
        let rest = raw.get(at..).unwrap_or_default();
        let had = out.len();
        let room = decoder.max_utf8_buffer_length_without_replacement(rest.len()).unwrap_or(4 * rest.len() + 16);
        out.resize(had + room.max(16), 0);
        let (result, read, written) =
            decoder.decode_to_utf8_without_replacement(rest, out.get_mut(had..).unwrap_or_default(), last);
        out.truncate(had + written);
        at += read;
        match result {
            DecoderResult::InputEmpty => return,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => out.push(NO_CHARACTER),
        }
    }
}

/// All of a text in memory, decoded; `last`: nothing follows.
pub fn decoded(encoding: &'static Encoding, raw: &[u8], last: bool) -> Vec<u8> {
    let mut out = Vec::new();
    decode(&mut encoding.new_decoder_with_bom_removal(), raw, last, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &[u8], label: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let encoding = parse_encoding(label).unwrap();
        Decoder::new(raw, encoding.decoder()).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn encodings_by_name() {
        for (name, expected) in [
            ("CP1252", "windows-1252"),
            ("latin1", "windows-1252"),
            ("utf8", "UTF-8"),
            ("sjis", "Shift_JIS"),
            ("utf-16", "UTF-16LE"),
        ] {
            assert_eq!(parse_encoding(name).unwrap().name(), expected);
        }
        assert!(parse_encoding("cp850").unwrap_err().to_string().contains("windows-1250"));
    }

    #[test]
    fn texts_of_other_encodings() {
        assert_eq!(read(b"\xff\xfea\0,\0\xeb\0\n\0", "utf-16le"), "a,ë\n".as_bytes());
        assert_eq!(read(b"\x80 5\x93", "cp1252"), "€ 5“".as_bytes());
        assert_eq!(read(b"\x93\xfa\x96\x7b\n", "shift_jis"), "日本\n".as_bytes());
        assert_eq!(read(b"as it is\xff", "utf-8"), b"as it is\xff");
        let long = "größe".repeat(50_000);
        let raw: Vec<u8> = long.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert!(read(&raw, "utf-16be") == long.as_bytes());
    }

    #[test]
    fn what_is_no_character_stays_a_fault() {
        // Half a surrogate pair, and a byte that is cut off.
        assert_eq!(read(b"a\0\x00\xd8\n\0b", "utf-16le"), b"a\xff\n\xff");
    }
}
