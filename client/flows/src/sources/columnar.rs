//! Parquet and Arrow files: their columns and pieces, from the footer alone.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use shardmill_common::damaged::unless_damaged;
use shardmill_common::kinds::ingest::BytesAs;
use shardmill_common::schema::{DataType, Field, MAX_DIGITS, Schema};

use super::error::SourceError;
use super::options::ReadOptions;

/// What the footer says: columns, and the bytes of each row group or record batch.
#[derive(Debug)]
pub struct Footer {
    pub columns: Columns,
    pub groups: Vec<u64>,
}

/// The columns of a file.
#[derive(Debug)]
pub struct Columns {
    pub schema: Schema,
    /// Those that are there and not wanted.
    pub left_out: Vec<String>,
    pub notices: Vec<String>,
}

/// The footer of a Parquet file.
pub fn parquet(name: &str, path: &Path, options: &ReadOptions) -> Result<Footer, SourceError> {
    whole(name, || read_parquet(name, path, options))
}

/// The footer of an Arrow file, or the start of a stream.
pub fn arrow(name: &str, path: &Path, options: &ReadOptions) -> Result<Footer, SourceError> {
    whole(name, || read_arrow(name, path, options))
}

/// What a library reads that panics on some damaged files.
fn whole(name: &str, read: impl FnOnce() -> Result<Footer, SourceError>) -> Result<Footer, SourceError> {
    unless_damaged(read).unwrap_or_else(|| Err(SourceError::Damaged { name: name.to_owned() }))
}

fn read_parquet(name: &str, path: &Path, options: &ReadOptions) -> Result<Footer, SourceError> {
    let broken = |error: ParquetError| SourceError::Parquet { name: name.to_owned(), error };
    let file = File::open(path).map_err(SourceError::unreadable(name))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(broken)?;
    let groups = builder.metadata().row_groups().iter().map(|g| g.compressed_size().max(0) as u64).collect();
    Ok(Footer { columns: stored_columns(name, builder.schema(), options)?, groups })
}

fn read_arrow(name: &str, path: &Path, options: &ReadOptions) -> Result<Footer, SourceError> {
    let broken = |error: ArrowError| SourceError::Arrow { name: name.to_owned(), error };
    let file = File::open(path).map_err(SourceError::unreadable(name))?;
    let size = file.metadata().map_err(SourceError::unreadable(name))?.len();
    if !starts_as_file(path).map_err(SourceError::unreadable(name))? {
        // A stream has no footer: it is one piece, whatever its size.
        let reader = StreamReader::try_new(file, None).map_err(broken)?;
        return Ok(Footer { columns: stored_columns(name, &reader.schema(), options)?, groups: vec![size] });
    }
    let sound = shardmill_ipc::check_dictionaries(&mut &file).map_err(SourceError::unreadable(name))?;
    sound.map_err(|_| SourceError::Damaged { name: name.to_owned() })?;
    let reader = FileReader::try_new(file, None).map_err(broken)?;
    let batches = reader.num_batches() as u64;
    // The footer does not tell the size of a batch cheaply; batches of one file are mostly alike.
    let groups = (0..batches).map(|_| size / batches).collect();
    Ok(Footer { columns: stored_columns(name, &reader.schema(), options)?, groups })
}

fn starts_as_file(path: &Path) -> std::io::Result<bool> {
    let mut start = [0; 6];
    let n = File::open(path)?.read(&mut start)?;
    Ok(start.get(..n) == Some(b"ARROW1".as_slice()))
}

/// The columns with the types they are stored in.
fn stored_columns(name: &str, schema: &ArrowSchema, options: &ReadOptions) -> Result<Columns, SourceError> {
    let (mut out, mut left_out, mut notices) = (Schema::default(), Vec::new(), Vec::new());
    for (at, field) in schema.fields().iter().enumerate() {
        let column = field.name();
        if !options.wanted.takes(column) {
            left_out.push(column.clone());
            continue;
        }
        if column.trim().is_empty() {
            return Err(SourceError::Nameless { name: name.to_owned(), number: at + 1 });
        }
        if out.get(column).is_some() {
            return Err(SourceError::Repeated { name: name.to_owned(), column: column.clone() });
        }
        if let Some(what) = nested(field.data_type()) {
            notices.push(format!("`{column}` has {what}, which are kept as JSON"));
        }
        let Some(dtype) = stored_type(field, field.data_type(), options.bytes) else {
            if options.skip_unstored {
                left_out.push(column.clone());
                continue;
            }
            let dtype = field.data_type().clone();
            return Err(SourceError::ColumnType { name: name.to_owned(), column: column.clone(), dtype });
        };
        out.fields.push(Field::new(column, dtype));
    }
    if out.is_empty() && left_out.is_empty() {
        return Err(SourceError::NoColumns { name: name.to_owned() });
    }
    Ok(Columns { schema: out, left_out, notices })
}

