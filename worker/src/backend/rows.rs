//! Rows in files that lie in memory: Arrow's file format, written by one process and read by another.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType as ArrowType;
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use arrow::ipc::{MetadataVersion, root_as_footer};

/// Where columns may begin: everything that is written lies at a multiple of it.
const ALIGNED: usize = 64;
const BUFFERED: usize = 256 << 10;

/// A file without a name whose bytes are only in memory.
#[cfg(target_os = "linux")]
pub fn file() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create("rows", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?.into())
}

/// A file without a name.
#[cfg(not(target_os = "linux"))]
pub fn file() -> io::Result<File> {
    tempfile::tempfile()
}

/// Batches on their way into a file, in the format of Arrow files.
pub struct Batches<'a> {
    file: &'a File,
    /// Begun with the first batch, which says what the columns are.
    writer: Option<FileWriter<BufWriter<&'a File>>>,
}

impl<'a> Batches<'a> {
    /// From where the file stands.
    pub fn new(file: &'a File) -> Self {
        Self { file, writer: None }
    }

    /// Writes a batch; where in the file that is, about.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<u64, ArrowError> {
        if self.writer.is_none() {
            let options = IpcWriteOptions::try_new(ALIGNED, false, MetadataVersion::V5)?;
            let file = BufWriter::with_capacity(BUFFERED, self.file);
            self.writer = Some(FileWriter::try_new_with_options(file, &batch.schema(), options)?);
        }
        if let Some(writer) = &mut self.writer {
            writer.write(&without_others(batch)?)?;
        }
        let mut file = self.file;
        Ok(file.stream_position()?)
    }

    /// Ends them; where that is. The file then stands where others may begin.
    pub fn finish(self) -> Result<usize, ArrowError> {
        if let Some(mut writer) = self.writer {
            writer.finish()?;
            writer.get_mut().flush()?;
        }
        let mut file = self.file;
        let end = usize::try_from(file.stream_position()?).map_err(|e| ArrowError::ExternalError(e.into()))?;
        file.write_all(&vec![0; next(end) - end])?;
        Ok(end)
    }
}

/// Where batches begin behind others that end there.
pub fn next(end: usize) -> usize {
    end.next_multiple_of(ALIGNED)
}

/// Texts lie in buffers that rows of other batches may share, and buffers are written whole: those that are mostly of others
/// are written without them.
fn without_others(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let column = |column: &ArrayRef| -> ArrayRef {
        if *column.data_type() != ArrowType::Utf8View {
            return column.clone();
        }
        let texts = column.as_string_view();
        let held: usize = texts.data_buffers().iter().map(Buffer::len).sum();
        let used = texts.total_buffer_bytes_used();
        if held > used + used / 2 { Arc::new(texts.gc()) } else { column.clone() }
    };
    let columns = batch.columns().iter().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

/// The first bytes of a file that nobody can write to any more.
#[cfg(target_os = "linux")]
pub fn sealed(file: &File, bytes: usize) -> io::Result<Buffer> {
    use rustix::fs::{SealFlags, fcntl_add_seals};
    fcntl_add_seals(file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::SEAL)?;
    // SAFETY: the system refuses what must not be done.
    unsafe { map(file, bytes) }
}

/// The first bytes of a file.
#[cfg(not(target_os = "linux"))]
pub fn sealed(file: &File, bytes: usize) -> io::Result<Buffer> {
    use std::io::Read;
    let (mut file, mut read) = (file, Vec::with_capacity(bytes));
    file.rewind()?;
    file.take(bytes as u64).read_to_end(&mut read)?;
    Ok(read.into())
}

/// The first bytes of a file, where they lie.
///
/// # Safety
///
/// Nobody may write to the file or make it shorter while any of the bytes are in use.
pub unsafe fn map(file: &File, bytes: usize) -> io::Result<Buffer> {
    // SAFETY: as the caller promises.
    let map = unsafe { memmap2::MmapOptions::new().len(bytes).populate().map(file)? };
    Ok(Buffer::from(bytes::Bytes::from_owner(map)))
}

/// Batches that were written. Columns stay where they lie.
pub fn batches(written: &Buffer) -> Result<Vec<RecordBatch>, ArrowError> {
    let short = || ArrowError::IpcError("fewer bytes than were written".to_owned());
    let (before, trailer) = written.split_last_chunk().ok_or_else(short)?;
    let footer = before.len().checked_sub(read_footer_length(*trailer)?).and_then(|at| before.get(at..));
    let footer = root_as_footer(footer.ok_or_else(short)?).map_err(|e| ArrowError::IpcError(e.to_string()))?;
    let schema = fb_to_schema(footer.schema().ok_or_else(short)?);
    let decoder = FileDecoder::new(Arc::new(schema), footer.version());
    // SAFETY: they were written by this binary, from arrays that were valid.
    let decoder = unsafe { decoder.with_skip_validation(true) };
    let mut batches = Vec::new();
    for block in footer.recordBatches().into_iter().flatten() {
        let number = |n: i64| usize::try_from(n).map_err(|_| short());
        let (from, body) = (number(block.offset())?, number(block.bodyLength())?);
        let length = body + number(block.metaDataLength().into())?;
        if from.checked_add(length).is_none_or(|to| to > written.len()) {
            return Err(short());
        }
        batches.extend(decoder.read_record_batch(block, &written.slice_with_length(from, length))?);
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, NullArray, StringViewArray};

    fn batch() -> RecordBatch {
        let texts: StringViewArray =
            (0..1000).map(|n| (n % 3 > 0).then(|| format!("a text that is too long for its view, {n}"))).collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("n", Arc::new(Int64Array::from_iter_values(0..1000))),
            ("t", Arc::new(texts)),
            ("none", Arc::new(NullArray::new(1000))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    #[test]
    fn batches_come_back_as_they_were() {
        let (file, whole) = (file().unwrap(), batch());
        let mut first = Batches::new(&file);
        first.write(&whole).unwrap();
        let end = first.finish().unwrap();
        let from = next(end);
        let mut second = Batches::new(&file);
        second.write(&whole.slice(10, 5)).unwrap();
        second.write(&whole.slice(0, 0)).unwrap();
        let to = second.finish().unwrap();
        assert!(to - from < 8192, "a few rows of many take a few bytes: {}", to - from);
        let bytes = sealed(&file, to).unwrap();
        assert!(file.set_len(0).is_err() && (&file).write(b"more").is_err(), "nobody writes to it any more");
        assert_eq!(batches(&bytes.slice_with_length(0, end)).unwrap(), std::slice::from_ref(&whole));
        let some = batches(&bytes.slice_with_length(from, to - from)).unwrap();
        assert_eq!(some, [whole.slice(10, 5), whole.slice(0, 0)]);
        let (kept, lies) = (some[0].column(0).to_data().buffers()[0].as_ptr() as usize, bytes.as_ptr() as usize);
        assert!((lies..lies + to).contains(&kept), "columns are not copied");
        for cut in [0, 5, 60, end / 2] {
            assert!(batches(&bytes.slice_with_length(0, cut)).is_err());
        }
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let (file, options) = (file().unwrap(), RecordBatchOptions::new().with_row_count(Some(7)));
        let none = RecordBatch::try_new_with_options(Arc::new(arrow::datatypes::Schema::empty()), vec![], &options);
        let mut written = Batches::new(&file);
        written.write(&none.unwrap()).unwrap();
        let end = written.finish().unwrap();
        assert_eq!(batches(&sealed(&file, end).unwrap()).unwrap()[0].num_rows(), 7);
    }
}
