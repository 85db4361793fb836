//! What a source is: its format and how it is compressed, by option, name and first bytes.

use std::path::Path;

use crate::error::FlowError;
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
pub fn packing(name: &str, head: &[u8]) -> Result<Packing, FlowError> {
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
        return Err(FlowError::wrong(format!(
            "{name} is not {promised} data, although its name says so: rename it or copy it again"
        )));
    }
    Ok(found)
}

/// The format of a source, from `--format`, its name, or `head`, its first bytes after decompression.
pub fn kind(name: &str, given: Option<Format>, head: &[u8]) -> Result<Format, FlowError> {
    let by_content = by_content(head);
    let Some(kind) = given.or_else(|| by_name(name)).or(by_content) else {
        return Err(FlowError::wrong(format!(
            "cannot tell the format of {name} from its name: add --format csv, tsv, jsonl, lines, parquet or arrow"
        )));
    };
    match (kind, by_content) {
        (Format::Parquet | Format::Arrow, found) if found != Some(kind) => Err(FlowError::wrong(format!(
            "{name} is not {}: it does not begin with {}",
            if kind == Format::Parquet { "a Parquet file" } else { "an Arrow IPC file" },
            if kind == Format::Parquet { "`PAR1`" } else { "`ARROW1`, nor as an Arrow stream does" },
        ))),
        (text, Some(found)) if text != found => {
            let found = if found == Format::Parquet { "parquet" } else { "arrow" };
            Err(FlowError::wrong(format!("{name} is not text but {found}: add --format {found}, or rename the file")))
        }
        _ => {
            check_text(name, kind, head)?;
            Ok(kind)
        }
    }
}

/// Text in an encoding that is not read, and well-known files that are not text, get a word of their own.
fn check_text(name: &str, kind: Format, head: &[u8]) -> Result<(), FlowError> {
    if !kind.is_text() {
        return Ok(());
    }
    match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            Err(FlowError::wrong(format!("{name} is UTF-16 text: convert it first (iconv -f UTF-16 -t UTF-8)")))
        }
        [b'P', b'K', 3, 4, ..] => {
            Err(FlowError::wrong(format!("{name} is a zip archive or a workbook: unpack it or save it as CSV first")))
        }
        _ if kind == Format::Jsonl && head.trim_ascii_start().first() == Some(&b'[') => Err(FlowError::wrong(format!(
            "{name} is a JSON array, not JSON lines: write one object a line (jq -c '.[]' does)"
        ))),
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
        assert!(matches!(kind("-", None, b"PAR1").unwrap_err(), FlowError::Wrong(_)));
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
            assert!(error.to_string().contains(part) && matches!(error, FlowError::Wrong(_)), "{error}");
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
