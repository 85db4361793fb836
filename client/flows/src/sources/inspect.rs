//! A first look into a source: what it is, its columns, and the types in its first records.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use shardmill_common::kinds::ingest::SourceFormat;
use shardmill_common::schema::Schema;
use shardmill_common::text::{bom_len, read_header};
use shardmill_common::time::Timestamp;
use tempfile::NamedTempFile;

use super::columnar;
use super::error::{SourceError, TakeError};
use super::expand::{Found, Origin};
use super::kind::{self, Packing};
use super::open::{Pulse, Tee, Unpacked, explain};
use super::options::ReadOptions;
use super::sample::{START, sample};
use crate::error::FlowError;
use crate::export::Format;
use crate::machine;

/// Raw and unpacked bytes that a first look reads at most: room for the widest header.
const HEAD: usize = 4 << 20;

/// A source after the first look.
pub struct Inspected {
    pub name: String,
    pub location: String,
    /// Bytes as they lie there; 0 where that is not known before they are read.
    pub size: u64,
    pub modified: Option<Timestamp>,
    pub packing: Packing,
    pub format: SourceFormat,
    /// Columns and sampled types.
    pub schema: Schema,
    pub body: Body,
}

/// Where the rows are.
pub enum Body {
    /// Text: the data begins at this offset and line of the unpacked bytes.
    Text {
        feed: Feed,
        offset: u64,
        first_line: u64,
    },
    Columnar {
        place: Place,
        groups: Vec<u64>,
    },
}

/// Bytes to read from the start.
pub enum Feed {
    File(PathBuf),
    /// A stream, with what the first look took from it put back.
    Once(Box<dyn Read + Send>),
}

/// A file with a footer, which must lie on disk to be read.
pub enum Place {
    File(PathBuf),
    /// A copy of what came packed or by a stream; removed in the end. With the size and checksum of the original.
    Spooled {
        file: NamedTempFile,
        size: u64,
        checksum: String,
    },
}

/// Looks into a source. Reads a file's start only; a packed or streamed Parquet or Arrow file is copied to disk.
pub fn inspect(found: Found, options: &ReadOptions, pulse: &Pulse) -> Result<Inspected, FlowError> {
    let Found { name, origin } = found;
    let cannot = |error: io::Error| SourceError::Unreadable { name: name.clone(), error };
    let mut raw = open(&origin).map_err(cannot)?;
    let (mut size, mut modified) = (0, None);
    if let Origin::File(path) = &origin {
        let meta = std::fs::metadata(path).map_err(cannot)?;
        (size, modified) = (meta.len(), meta.modified().ok().map(Timestamp::from));
    }
    let mut raw_head = Vec::new();
    raw.by_ref().take(HEAD as u64).read_to_end(&mut raw_head).map_err(cannot)?;
    // Lines of text have their column whatever they hold.
    let may_be_empty = options.kind == Some(Format::Lines);
    if raw_head.is_empty() && !may_be_empty {
        return Err(SourceError::Empty { name: shown(&name).to_owned() }.into());
    }
    let whole = raw_head.len() < HEAD;
    let packing = kind::packing(&name, &raw_head)?;
    let (head, last) = unpacked_head(&name, packing, &raw_head, whole, may_be_empty)?;
    let kind = kind::kind(&name, options.kind, &head)?;
    let location = location(&origin);
    let feed = match origin {
        Origin::File(path) => Feed::File(path),
        Origin::Pipe(_) | Origin::Stdin => Feed::Once(Box::new(Cursor::new(raw_head).chain(raw))),
    };
    let (format, schema, body) = if kind.is_text() {
        text(&name, kind, options, &head, last, feed)?
    } else {
        footer(&name, kind, packing, feed, pulse)?
    };
    Ok(Inspected { name, location, size, modified, packing, format, schema, body })
}

fn shown(name: &str) -> &str {
    if name == "-" { "standard input" } else { name }
}

fn open(origin: &Origin) -> io::Result<Box<dyn Read + Send>> {
    Ok(match origin {
        Origin::File(path) | Origin::Pipe(path) => Box::new(File::open(path)?),
        Origin::Stdin => Box::new(io::stdin()),
    })
}

/// `file://host/absolute/path`, with what a URL cannot hold escaped; `stdin:` of standard input.
fn location(origin: &Origin) -> String {
    match origin {
        Origin::Stdin => "stdin:".to_owned(),
        Origin::File(path) | Origin::Pipe(path) => file_location(path),
    }
}

