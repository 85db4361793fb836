//! Reading a shard: some columns of a Parquet file, in the version's types, without the rows that the version leaves out.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::errors::ParquetError;
use roaring::RoaringBitmap;
use shardmill_common::ids::ObjectId;
use shardmill_common::manifest::ShardEntry;
use shardmill_common::schema::Schema;

use crate::engine::BATCH;
use crate::stored::arrow_type;

/// Why a shard could not be had, or rows not be taken; whoever said it knows the type. It passes through the engine as it is.
#[derive(Clone, Debug)]
pub struct SourceError(pub Arc<dyn std::error::Error + Send + Sync>);

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for SourceError {}

impl SourceError {
    pub fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

const DURATION: ArrowType = ArrowType::Duration(TimeUnit::Nanosecond);

/// A file that is not as it should be.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("shard {id} has {found} rows, not {wanted}")]
    Rows { id: ObjectId, found: i64, wanted: u64 },
    #[error("shard {id} cannot be read: {why}")]
    Parquet { id: ObjectId, why: ParquetError },
    #[error("shard {id} cannot be read: {why}")]
    Arrow { id: ObjectId, why: ArrowError },
}

/// A shard as it is stored.
#[derive(Clone, Debug)]
pub struct ShardFile {
    /// Parquet.
    pub data: Bytes,
    /// Rows that the version leaves out.
    pub dropped: Option<RoaringBitmap>,
}

/// Where shards come from.
pub trait ShardSource: fmt::Debug + Send + Sync {
    /// A shard, checked. It may block.
    fn open(&self, shard: &ShardEntry) -> Result<ShardFile, SourceError>;

    /// Where these shards are, for a source on another worker that is to find them, too.
    fn place(&self, shards: &[ShardEntry]) -> String;

    /// Rows of an older shard in the columns and types of this schema; a column that came later is null.
    fn widen(&self, rows: RecordBatch, schema: &Schema) -> Result<RecordBatch, SourceError>;
}

/// The rows of a shard, a few at a time.
pub struct ShardRows {
    reader: Option<ParquetRecordBatchReader>,
    /// Rows still to give where no column is read from the file.
    left: usize,
    /// The columns wanted, in the version's types.
    schema: Schema,
    made: SchemaRef,
    /// Types differ from those of the file.
    widens: bool,
    id: ObjectId,
    source: Arc<dyn ShardSource>,
}

