//! Rows to bytes in one of the export formats.

use std::io::Write;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowWriter, encode_arrow_schema};
use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::csv::CsvStyle;
use super::error::WriteError;
use super::stream::{Compression, Stream};
use super::xlsx::SheetWriter;
use super::{json, lines};

/// The formats of sources and of exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated; null is an empty cell, an empty string is ""
    Csv,
    /// Tab-separated, quoted like CSV
    Tsv,
    /// One JSON object a line
    Jsonl,
    /// The texts of a dataset's only column, a line each
    Lines,
    /// Parquet, compressed with zstd
    Parquet,
    /// Arrow IPC file (Feather 2), compressed with LZ4
    Arrow,
    /// A sheet of an Excel workbook
    Xlsx,
}

impl Format {
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Jsonl => "jsonl",
            Format::Lines => "txt",
            Format::Parquet => "parquet",
            Format::Arrow => "arrow",
            Format::Xlsx => "xlsx",
        }
    }

    pub fn of_extension(extension: &str) -> Option<Self> {
        Some(match extension.to_ascii_lowercase().as_str() {
            "csv" | "txt" => Format::Csv,
            "tsv" | "tab" => Format::Tsv,
            "jsonl" | "ndjson" | "json" => Format::Jsonl,
            "parquet" | "pq" => Format::Parquet,
            "arrow" | "ipc" | "feather" => Format::Arrow,
            "xlsx" => Format::Xlsx,
            _ => return None,
        })
    }

    /// Formats that compress inside are not compressed again as a whole.
    pub const fn is_text(self) -> bool {
        matches!(self, Format::Csv | Format::Tsv | Format::Jsonl | Format::Lines)
    }
}

/// What every file of an export has in common.
#[derive(Clone, Debug)]
pub struct Settings {
    pub format: Format,
    pub compression: Compression,
    /// What stands for null in CSV and TSV.
    pub null: String,
    pub schema: SchemaRef,
}

/// One file being written.
pub enum Encoder {
    Csv(CsvStyle, Stream),
    Json(Stream),
    Lines(Stream),
    Parquet(Box<ArrowWriter<Stream>>),
    Arrow(Box<FileWriter<Stream>>),
    Xlsx(Box<SheetWriter>, Stream),
}

/// Arrow's schema of the file, where it has a type that Parquet has not: durations would be whole numbers to every reader.
fn arrow_types(schema: &Schema) -> Option<Vec<KeyValue>> {
    let plain = |dtype: &DataType| match dtype {
        DataType::LargeUtf8 => DataType::Utf8,
        DataType::LargeBinary => DataType::Binary,
        other => other.clone(),
    };
    schema.fields().iter().any(|f| matches!(f.data_type(), DataType::Duration(_))).then(|| {
        let fields = schema.fields().iter().map(|f| Field::new(f.name(), plain(f.data_type()), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        vec![KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(&schema))]
    })
}

impl Encoder {
    pub fn new(settings: &Settings, mut stream: Stream) -> Result<Self, WriteError> {
        let schema = &settings.schema;
        Ok(match settings.format {
            Format::Csv | Format::Tsv => {
                let delimiter = if settings.format == Format::Csv { b',' } else { b'\t' };
                let style = CsvStyle { delimiter, null: settings.null.clone() };
                let mut header = Vec::new();
                style.header(schema.fields().iter().map(|f| f.name().as_str()), &mut header);
                stream.write_all(&header)?;
                Encoder::Csv(style, stream)
            }
            Format::Jsonl => Encoder::Json(stream),
            Format::Lines => Encoder::Lines(stream),
            Format::Xlsx => {
                let sheet = SheetWriter::new(schema.fields().iter().map(|f| f.name().as_str()))?;
                Encoder::Xlsx(Box::new(sheet), stream)
            }
            Format::Parquet => {
                let compression = ParquetCompression::ZSTD(ZstdLevel::default());
                let properties = WriterProperties::builder().set_compression(compression);
                let properties = properties.set_key_value_metadata(arrow_types(schema)).build();
                // Without Arrow's own schema in it, the file says `string` and `timestamp` to every reader alike.
                let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
                let writer = ArrowWriter::try_new_with_options(stream, schema.clone(), options)?;
                Encoder::Parquet(Box::new(writer))
            }
            Format::Arrow => {
                let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
                let writer = FileWriter::try_new_with_options(stream, schema, options)?;
                Encoder::Arrow(Box::new(writer))
            }
        })
    }

    /// Appends rows; `scratch` is reused between batches.
    pub fn write(&mut self, batch: &RecordBatch, scratch: &mut Vec<u8>) -> Result<(), WriteError> {
        scratch.clear();
        match self {
            Encoder::Csv(style, stream) => {
                style.rows(batch, scratch);
                stream.write_all(scratch)?;
            }
            Encoder::Json(stream) => {
                json::rows(batch, scratch);
                stream.write_all(scratch)?;
            }
            Encoder::Lines(stream) => {
                lines::rows(batch, scratch)?;
                stream.write_all(scratch)?;
            }
            Encoder::Xlsx(sheet, _) => sheet.write(batch)?,
            Encoder::Parquet(writer) => writer.write(batch)?,
            Encoder::Arrow(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    /// Writes what the format puts at the end; returns the bytes of the file.
    pub fn finish(self) -> Result<u64, WriteError> {
        let stream = match self {
            Encoder::Csv(_, stream) | Encoder::Json(stream) | Encoder::Lines(stream) => stream,
            Encoder::Parquet(writer) => writer.into_inner()?,
            Encoder::Arrow(writer) => writer.into_inner()?,
            Encoder::Xlsx(sheet, mut stream) => {
                stream.write_all(&sheet.finish()?)?;
                stream
            }
        };
        Ok(stream.finish()?)
    }
}
