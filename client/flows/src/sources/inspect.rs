//! A first look into a source: what it is, its columns, and the types in its first records.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use shardmill_common::kinds::ingest::{Constant, SourceFormat};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::text::classify;
use shardmill_common::time::Timestamp;
use tempfile::NamedTempFile;

use super::archive::Member;
use super::columnar;
use super::error::{SourceError, TakeError};
use super::expand::{Found, Origin};
use super::kind::{self, Packing};
use super::open::{Pulse, Tee, explain};
use super::options::ReadOptions;
use super::script::Script;
use super::text::{self, Head, TextLook};
use super::unpack::Unpacked;
use super::workbook::Sheet;
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
    /// Columns that are there and not wanted.
    pub left_out: Vec<String>,
    /// Columns that only its path has; they are in the schema.
    pub constants: Vec<Constant>,
    pub body: Body,
    /// How its text is written, in words, and whether somebody should be told.
    pub read_as: Option<String>,
    pub remarkable: bool,
    /// What was made of its header, and what else a person should know.
    pub notices: Vec<String>,
}

/// Where the rows are.
pub enum Body {
    /// Text: the data begins at this offset of what the script makes of the unpacked bytes, in this line of the source.
    Text {
        feed: Feed,
        script: Script,
        offset: u64,
        first_line: u64,
    },
    Columnar {
        place: Place,
        groups: Vec<u64>,
    },
}

impl Inspected {
    /// Calls the columns of a text without a header so, if there are as many of them.
    pub fn call_columns(&mut self, names: &[String]) -> bool {
        let SourceFormat::Csv { dialect, columns } = &mut self.format else { return false };
        if dialect.header || columns.len() != names.len() || !self.constants.is_empty() {
            return false;
        }
        for (field, name) in self.schema.fields.iter_mut().zip(names) {
            field.name.clone_from(name);
        }
        *columns = names.iter().cloned().map(Some).collect();
        true
    }
}

/// Bytes to read from the start.
pub enum Feed {
    File(PathBuf),
    Member(Member),
    Sheet(Sheet),
    /// A stream, with what the first look took from it put back.
    Once(Box<dyn Read + Send>),
}

impl Feed {
    /// The bytes from the start; a stream is used up.
    pub fn open(self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Feed::File(path) => Box::new(File::open(path)?),
            Feed::Member(member) => member.open()?,
            Feed::Sheet(sheet) => Box::new(Cursor::new(sheet.text)),
            Feed::Once(stream) => stream,
        })
    }
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
    let Found { name, origin, mut constants } = found;
    let cannot = |error: io::Error| SourceError::Unreadable { name: name.clone(), error };
    let mut raw = open(&origin).map_err(cannot)?;
    let (mut size, mut modified) = (0, None);
    if let Origin::File(path) = &origin {
        let meta = std::fs::metadata(path).map_err(cannot)?;
        (size, modified) = (meta.len(), meta.modified().ok().map(Timestamp::from));
    } else if let Origin::Member(member) = &origin {
        size = member.size;
    } else if let Origin::Sheet(sheet) = &origin {
        size = sheet.text.len() as u64;
    }
    let sheet = match &origin {
        Origin::Sheet(sheet) => Some(sheet.clone()),
        _ => None,
    };
    let of_sheet = sheet.is_some().then(|| options.of_sheet());
    let options = of_sheet.as_ref().unwrap_or(options);
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
        Origin::Member(member) => Feed::Member(member),
        Origin::Sheet(sheet) => Feed::Sheet(sheet),
        Origin::Pipe(_) | Origin::Stdin => Feed::Once(Box::new(Cursor::new(raw_head).chain(raw))),
    };
    let look = if kind.is_text() {
        let look = text::look(&Head { name: &name, bytes: &head, last }, kind, options)?;
        let TextLook { format, schema, left_out, script, offset, first_line, read_as, remarkable, notices } = look;
        let body = Body::Text { feed, script, offset, first_line };
        Look { format, schema, left_out, body, read_as, remarkable, notices }
    } else {
        footer(&name, kind, packing, feed, options, pulse)?
    };
    let Look { format, mut schema, left_out, mut body, mut read_as, mut remarkable, mut notices } = look;
    if let Some(sheet) = &sheet {
        texts_stay(sheet, &format, &mut schema);
        if let Body::Text { first_line, .. } = &mut body {
            *first_line += sheet.above;
        }
        read_as = read_as.map(|how| how.replacen("comma", "sheet of a workbook", 1));
        remarkable = false;
        notices.extend(sheet.notices.iter().cloned());
    }
    // A column that the file has itself wins.
    constants.retain(|c| options.wanted.takes(&c.column) && schema.get(&c.column).is_none());
    for Constant { column, value } in &constants {
        schema.fields.push(Field::new(column.as_str(), classify(value.as_deref().unwrap_or_default())));
    }
    Ok(Inspected {
        name,
        location,
        size,
        modified,
        packing,
        format,
        schema,
        left_out,
        constants,
        body,
        read_as,
        remarkable,
        notices,
    })
}

