//! Arrow IPC streams from programs: messages are looked at before anything believes the lengths in them, and each batch is
//! then read as a stream of its own.

use std::io::Read;

use arrow::ipc::{MessageHeader, RecordBatch, root_as_message};
use polars::prelude::DataFrame;
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_ipc::Unsound;

use super::read::{Emit, Output, Unread, escaped};
use crate::ingest::{Layout, Written, parse_written};

const CONTINUATION: [u8; 4] = [0xff; 4];
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// Schemas and the like are small; batches that are larger than this should have been several.
const METADATA: usize = 64 << 20;
const BODY: usize = 2 << 30;
const DICTIONARIES: usize = 256 << 20;

fn bad(why: impl std::fmt::Display) -> Unread {
    Unread::Bad(format!("its output is not a valid Arrow IPC stream: {why}"))
}

/// One message with its prefix and body, as it was written.
struct Message {
    bytes: Vec<u8>,
    metadata: std::ops::Range<usize>,
}

impl Message {
    fn header(&self) -> Result<arrow::ipc::Message<'_>, Unread> {
        root_as_message(self.bytes.get(self.metadata.clone()).unwrap_or_default()).map_err(bad)
    }

    fn body(&self) -> &[u8] {
        self.bytes.get(self.metadata.end..).unwrap_or_default()
    }
}

pub(super) fn read(
    output: &mut Output<impl Read>,
    declared: Option<&Schema>,
    emit: &mut Emit<'_>,
) -> Result<(), Unread> {
    let Some(first) = next(output, true)? else { return Ok(()) };
    let columns = columns(&first, declared)?;
    // Every batch is read behind the schema and the dictionaries so far.
    let mut head = first.bytes;
    let schema_bytes = head.len();
    let layout = Layout::Arrow { columns: &columns, fixed: declared.is_some() };
    emit(parse(head.clone(), layout, 0)?)?;
    let mut rows = 0;
    while let Some(message) = next(output, false)? {
        match message.header()?.header_type() {
            MessageHeader::DictionaryBatch => {
                let header = message.header()?;
                let data = header.header_as_dictionary_batch().and_then(|d| d.data());
                check(data.ok_or_else(|| bad("a dictionary without values"))?, message.body())?;
                head.extend_from_slice(&message.bytes);
                if head.len() - schema_bytes > DICTIONARIES {
                    return Err(bad("its dictionaries have more than 256 MiB; write plain strings"));
                }
            }
            MessageHeader::RecordBatch => {
                let header = message.header()?;
                check(header.header_as_record_batch().ok_or_else(|| bad("a batch without columns"))?, message.body())?;
                let mut stream = Vec::with_capacity(head.len() + message.bytes.len() + END.len());
                stream.extend_from_slice(&head);
                stream.extend_from_slice(&message.bytes);
                drop(message);
                stream.extend_from_slice(&END);
                let frame = parse(stream, layout, rows)?;
                rows += frame.height() as u64;
                emit(frame)?;
            }
            _ => return Err(bad("a message that is neither a batch nor a dictionary")),
        }
    }
    // Whatever follows the end is read, so that the program is not stopped in the middle of it.
    let mut rest = Vec::new();
    while output.fill(&mut rest, 64 << 10)? > 0 {
        rest.clear();
    }
    Ok(())
}

/// The next message; none at the end, which need not be marked.
fn next(output: &mut Output<impl Read>, first: bool) -> Result<Option<Message>, Unread> {
    let mut bytes = Vec::new();
    if output.fill(&mut bytes, 8)? == 0 {
        return Ok(None);
    }
    let Some((mark, length)) = bytes.split_first_chunk::<4>() else { return Err(bad("it is cut short")) };
    if *mark != CONTINUATION {
        output.fill(&mut bytes, 64)?;
        let hint = if bytes.starts_with(b"ARROW1") {
            "it is an Arrow file; write a stream (pyarrow.ipc.new_stream, polars' write_ipc_stream)".to_owned()
        } else {
            format!("it {} {}", if first { "starts with" } else { "goes on with" }, escaped(&bytes))
        };
        return Err(bad(hint));
    }
    let length = <[u8; 4]>::try_from(length).map_or(-1, i32::from_le_bytes);
    if length == 0 {
        return Ok(None);
    }
    let length =
        usize::try_from(length).ok().filter(|l| *l <= METADATA).ok_or_else(|| bad("a message of impossible size"))?;
    if output.fill(&mut bytes, length)? < length {
        return Err(bad("it is cut short"));
    }
    let mut message = Message { metadata: 8..8 + length, bytes };
    let body = usize::try_from(message.header()?.bodyLength()).ok().filter(|b| *b <= BODY);
    let body = body.ok_or_else(|| bad("a batch of more than 2 GiB; write smaller batches"))?;
    // Room is made as bytes come, whatever the message says.
    if output.fill(&mut message.bytes, body)? < body {
        return Err(bad("it is cut short"));
    }
    Ok(Some(message))
}

/// The columns that the stream has, which must be those declared where any were.
fn columns(schema: &Message, declared: Option<&Schema>) -> Result<Vec<Field>, Unread> {
    let header = schema.header()?;
    let found = header.header_as_schema().ok_or_else(|| bad("it does not start with a schema"))?;
    let names: Vec<&str> = found.fields().into_iter().flatten().map(|f| f.name().unwrap_or_default()).collect();
    if let Some(twice) = names.iter().enumerate().find(|(n, name)| names.iter().take(*n).any(|other| other == *name)) {
        return Err(Unread::Bad(format!("its output has two columns called `{}`", twice.1)));
    }
    let Some(declared) = declared else {
        if names.is_empty() {
            return Err(Unread::Bad("its output is an Arrow stream without columns".into()));
        }
        return Ok(names.into_iter().map(|name| Field::new(name, DataType::Null)).collect());
    };
    for field in &declared.fields {
        if !names.contains(&field.name.as_str()) {
            return Err(Unread::Bad(format!(
                "its output lacks the declared column `{}`: it has {}",
                field.name,
                names.join(", ")
            )));
        }
    }
    if let Some(other) = names.iter().find(|name| declared.get(name).is_none()) {
        return Err(Unread::Bad(format!("its output has the column `{other}`, which was not declared")));
    }
    Ok(declared.fields.clone())
}

/// Refuses a batch whose lengths are not those of its body.
fn check(batch: RecordBatch<'_>, body: &[u8]) -> Result<(), Unread> {
    shardmill_ipc::check_batch(batch, body).map_err(|unsound| match unsound {
        Unsound::TooLarge => bad("a batch of more than 2 GiB; write smaller batches"),
        Unsound::Lengths | Unsound::Message => bad("a batch whose lengths do not fit its bytes"),
    })
}

/// Reads one stream of at most one batch, which comes after `before` rows. A panic inside the engine means that the stream is damaged.
fn parse(stream: Vec<u8>, layout: Layout<'_>, before: u64) -> Result<DataFrame, Unread> {
    let parsed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        parse_written(stream, &Written { what: "its output", layout, first_line: 1 })
    }));
    let parsed = parsed.map_err(|_| bad("its batches do not fit its schema"))?;
    let parsed = parsed.map_err(|failure| Unread::Bad(failure.to_string()))?;
    match parsed.rejected.first() {
        Some(rejected) => {
            Err(Unread::Bad(format!("row {} of its output: {}", before + rejected.line, rejected.reason)))
        }
        None => Ok(parsed.frame),
    }
}