/// The location of a file.
pub fn file_location(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut url = format!("file://{}", machine::hostname());
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'/'
            | b'-'
            | b'_'
            | b'.'
            | b'~'
            | b'+'
            | b'='
            | b','
            | b'@'
            | b':' => {
                url.push(char::from(*byte));
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// The first unpacked bytes, and whether they are all.
fn unpacked_head(
    name: &str,
    packing: Packing,
    raw: &[u8],
    whole: bool,
    may_be_empty: bool,
) -> Result<(Vec<u8>, bool), SourceError> {
    if packing == Packing::Plain {
        return Ok((raw.to_vec(), whole));
    }
    let broken = |e: io::Error| explain(name, packing, e);
    let mut head = Vec::new();
    let mut unpacked = Unpacked::new(raw, packing).map_err(broken)?.take(HEAD as u64);
    match unpacked.read_to_end(&mut head) {
        Ok(0) if !may_be_empty => Err(SourceError::Empty { name: name.to_owned() }),
        Ok(n) => Ok((head, whole && n < HEAD)),
        // The rest of the packed data comes later.
        Err(_) if !whole && !head.is_empty() => Ok((head, false)),
        Err(e) => Err(broken(e)),
    }
}

type Look = (SourceFormat, Schema, Body);

fn text(
    name: &str,
    kind: Format,
    options: &ReadOptions,
    head: &[u8],
    last: bool,
    feed: Feed,
) -> Result<Look, SourceError> {
    let name_of = || shown(name).to_owned();
    let bom = bom_len(head);
    let start = head.get(bom..).unwrap_or_default();
    let (format, data_start, lines) = if kind == Format::Jsonl {
        (SourceFormat::JsonLines, 0, 0)
    } else if kind == Format::Lines {
        (SourceFormat::Lines { encoding: options.encoding }, 0, 0)
    } else {
        let dialect = options.dialect(kind);
        let header =
            read_header(start, &dialect, last).map_err(|error| SourceError::Header { name: name_of(), error })?;
        let columns = if dialect.header { header.names } else { named_by_schema(name, header.names, options)? };
        (SourceFormat::Csv { dialect, columns }, header.data_start, header.lines)
    };
    let data = start.get(data_start..).unwrap_or_default();
    let few = data.get(..START).unwrap_or(data);
    let all = last && few.len() == data.len();
    let mut schema = sample(name, &format, options.encoding, &options.nulls, few, all)?;
    if few.len() < data.len() && schema.fields.iter().all(|f| f.dtype == shardmill_common::schema::DataType::Null) {
        // Records longer than the usual sample: look at all there is.
        schema = sample(name, &format, options.encoding, &options.nulls, data, last)?;
    }
    if schema.is_empty() {
        return Err(SourceError::NoKeys { name: name_of() });
    }
    Ok((format, schema, Body::Text { feed, offset: (bom + data_start) as u64, first_line: lines + 1 }))
}

/// Columns without a header take the names of `--schema`, where their number fits.
fn named_by_schema(name: &str, numbered: Vec<String>, options: &ReadOptions) -> Result<Vec<String>, SourceError> {
    match &options.schema {
        None => Ok(numbered),
        Some(schema) if schema.len() == numbered.len() => Ok(schema.names().map(str::to_owned).collect()),
        Some(schema) => {
            Err(SourceError::Width { name: shown(name).to_owned(), columns: numbered.len(), schema: schema.clone() })
        }
    }
}

fn footer(name: &str, kind: Format, packing: Packing, feed: Feed, pulse: &Pulse) -> Result<Look, FlowError> {
    let place = match feed {
        Feed::File(path) if packing == Packing::Plain => Place::File(path),
        feed => spool(name, packing, feed, pulse)?,
    };
    let path: &Path = match &place {
        Place::File(path) => path,
        Place::Spooled { file, .. } => file.path(),
    };
    let (format, footer) = match kind {
        Format::Arrow => (SourceFormat::Arrow, columnar::arrow(shown(name), path)?),
        _ => (SourceFormat::Parquet, columnar::parquet(shown(name), path)?),
    };
    Ok((format, footer.schema, Body::Columnar { place, groups: footer.groups }))
}

/// Copies a stream to disk, unpacked.
fn spool(name: &str, packing: Packing, feed: Feed, pulse: &Pulse) -> Result<Place, FlowError> {
    let broken = |e: io::Error| explain(shown(name), packing, e);
    let raw: Box<dyn Read + Send> = match feed {
        Feed::File(path) => Box::new(File::open(path).map_err(broken)?),
        Feed::Once(stream) => stream,
    };
    let mut unpacked = Unpacked::new(Tee::new(raw, pulse.clone()), packing).map_err(broken)?;
    let mut file = NamedTempFile::new().map_err(TakeError::Temporary)?;
    io::copy(&mut unpacked, &mut file).map_err(broken)?;
    let (size, checksum) = unpacked.into_raw().finish().map_err(broken)?;
    Ok(Place::Spooled { file, size, checksum })
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