/// Cells that a workbook has as texts are no numbers, dates or booleans, whatever they look like.
fn texts_stay(sheet: &Sheet, format: &SourceFormat, schema: &mut Schema) {
    let SourceFormat::Csv { columns, .. } = format else { return };
    for (column, is_text) in columns.iter().zip(&sheet.texts) {
        let field = column.as_ref().and_then(|name| schema.fields.iter_mut().find(|f| f.name == *name));
        if let Some(field) = field.filter(|f| *is_text && f.dtype != DataType::Null) {
            field.dtype = DataType::String;
        }
    }
}

/// A source's name in messages.
pub fn shown(name: &str) -> &str {
    if name == "-" { "standard input" } else { name }
}

fn open(origin: &Origin) -> io::Result<Box<dyn Read + Send>> {
    Ok(match origin {
        Origin::File(path) | Origin::Pipe(path) => Box::new(File::open(path)?),
        Origin::Stdin => Box::new(io::stdin()),
        Origin::Member(member) => member.open()?,
        Origin::Sheet(sheet) => Box::new(Cursor::new(sheet.text.clone())),
    })
}

/// `file://host/absolute/path`, with what a URL cannot hold escaped; `stdin:` of standard input.
fn location(origin: &Origin) -> String {
    match origin {
        Origin::Stdin => "stdin:".to_owned(),
        Origin::File(path) | Origin::Pipe(path) => file_location(path),
        Origin::Member(member) => file_location(&member.archive),
        Origin::Sheet(sheet) => file_location(&sheet.workbook),
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

/// What a first look finds in any source.
struct Look {
    format: SourceFormat,
    schema: Schema,
    left_out: Vec<String>,
    body: Body,
    read_as: Option<String>,
    remarkable: bool,
    notices: Vec<String>,
}

fn footer(
    name: &str,
    kind: Format,
    packing: Packing,
    feed: Feed,
    options: &ReadOptions,
    pulse: &Pulse,
) -> Result<Look, FlowError> {
    let place = match feed {
        Feed::File(path) if packing == Packing::Plain => Place::File(path),
        feed => spool(name, packing, feed, pulse)?,
    };
    let path: &Path = match &place {
        Place::File(path) => path,
        Place::Spooled { file, .. } => file.path(),
    };
    let (format, footer) = match kind {
        Format::Arrow => (SourceFormat::Arrow, columnar::arrow(shown(name), path, options)?),
        _ => (SourceFormat::Parquet, columnar::parquet(shown(name), path, options)?),
    };
    let columnar::Footer { columns: columnar::Columns { schema, left_out, notices }, groups } = footer;
    let body = Body::Columnar { place, groups };
    Ok(Look { format, schema, left_out, body, read_as: None, remarkable: false, notices })
}

/// Copies a stream to disk, unpacked.
fn spool(name: &str, packing: Packing, feed: Feed, pulse: &Pulse) -> Result<Place, FlowError> {
    let broken = |e: io::Error| explain(shown(name), packing, e);
    let raw = feed.open().map_err(broken)?;
    let mut unpacked = Unpacked::new(Tee::new(raw, pulse.clone()), packing).map_err(broken)?;
    let mut file = NamedTempFile::new().map_err(TakeError::Temporary)?;
    io::copy(&mut unpacked, &mut file).map_err(broken)?;
    let (size, checksum) = unpacked.raw().and_then(Tee::finish).map_err(broken)?;
    Ok(Place::Spooled { file, size, checksum })
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
