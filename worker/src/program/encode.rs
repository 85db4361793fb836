//! Rows on their way to a program: cells between tabs, JSON objects, or an Arrow stream.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

use polars::prelude::{Column, CompatLevel, DataFrame, SchemaExt};
use polars_arrow::io::ipc::write::{StreamWriter, WriteOptions};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::mapreduce::step::Format;
use shardmill_common::schema::DataType;
use shardmill_common::text::{Kind, float_text, members, unescape_json};

use crate::frame::{our_type, texts_of};

/// Rows that are encoded at a time; their bytes are sent on once there are enough.
const ROWS: usize = 4096;
const BYTES: usize = 128 << 10;
/// Rows and bytes of a batch of an Arrow stream.
const BATCH_ROWS: usize = 64 << 10;
const BATCH_BYTES: usize = 8 << 20;
/// The name under which a map's lines travel to a reduce where nobody said what is in them.
pub(super) const LINE: &str = "line";

/// Why rows did not reach the program.
pub(super) enum Unsent {
    /// It does not read on.
    Closed,
    Failed(Failure),
}

impl From<Failure> for Unsent {
    fn from(failure: Failure) -> Self {
        Unsent::Failed(failure)
    }
}

pub(super) type Send<'a> = dyn FnMut(&[u8]) -> Result<(), Unsent> + 'a;