impl ShardRows {
    /// Rows with these columns of the version's schema.
    pub fn open(source: Arc<dyn ShardSource>, shard: &ShardEntry, schema: Schema) -> Result<Self, SourceError> {
        let made = crate::stored::arrow_schema(&schema);
        let id = shard.object.id;
        let mut rows = Self { reader: None, left: shard.rows() as usize, schema, made, widens: false, id, source };
        if rows.schema.is_empty() || rows.left == 0 {
            return Ok(rows);
        }
        let file = rows.source.open(shard)?;
        let unreadable = |why| SourceError::new(Unreadable::Parquet { id, why });
        let as_stored = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let found = ArrowReaderMetadata::load(&file.data, as_stored).map_err(unreadable)?;
        let (in_file, known) = (found.metadata().file_metadata().num_rows(), shard.stored_rows);
        if u64::try_from(in_file).ok() != Some(known) {
            return Err(SourceError::new(Unreadable::Rows { id, found: in_file, wanted: known }));
        }
        let with_views = engine_schema(&found);
        let wanted: Vec<usize> =
            rows.schema.names().filter_map(|name| Some(with_views.column_with_name(name)?.0)).collect();
        if wanted.is_empty() {
            return Ok(rows);
        }
        rows.widens = rows.schema.fields.iter().any(|field| {
            with_views.column_with_name(&field.name).is_some_and(|(_, f)| *f.data_type() != arrow_type(field.dtype))
        });
        let options = ArrowReaderOptions::new().with_schema(with_views);
        let found = ArrowReaderMetadata::try_new(found.metadata().clone(), options).map_err(unreadable)?;
        let mask = ProjectionMask::roots(found.parquet_schema(), wanted);
        let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.data, found)
            .with_projection(mask)
            .with_batch_size(BATCH);
        if let Some(dropped) = &file.dropped {
            reader = reader.with_row_selection(kept(dropped, known as usize));
        }
        rows.reader = Some(reader.build().map_err(unreadable)?);
        Ok(rows)
    }

    /// The rows in the columns wanted.
    fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch, SourceError> {
        let rows = batch.num_rows();
        if self.widens {
            return self.source.widen(batch.clone(), &self.schema);
        }
        let column = |field: &Arc<ArrowField>| -> ArrayRef {
            let there = batch.column_by_name(field.name()).cloned();
            there.unwrap_or_else(|| new_null_array(field.data_type(), rows))
        };
        let columns = self.made.fields().iter().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.made.clone(), columns, &options).map_err(|why| self.unreadable(why))
    }

    fn unreadable(&self, why: ArrowError) -> SourceError {
        SourceError::new(Unreadable::Arrow { id: self.id, why })
    }

    fn nothing_read(&mut self) -> Option<Result<RecordBatch, SourceError>> {
        let rows = self.left.min(BATCH);
        self.left -= rows;
        let columns = self.made.fields().iter().map(|f| new_null_array(f.data_type(), rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let made = RecordBatch::try_new_with_options(self.made.clone(), columns, &options);
        (rows > 0).then(|| made.map_err(|why| self.unreadable(why)))
    }
}

impl Iterator for ShardRows {
    type Item = Result<RecordBatch, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.reader {
            None => self.nothing_read(),
            Some(reader) => {
                let batch = reader.next()?;
                Some(batch.map_err(|why| self.unreadable(why)).and_then(|batch| self.conform(&batch)))
            }
        }
    }
}

/// The file's schema with texts in the form that the engine works on, and durations, which Parquet itself does not know, as what
/// they were written from.
fn engine_schema(found: &ArrowReaderMetadata) -> SchemaRef {
    let file = found.metadata().file_metadata();
    let written = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()).ok();
    let is_duration = |name: &str| {
        let written = written.as_ref().and_then(|schema| schema.field_with_name(name).ok());
        written.is_some_and(|field| *field.data_type() == DURATION)
    };
    let field = |field: &Arc<ArrowField>| {
        let dtype = match field.data_type() {
            ArrowType::Utf8 | ArrowType::LargeUtf8 => ArrowType::Utf8View,
            ArrowType::Int64 if is_duration(field.name()) => DURATION,
            _ => return field.clone(),
        };
        Arc::new(ArrowField::new(field.name(), dtype, field.is_nullable()))
    };
    Arc::new(ArrowSchema::new(found.schema().fields().iter().map(field).collect::<Vec<_>>()))
}

/// Which of so many rows are read.
fn kept(dropped: &RoaringBitmap, rows: usize) -> RowSelection {
    let mut next = 0;
    let mut ranges = Vec::new();
    for row in dropped.iter().map(|row| row as usize).filter(|row| *row < rows) {
        if row > next {
            ranges.push(next..row);
        }
        next = row + 1;
    }
    ranges.push(next..rows.max(next));
    RowSelection::from_consecutive_ranges(ranges.into_iter(), rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_rows_are_not_selected() {
        let kept_rows = |dropped: &[u32], rows| {
            let selection = kept(&dropped.iter().copied().collect(), rows);
            let mut at = 0;
            let mut all = Vec::new();
            for selector in Vec::from(selection) {
                if !selector.skip {
                    all.extend(at..at + selector.row_count);
                }
                at += selector.row_count;
            }
            all
        };
        assert_eq!(kept_rows(&[], 3), [0, 1, 2]);
        assert_eq!(kept_rows(&[0, 1], 3), [2]);
        assert_eq!(kept_rows(&[1, 2, 4, 9], 6), [0, 3, 5]);
        assert!(kept_rows(&[0, 1, 2], 3).is_empty());
    }
}