/// The type that the values of a column are stored in, as far as their own type tells: some values need another one, which whoever
/// reads them finds out.
fn stored_type(field: &ArrowField, dtype: &ArrowType, bytes: BytesAs) -> Option<DataType> {
    Some(match dtype {
        ArrowType::Null => DataType::Null,
        ArrowType::Boolean => DataType::Boolean,
        t if t.is_integer() => DataType::Int64,
        t if t.is_floating() => DataType::Float64,
        ArrowType::Decimal32(precision, scale)
        | ArrowType::Decimal64(precision, scale)
        | ArrowType::Decimal128(precision, scale)
        | ArrowType::Decimal256(precision, scale) => decimal(*precision, *scale),
        ArrowType::Date32 => DataType::Date,
        // Milliseconds, which need not be whole days.
        ArrowType::Date64 => DataType::DATETIME,
        ArrowType::Timestamp(_, None) => DataType::DATETIME,
        ArrowType::Timestamp(_, Some(_)) => DataType::DATETIME_UTC,
        ArrowType::Time32(_) | ArrowType::Time64(_) => DataType::Time,
        ArrowType::Duration(_) => DataType::Duration,
        ArrowType::FixedSizeBinary(16) if field.extension_type_name() == Some("arrow.uuid") => DataType::String,
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
            match bytes {
                BytesAs::Binary => DataType::Binary,
                BytesAs::Text | BytesAs::Hex => DataType::String,
            }
        }
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => DataType::String,
        ArrowType::Dictionary(_, values) => return stored_type(field, values, bytes),
        ArrowType::RunEndEncoded(_, values) => return stored_type(field, values.data_type(), bytes),
        _ if nested(dtype).is_some() => DataType::String,
        _ => return None,
    })
}

/// What a type is called whose values are kept as JSON.
fn nested(dtype: &ArrowType) -> Option<&'static str> {
    match dtype {
        ArrowType::Struct(_) => Some("structs"),
        ArrowType::Map(..) => Some("maps"),
        dtype => dtype.is_list().then_some("lists"),
    }
}

/// Tens and hundreds are written out; of more digits than a decimal has, it is text if the values need them.
fn decimal(precision: u8, scale: i8) -> DataType {
    let whole = i16::from(precision) - i16::from(scale).min(0);
    let precision = u8::try_from(whole).unwrap_or(u8::MAX).clamp(1, MAX_DIGITS);
    match u8::try_from(scale.max(0)) {
        Ok(scale) if scale <= precision => DataType::Decimal { precision, scale },
        _ => DataType::String,
    }
}

/// Groups in ranges of about `target` bytes each: `from..to` and the bytes.
pub fn ranges(groups: &[u64], target: u64) -> Vec<(u64, u64, u64)> {
    let mut out = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, size) in groups.iter().enumerate() {
        bytes += size;
        if bytes >= target {
            out.push((from, at as u64 + 1, bytes));
            (from, bytes) = (at as u64 + 1, 0);
        }
    }
    if from < groups.len() as u64 {
        out.push((from, groups.len() as u64, bytes));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int32Array};
    use arrow::record_batch::RecordBatch;
    use std::sync::Arc;

    #[test]
    fn ranges_cover_every_group_once() {
        assert_eq!(ranges(&[5, 5, 5, 20, 1], 10), [(0, 2, 10), (2, 4, 25), (4, 5, 1)]);
        assert_eq!(ranges(&[], 10), []);
    }

    #[test]
    fn footers_are_read_and_broken_files_named() {
        let dir = tempfile::tempdir().unwrap();
        let batch = RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef)]).unwrap();
        let path = dir.path().join("a.parquet");
        let mut writer =
            parquet::arrow::ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let footer = super::parquet("a", &path, &ReadOptions::default()).unwrap();
        assert_eq!(footer.columns.schema, Schema::new(vec![Field::new("n", DataType::Int64)]));
        assert_eq!(footer.groups.len(), 1);
        let path = dir.path().join("a.arrow");
        let mut writer =
            arrow::ipc::writer::FileWriter::try_new(File::create(&path).unwrap(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        assert_eq!(super::arrow("a", &path, &ReadOptions::default()).unwrap().groups.len(), 1);
        let path = dir.path().join("stream.arrow");
        let mut writer =
            arrow::ipc::writer::StreamWriter::try_new(File::create(&path).unwrap(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        assert_eq!(super::arrow("a", &path, &ReadOptions::default()).unwrap().groups.len(), 1);
        std::fs::write(&path, b"PAR1 and nothing else").unwrap();
        assert!(matches!(
            super::parquet("b", &path, &ReadOptions::default()).unwrap_err(),
            SourceError::Parquet { .. }
        ));
        assert!(super::arrow("b", &path, &ReadOptions::default()).unwrap_err().to_string().starts_with("b is not"));
    }
}
