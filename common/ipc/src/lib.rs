//! Arrow IPC files, streams and batches whose lengths are looked at before anything believes them: memory is made ready for what
//! they say, and a process that asks for more than there is ends.

use std::io::{Read, Seek, SeekFrom};

use arrow::ipc::{Block, Message, MessageHeader, RecordBatch, root_as_footer, root_as_message};

/// A batch has at most this many rows, or eight a byte of it.
const ROWS: u64 = 1 << 24;
/// Bytes of a batch, unpacked.
pub const BODY: u64 = 2 << 30;
const MAGIC: &[u8; 6] = b"ARROW1";
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Why data is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    #[error("its lengths do not fit its bytes")]
    Lengths,
    #[error("a message in it cannot be read")]
    Message,
    #[error("a batch of it has more than 2 GiB: write smaller batches")]
    TooLarge,
}

/// Whether bytes begin as an Arrow file does, rather than a stream.
pub fn is_file(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Looks at every batch of a file or stream that is in memory.
pub fn check(bytes: &[u8]) -> Result<(), Unsound> {
    if !is_file(bytes) {
        return check_stream(bytes);
    }
    let footer = footer_of(bytes)?;
    let footer = root_as_footer(footer).map_err(|_| Unsound::Message)?;
    let blocks = footer.dictionaries().into_iter().flatten().chain(footer.recordBatches().into_iter().flatten());
    for block in blocks {
        let (start, metadata, body) = block_of(block)?;
        let end = start.checked_add(metadata).and_then(|end| end.checked_add(body)).ok_or(Unsound::Lengths)?;
        let all = bytes.get(start..end).ok_or(Unsound::Lengths)?;
        let (metadata, body) = all.split_at_checked(metadata).ok_or(Unsound::Lengths)?;
        check_message(metadata, body)?;
    }
    Ok(())
}

/// Looks at what a reader of a file on disk reads when it opens it: the footer, and the dictionaries.
pub fn check_dictionaries(file: &mut (impl Read + Seek)) -> std::io::Result<Result<(), Unsound>> {
    let size = file.seek(SeekFrom::End(0))?;
    let at = |file: &mut (dyn SeekRead + '_), from: u64, bytes: u64| -> std::io::Result<Option<Vec<u8>>> {
        if from.checked_add(bytes).is_none_or(|end| end > size) {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(from))?;
        let mut data = Vec::new();
        (&mut *file).take(bytes).read_to_end(&mut data)?;
        Ok((data.len() as u64 == bytes).then_some(data))
    };
    let Some(tail) = at(file, size.saturating_sub(10), size.min(10))? else { return Ok(Err(Unsound::Lengths)) };
    let length = tail.first_chunk::<4>().map_or(-1, |length| i32::from_le_bytes(*length));
    let Ok(length) = u64::try_from(length) else { return Ok(Err(Unsound::Lengths)) };
    let from = size.saturating_sub(10).checked_sub(length);
    let Some(footer) = from.map(|from| at(file, from, length)).transpose()?.flatten() else {
        return Ok(Err(Unsound::Lengths));
    };
    let Ok(footer) = root_as_footer(&footer) else { return Ok(Err(Unsound::Message)) };
    for block in footer.dictionaries().into_iter().flatten() {
        let (start, metadata, body) = match block_of(block) {
            Ok(block) => block,
            Err(unsound) => return Ok(Err(unsound)),
        };
        let bytes = (metadata as u64).saturating_add(body as u64);
        let Some(all) = at(file, start as u64, bytes)? else { return Ok(Err(Unsound::Lengths)) };
        let Some((metadata, body)) = all.split_at_checked(metadata) else { return Ok(Err(Unsound::Lengths)) };
        if let Err(unsound) = check_message(metadata, body) {
            return Ok(Err(unsound));
        }
    }
    Ok(Ok(()))
}

trait SeekRead: Read + Seek {}
impl<T: Read + Seek> SeekRead for T {}

fn footer_of(bytes: &[u8]) -> Result<&[u8], Unsound> {
    let (rest, tail) = bytes.split_last_chunk::<10>().ok_or(Unsound::Lengths)?;
    let length = tail.first_chunk::<4>().map_or(-1, |length| i32::from_le_bytes(*length));
    let from = usize::try_from(length).ok().and_then(|length| rest.len().checked_sub(length));
    from.and_then(|from| rest.get(from..)).ok_or(Unsound::Lengths)
}

/// Where a block begins, and the bytes of its metadata and of its body.
fn block_of(block: &Block) -> Result<(usize, usize, usize), Unsound> {
    let whole = |n: i64| usize::try_from(n).map_err(|_| Unsound::Lengths);
    Ok((whole(block.offset())?, whole(block.metaDataLength().into())?, whole(block.bodyLength())?))
}

/// A message with the prefix of its length, and its body.
fn check_message(metadata: &[u8], body: &[u8]) -> Result<(), Unsound> {
    let prefix = if metadata.starts_with(&CONTINUATION) { 8 } else { 4 };
    let message = root_as_message(metadata.get(prefix..).ok_or(Unsound::Lengths)?).map_err(|_| Unsound::Message)?;
    check_body(&message, body)
}

fn check_body(message: &Message<'_>, body: &[u8]) -> Result<(), Unsound> {
    match message.header_type() {
        MessageHeader::RecordBatch => check_batch(message.header_as_record_batch().ok_or(Unsound::Message)?, body),
        MessageHeader::DictionaryBatch => {
            let data = message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
            check_batch(data.ok_or(Unsound::Message)?, body)
        }
        _ => Ok(()),
    }
}

fn check_stream(bytes: &[u8]) -> Result<(), Unsound> {
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first_chunk::<4>() {
        // Streams of old writers have no mark before the length.
        let (length, after) = match *first == CONTINUATION {
            true => after.split_first_chunk::<4>().ok_or(Unsound::Lengths)?,
            false => (first, after),
        };
        let length = usize::try_from(i32::from_le_bytes(*length)).map_err(|_| Unsound::Lengths)?;
        if length == 0 {
            return Ok(());
        }
        let (metadata, after) = after.split_at_checked(length).ok_or(Unsound::Lengths)?;
        let message = root_as_message(metadata).map_err(|_| Unsound::Message)?;
        let length = usize::try_from(message.bodyLength()).map_err(|_| Unsound::Lengths)?;
        let (body, after) = after.split_at_checked(length).ok_or(Unsound::Lengths)?;
        check_body(&message, body)?;
        rest = after;
    }
    Ok(())
}

/// Whether the lengths that a batch tells are those of its body.
pub fn check_batch(batch: RecordBatch<'_>, body: &[u8]) -> Result<(), Unsound> {
    let most = ROWS.max((body.len() as u64).saturating_mul(8));
    let fits = |length: i64| u64::try_from(length).is_ok_and(|length| length <= most);
    if !fits(batch.length()) {
        return Err(Unsound::Lengths);
    }
    for node in batch.nodes().into_iter().flatten() {
        if !fits(node.length()) || node.null_count() < 0 || node.null_count() > node.length() {
            return Err(Unsound::Lengths);
        }
    }
    for count in batch.variadicBufferCounts().into_iter().flatten() {
        if u64::try_from(count).map_or(true, |count| count > body.len() as u64 + 1) {
            return Err(Unsound::Lengths);
        }
    }
    let compressed = batch.compression().is_some();
    let mut unpacked = 0_u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let from = usize::try_from(buffer.offset()).ok();
        let length = usize::try_from(buffer.length()).ok();
        let range = from.zip(length).and_then(|(from, length)| Some(from..from.checked_add(length)?));
        let data = range.and_then(|range| body.get(range)).ok_or(Unsound::Lengths)?;
        if compressed && !data.is_empty() {
            let (length, _) = data.split_first_chunk::<8>().ok_or(Unsound::Lengths)?;
            // -1: it is not compressed after all.
            match i64::from_le_bytes(*length) {
                -1 => {}
                length => unpacked = unpacked.saturating_add(u64::try_from(length).map_err(|_| Unsound::Lengths)?),
            }
        }
    }
    if unpacked > BODY { Err(Unsound::TooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, DictionaryArray, Int64Array, StringViewArray};
    use arrow::datatypes::Int32Type;
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};

    use super::*;

    fn batch() -> arrow::array::RecordBatch {
        let words: DictionaryArray<Int32Type> = vec![Some("red"), None, Some("red")].into_iter().collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("n", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))),
            ("c", Arc::new(words)),
            ("v", Arc::new(StringViewArray::from(vec!["short", "longer than a view can hold", ""]))),
        ];
        arrow::array::RecordBatch::try_from_iter(columns).unwrap()
    }

    fn written(file: bool, compression: Option<CompressionType>) -> Vec<u8> {
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let batch = batch();
        if file {
            let mut writer = FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
            writer.write(&batch).unwrap();
            writer.finish().unwrap();
            return writer.into_inner().unwrap();
        }
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn what_writers_write_is_sound() {
        for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
            for file in [true, false] {
                let bytes = written(file, compression);
                assert_eq!((is_file(&bytes), check(&bytes)), (file, Ok(())));
                if file {
                    assert_eq!(check_dictionaries(&mut Cursor::new(&bytes)).unwrap(), Ok(()));
                }
            }
        }
    }

    #[test]
    fn lengths_beyond_the_bytes_are_not_believed() {
        for file in [true, false] {
            let bytes = written(file, None);
            assert!(check(&bytes[..bytes.len() / 2]).is_err());
            // Eight bytes of ones are a huge length wherever a length stands: none of them may pass for sound and be believed.
            let mut told = 0;
            for at in (8..bytes.len() - 8).step_by(8) {
                let mut changed = bytes.clone();
                changed[at..at + 8].copy_from_slice(&(i64::MAX / 4).to_le_bytes());
                told += usize::from(check(&changed).is_err());
                let _ = check_dictionaries(&mut Cursor::new(&changed)).unwrap();
            }
            assert!(told > 10, "{told}");
        }
    }
}
