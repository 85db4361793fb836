//! What a program of a user's wrote, read with the same parsers as files: here nothing is guessed from a sample, and nothing
//! that does not fit is widened.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::ingest::ParseTask;
use shardmill_common::kinds::ingest::{BytesAs, Chunk, ChunkPlace, Fixed, SourceFormat};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::text::{Encoding, Grammar};

use super::column::Notation;
use super::parsed::{Parsed, parse};
use super::tabs::{KeyedRecords, TabRecords};
use super::text::{parse_text, source_text};

/// A piece of it, cut between records.
pub struct Written<'a> {
    /// For messages.
    pub what: &'a str,
    pub layout: Layout<'a>,
    /// Of the piece, counted from 1.
    pub first_line: u64,
}

#[derive(Clone, Copy, Debug)]
pub enum Layout<'a> {
    /// A line a row, cells between tabs. `open`: the last column takes what is left of the line.
    Tabs { columns: &'a [Field], open: bool },
    /// A JSON object a line, of these columns.
    Objects { columns: &'a [Field] },
    /// A JSON object a line: the texts of these keys and the line itself, as columns of strings.
    Keyed { keys: &'a [String], line: &'a str },
    /// An Arrow IPC stream of these columns, with the types it has or, where `fixed`, those given.
    Arrow { columns: &'a [Field], fixed: bool },
}

/// Parses a piece of valid UTF-8, or a whole Arrow stream; what does not fit is among the rejected.
pub fn parse_written(bytes: Vec<u8>, written: &Written<'_>) -> Result<Parsed, Failure> {
    let task = |format: SourceFormat, columns: &[Field], fixed| ParseTask {
        chunk: Chunk {
            source: 0,
            place: ChunkPlace::File { path: String::new(), offset: 0 },
            bytes: bytes.len() as u64,
            first_line: written.first_line,
            groups: None,
        },
        source_name: written.what.to_owned(),
        format: format.into(),
        schema: Schema::new(columns.to_vec()).into(),
        fixed: if fixed { Fixed::All } else { Fixed::None },
        bytes: BytesAs::Binary,
        nulls: Vec::new().into(),
        wanted: None,
        constants: None,
        rules: Vec::new().into(),
        statistics: Vec::new().into(),
        expects: Schema::default().into(),
        ordinal: 0,
        hash: None,
    };
    match written.layout {
        Layout::Tabs { columns, open } => {
            let task = task(SourceFormat::JsonLines, columns, true);
            let source = source_text(bytes, Encoding::Utf8, Grammar::lines(), &task)?;
            parse_text(&source, &task, Notation::Csv { quote: None, numbers: None }, columns.to_vec(), |fields| {
                TabRecords::new(source.bytes(), fields.len(), open)
            })
        }
        Layout::Keyed { keys, line } => {
            let names = keys.iter().map(String::as_str).chain([line]);
            let columns: Vec<Field> = names.map(|name| Field::new(name, DataType::String)).collect();
            let task = task(SourceFormat::JsonLines, &columns, true);
            let source = source_text(bytes, Encoding::Utf8, Grammar::lines(), &task)?;
            parse_text(&source, &task, Notation::Json, columns, |_| KeyedRecords::new(source.bytes(), keys))
        }
        Layout::Objects { columns } => {
            let task = task(SourceFormat::JsonLines, columns, true);
            parse(bytes, &task)
        }
        Layout::Arrow { columns, fixed } => {
            let task = task(SourceFormat::Arrow, columns, fixed);
            parse(bytes, &task)
        }
    }
}
