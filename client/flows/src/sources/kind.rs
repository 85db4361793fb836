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
    Bzip2,
    Xz,
    Lz4,
}

impl Packing {
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Packing::Plain => None,
            Packing::Gzip => Some("gzip"),
            Packing::Zstd => Some("zstd"),
            Packing::Bzip2 => Some("bzip2"),
            Packing::Xz => Some("xz"),
            Packing::Lz4 => Some("lz4"),
        }
    }
}

/// By the first bytes; a name that promises compression which is not there is an error.
pub fn packing(name: &str, head: &[u8]) -> Result<Packing, SourceError> {
    let found = match head {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packing::Zstd,
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, ..] => {
            Packing::Bzip2
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Xz,
        [0x04, 0x22, 0x4d, 0x18, ..] => Packing::Lz4,
        _ => Packing::Plain,
    };
    if let Some(other) = other_packing(head) {
        return Err(SourceError::OtherPacking { name: name.to_owned(), packing: other });
    }
    let promised = match extension(Path::new(name)).as_deref() {
        Some("gz") => "gzip",
        Some("zst") => "zstd",
        Some("bz2") => "bzip2",
        Some("xz") => "xz",
        Some("lz4") => "lz4",
        _ => return Ok(found),
    };
    if found.name() != Some(promised) && !head.is_empty() {
        return Err(SourceError::NotPacked { name: name.to_owned(), promised });
    }
    Ok(found)
}

/// Packed in a way that is not read.
fn other_packing(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x1f, 0x9d, ..] => Some("Unix compress (.Z)"),
        [b'7', b'z', 0xbc, 0xaf, ..] => Some("7-Zip"),
        [b'R', b'a', b'r', b'!', ..] => Some("RAR"),
        [0x5d, 0, 0, ..] => Some("LZMA alone"),
        [b'L', b'Z', b'I', b'P', ..] => Some("lzip"),
        _ if head.get(257..262) == Some(b"ustar") => Some("tar"),
        _ => None,
    }
}

/// The format of a source, from `--format`, its name, or `head`, its first bytes after decompression.
pub fn kind(name: &str, given: Option<Format>, head: &[u8]) -> Result<Format, SourceError> {
    let by_content = by_content(head);
    let Some(kind) = given.or_else(|| by_name(name)).or(by_content) else {
        return Err(SourceError::UnknownFormat { name: name.to_owned() });
    };
    match (kind, by_content) {
        // A workbook is its sheets, which are text; this is none.
        (Format::Xlsx, _) => Err(match head {
            [b'P', b'K', 3, 4, ..] => SourceError::PipedWorkbook { name: name.to_owned() },
            _ => SourceError::NotPacked { name: name.to_owned(), promised: "workbook" },
        }),
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
        [b'P', b'K', 3, 4, ..] => Err(SourceError::Archive { name: name() }),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Err(SourceError::PipedWorkbook { name: name() }),
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
        Some("gz" | "zst" | "bz2" | "xz" | "lz4") => path.with_extension(""),
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
        assert_eq!(packing("a.csv", b"BZh91AY&SY").unwrap(), Packing::Bzip2);
        assert_eq!(packing("a.csv", b"BZh9,b\n").unwrap(), Packing::Plain);
        for (head, name) in [(&b"\x1f\x9d\x90"[..], ".Z"), (b"7z\xbc\xaf\x27", "7-Zip")] {
            assert!(packing("a", head).unwrap_err().to_string().contains(name));
        }
    }
}