pub(super) struct Encoder<'a> {
    format: Format,
    what: &'a str,
    /// The keys of a reduce, whose rows may be lines of a map.
    keys: Option<&'a [String]>,
    /// Whether the rows are such lines, once any was seen.
    raw: Option<bool>,
    buffer: Vec<u8>,
    rows: u64,
    arrow: Option<StreamWriter<Written>>,
    written: Written,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(format: Format, what: &'a str, keys: Option<&'a [String]>) -> Self {
        Self {
            format,
            what,
            keys,
            raw: None,
            buffer: Vec::with_capacity(BYTES * 2),
            rows: 0,
            arrow: None,
            written: Written::default(),
        }
    }

    pub(super) fn rows(&mut self, frame: &DataFrame, send: &mut Send<'_>) -> Result<(), Unsent> {
        if self.format == Format::Arrow {
            return self.batches(frame, send);
        }
        let format = self.format;
        for at in (0..frame.height()).step_by(ROWS) {
            let part = frame.slice(at as i64, ROWS);
            match format {
                Format::Tsv => self.tabs(&part)?,
                _ if self.lines_of_a_map(&part)? => self.raw_lines(&part)?,
                _ => self.objects(&part)?,
            }
            self.rows += part.height() as u64;
            if self.buffer.len() >= BYTES {
                send(&self.buffer)?;
                self.buffer.clear();
            }
        }
        Ok(())
    }

    /// What is left, and the end.
    pub(super) fn finish(&mut self, send: &mut Send<'_>) -> Result<(), Unsent> {
        if let Some(writer) = &mut self.arrow {
            writer.finish().map_err(Failure::internal)?;
        }
        self.written.send(send)?;
        if !self.buffer.is_empty() {
            send(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn tabs(&mut self, part: &DataFrame) -> Result<(), Failure> {
        let columns = texts(part)?;
        let mut cells = columns.iter().map(Cells::of).collect::<Result<Vec<_>, _>>()?;
        let alone = cells.len() == 1;
        for row in 0..part.height() {
            for (index, cells) in cells.iter_mut().enumerate() {
                if index > 0 {
                    self.buffer.push(b'\t');
                }
                let Some(text) = cells.append(&mut self.buffer) else { continue };
                let breaks = if alone { memchr::memchr(b'\n', text) } else { memchr::memchr2(b'\n', b'\t', text) };
                if let Some(at) = breaks {
                    let (name, what) = (part.columns().get(index).map_or("", |c| c.name().as_str()), self.what);
                    let mark = if text.get(at) == Some(&b'\n') { "a line break" } else { "a tab" };
                    return Err(Failure::bad_input(format!(
                        "{what}: row {} of its input has {mark} in the column `{name}`, which the format tsv cannot carry: use --format jsonl or --format arrow",
                        self.rows + row as u64 + 1
                    )));
                }
            }
            self.buffer.push(b'\n');
        }
        Ok(())
    }

    fn objects(&mut self, part: &DataFrame) -> Result<(), Failure> {
        let columns = texts(part)?;
        let mut cells = columns.iter().map(Cells::of).collect::<Result<Vec<_>, _>>()?;
        let mut heads = Vec::with_capacity(columns.len());
        for (index, column) in part.columns().iter().enumerate() {
            let mut head = vec![if index == 0 { b'{' } else { b',' }];
            serde_json::to_writer(&mut head, column.name().as_str()).map_err(Failure::internal)?;
            head.push(b':');
            heads.push(head);
        }
        for _ in 0..part.height() {
            for (cells, head) in cells.iter_mut().zip(&heads) {
                self.buffer.extend_from_slice(head);
                cells.append_json(&mut self.buffer)?;
            }
            self.buffer.extend_from_slice(if heads.is_empty() { b"{}\n" } else { b"}\n" });
        }
        Ok(())
    }

    /// Whether these are the lines a map wrote, with the keys found in them: then the reduce gets the lines as they were.
    fn lines_of_a_map(&mut self, part: &DataFrame) -> Result<bool, Failure> {
        if let Some(raw) = self.raw {
            return Ok(raw);
        }
        let Some(keys) = self.keys else { return Ok(false) };
        let names = part.columns().iter().map(|c| c.name().as_str());
        let same_names = names.eq(keys.iter().map(String::as_str).chain([LINE]));
        let text = part.columns().iter().all(|c| our_type(c.dtype()) == Some(DataType::String));
        let raw = same_names && text && is_line_with_keys(part, keys)?;
        self.raw = Some(raw);
        Ok(raw)
    }

    fn raw_lines(&mut self, part: &DataFrame) -> Result<(), Failure> {
        let lines = part.column(LINE).and_then(|c| c.str()).map_err(Failure::internal)?;
        for line in lines.iter() {
            self.buffer.extend_from_slice(line.unwrap_or_default().as_bytes());
            self.buffer.push(b'\n');
        }
        Ok(())
    }

    fn batches(&mut self, frame: &DataFrame, send: &mut Send<'_>) -> Result<(), Unsent> {
        let level = CompatLevel::oldest();
        let writer = match &mut self.arrow {
            Some(writer) => writer,
            none => {
                let mut writer = StreamWriter::new(self.written.clone(), WriteOptions { compression: None });
                writer.start(&frame.schema().to_arrow(level), None).map_err(Failure::internal)?;
                none.insert(writer)
            }
        };
        let row_bytes = (frame.estimated_size() / frame.height().max(1)).max(1);
        let rows = (BATCH_BYTES / row_bytes).clamp(1, BATCH_ROWS);
        for at in (0..frame.height()).step_by(rows) {
            let mut part = frame.slice(at as i64, rows);
            part.rechunk_mut();
            for batch in part.iter_chunks(level, false) {
                writer.write(&batch, None).map_err(Failure::internal)?;
            }
            self.written.send(send)?;
        }
        Ok(())
    }
}

/// Where an Arrow writer, which keeps what it writes to, and the encoder meet.
#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Written {
    fn send(&self, send: &mut Send<'_>) -> Result<(), Unsent> {
        let mut bytes = self.0.borrow_mut();
        if !bytes.is_empty() {
            send(&bytes)?;
            bytes.clear();
        }
        Ok(())
    }
}

impl Write for Written {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Columns whose cells have a text that is written in one way everywhere; what is neither text nor a plain number becomes text.
fn texts(part: &DataFrame) -> Result<Vec<(Column, As)>, Failure> {
    let as_text = |column: &Column| match our_type(column.dtype()) {
        Some(DataType::String) => Ok((column.clone(), As::Text)),
        Some(DataType::Boolean | DataType::Int64 | DataType::Float64) => Ok((column.clone(), As::Number)),
        Some(dtype) => {
            let how = if dtype.is_numeric() { As::Number } else { As::Signs };
            texts_of(column).map(|c| (c, how)).map_err(Failure::internal)
        }
        None => Err(Failure::internal(format!("column `{}` has the type {}", column.name(), column.dtype()))),
    };
    part.columns().iter().map(as_text).collect()
}

/// The cells of a column, one after another.
enum Cells<'a> {
    Boolean(Box<dyn Iterator<Item = Option<bool>> + 'a>),
    Int(Box<dyn Iterator<Item = Option<i64>> + 'a>),
    Float(Box<dyn Iterator<Item = Option<f64>> + 'a>),
    Text { cells: Box<dyn Iterator<Item = Option<&'a str>> + 'a>, how: As },
}

/// What the text of a column's cells is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum As {
    /// Anything.
    Text,
    /// Digits and signs of a time and the like.
    Signs,
    /// A number.
    Number,
}

impl<'a> Cells<'a> {
    fn of((column, how): &'a (Column, As)) -> Result<Self, Failure> {
        let series = column.as_materialized_series();
        let found = match our_type(column.dtype()) {
            Some(DataType::Boolean) => series.bool().map(|c| Cells::Boolean(Box::new(c.iter()))),
            Some(DataType::Int64) => series.i64().map(|c| Cells::Int(Box::new(c.iter()))),
            Some(DataType::Float64) => series.f64().map(|c| Cells::Float(Box::new(c.iter()))),
            _ => series.str().map(|c| Cells::Text { cells: Box::new(c.iter()), how: *how }),
        };
        found.map_err(Failure::internal)
    }

    /// Appends the next cell, nothing where it is null. Of text that may hold anything, the text itself.
    fn append(&mut self, out: &mut Vec<u8>) -> Option<&'a [u8]> {
        // Writing to a Vec cannot fail.
        let _ = match self {
            Cells::Boolean(cells) => cells.next().flatten().map(|b| write!(out, "{b}")),
            Cells::Int(cells) => cells.next().flatten().map(|n| write!(out, "{n}")),
            Cells::Float(cells) => cells.next().flatten().map(|x| out.write_all(float_text(x).as_bytes())),
            Cells::Text { cells, how } => {
                let text = cells.next().flatten()?;
                out.extend_from_slice(text.as_bytes());
                return (*how == As::Text).then_some(text.as_bytes());
            }
        };
        None
    }

    /// Appends the next cell as a JSON value. JSON has no NaN and no infinity: they become null.
    fn append_json(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        let start = out.len();
        match self {
            Cells::Boolean(_) | Cells::Int(_) | Cells::Text { how: As::Number, .. } => {
                self.append(out);
            }
            Cells::Float(cells) => {
                if let Some(x) = cells.next().flatten().filter(|x| x.is_finite()) {
                    out.extend_from_slice(float_text(x).as_bytes());
                }
            }
            Cells::Text { cells, .. } => {
                if let Some(text) = cells.next().flatten() {
                    serde_json::to_writer(&mut *out, text).map_err(Failure::internal)?;
                }
            }
        }
        if out.len() == start {
            out.extend_from_slice(b"null");
        }
        Ok(())
    }
}

/// Whether the first line is an object that holds the keys beside it.
fn is_line_with_keys(part: &DataFrame, keys: &[String]) -> Result<bool, Failure> {
    let cell = |name: &str| {
        let column = part.column(name).and_then(|c| c.str()).map_err(Failure::internal)?;
        Ok::<_, Failure>(column.get(0).map(str::to_owned))
    };
    let Some(line) = cell(LINE)? else { return Ok(false) };
    let mut found: Vec<Option<String>> = vec![None; keys.len()];
    let walked = members(&line, |m| {
        let key = if m.key_escaped { unescape_json(m.key) } else { Some(m.key.to_owned()) };
        let slot = keys.iter().position(|k| Some(k) == key.as_ref()).and_then(|n| found.get_mut(n));
        if let Some(slot) = slot {
            let text = line.get(m.start..m.end).unwrap_or_default();
            *slot = match m.kind {
                Kind::Null => None,
                Kind::Text { escaped: true } => unescape_json(text),
                Kind::Text { .. } | Kind::Literal | Kind::Nested => Some(text.to_owned()),
            };
        }
    });
    let wanted = keys.iter().map(|k| cell(k)).collect::<Result<Vec<_>, _>>()?;
    Ok(walked.is_ok() && found == wanted)
}
