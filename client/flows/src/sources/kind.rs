//! What a source is: its format and how it is compressed, by option, name and first bytes.

use std::path::Path;

use super::error::SourceError;
use crate::export::Format;

/// How a source is compressed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Packing::Plain => None,
            Packing::Gzip => Some("gzip"),
            Packing::Zstd => Some("zstd"),
        }
    }
}

/// By the first bytes; a name that promises compression which is not there is an error.
pub fn packing(name: &str, head: &[u8]) -> Result<Packing, SourceError> {
    let found = match head {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        _ => Packing::Plain,
    };
    let promised = match extension(Path::new(name)).as_deref() {
        Some("gz") => "gzip",
        Some("zst") => "zstd",
        _ => return Ok(found),
    };
    if found.name() != Some(promised) && !head.is_empty() {
        return Err(SourceError::NotPacked { name: name.to_owned(), promised });
    }
    Ok(found)
}

/// The format of a source, from `--format`, its name, or `head`, its first bytes after decompression.
pub fn kind(name: &str, given: Option<Format>, head: &[u8]) -> Result<Format, SourceError> {
    let by_content = by_content(head);
    let Some(kind) = given.or_else(|| by_name(name)).or(by_content) else {
        return Err(SourceError::UnknownFormat { name: name.to_owned() });
    };
    match (kind, by_content) {
        (Format::Parquet | Format::Arrow, found) if found != Some(kind) => {
            Err(SourceError::OtherStart { name: name.to_owned(), format: kind })
        }
        (text, Some(found)) if text != found => {
            let found = if found == Format::Parquet { "parquet" } else { "arrow" };
            Err(SourceError::NotText { name: name.to_owned(), found })
        }
        _ => {
            check_text(name, kind, head)?;
            Ok(kind)
        }
    }
}

/// Text in an encoding that is not read, and well-known files that are not text, get a word of their own.
fn check_text(name: &str, kind: Format, head: &[u8]) -> Result<(), SourceError> {
    if !kind.is_text() {
        return Ok(());
    }
    let name = || name.to_owned();
    match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(SourceError::Utf16 { name: name() }),
        [b'P', b'K', 3, 4, ..] => Err(SourceError::Archive { name: name() }),
        _ if kind == Format::Jsonl && head.trim_ascii_start().first() == Some(&b'[') => {
            Err(SourceError::JsonArray { name: name() })
        }
        _ => Ok(()),
    }
}

fn by_content(head: &[u8]) -> Option<Format> {
    if head.starts_with(b"PAR1") {
        Some(Format::Parquet)
    } else if head.starts_with(b"ARROW1") || head.starts_with(&[0xff; 4]) {
        Some(Format::Arrow)
    } else {
        None
    }
}

fn by_name(name: &str) -> Option<Format> {
    if name == "-" {
        return Some(Format::Csv);
    }
    let path = Path::new(name);
    let inner = match extension(path).as_deref() {
        Some("gz" | "zst") => path.with_extension(""),
        _ => path.to_owned(),
    };
    match extension(&inner)?.as_str() {
        "dat" => Some(Format::Csv),
        other => Format::of_extension(other),
    }
}

fn extension(path: &Path) -> Option<String> {
    path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_format_through_compression() {
        for (name, expected) in [
            ("a.csv", Format::Csv),
            ("a.CSV.GZ", Format::Csv),
            ("a.dat", Format::Csv),
            ("a.tsv.zst", Format::Tsv),
            ("a.ndjson", Format::Jsonl),
            ("-", Format::Csv),
        ] {
            assert_eq!(kind(name, None, b"x").unwrap(), expected, "{name}");
        }
        assert_eq!(kind("a.pq", None, b"PAR1...").unwrap(), Format::Parquet);
        assert_eq!(kind("noname", None, b"ARROW1..").unwrap(), Format::Arrow);
        assert_eq!(kind("noname", Some(Format::Jsonl), b"{}").unwrap(), Format::Jsonl);
        assert!(matches!(kind("-", None, b"PAR1").unwrap_err(), SourceError::NotText { .. }));
    }

    #[test]
    fn files_that_are_something_else_are_refused() {
        for (name, head, part) in [
            ("a.parquet", &b"hello"[..], "not a Parquet file"),
            ("a.csv", b"PAR1abc", "--format parquet"),
            ("a.csv", b"\xff\xfea\0", "UTF-16"),
            ("a.json", b"\n [{}]", "JSON array"),
            ("a.csv", b"PK\x03\x04", "zip"),
            ("README.md", b"# hi", "--format"),
        ] {
            let error = kind(name, None, head).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn compression_is_what_the_bytes_say() {
        assert_eq!(packing("a.csv", &[0x1f, 0x8b, 8]).unwrap(), Packing::Gzip);
        assert_eq!(packing("a.csv.zst", &[0x28, 0xb5, 0x2f, 0xfd]).unwrap(), Packing::Zstd);
        assert_eq!(packing("a.csv", b"a,b").unwrap(), Packing::Plain);
        assert!(packing("a.csv.gz", b"a,b").is_err());
    }
}
