//! Parquet and Arrow files: typed already, so that only types are mapped.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchReader, new_empty_array};
use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use polars::prelude::{Column, DataFrame, PlSmallStr};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::ingest::ParseTask;
use shardmill_common::schema::{DataType, Field, Schema};

use super::origin::{Origins, row_text};
use super::parsed::{Parsed, Rejected};
use super::stored::{Incoming, is_stored, not_stored};
use super::text::keep_rows;
use crate::frame::{Fitted, fit, loses_digits, our_type, polars_type, value_text};
use crate::sql::to_column;

pub(super) fn parse_parquet(bytes: Vec<u8>, task: &ParseTask) -> Result<Parsed, Failure> {
    let damaged = |e: ParquetError| damaged(task, "Parquet", &e);
    let bytes = Bytes::from(bytes);
    let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new()).map_err(damaged)?;
    let options = ArrowReaderOptions::new().with_schema(as_read(&metadata));
    let metadata = ArrowReaderMetadata::try_new(metadata.metadata().clone(), options).map_err(damaged)?;
    let groups: Vec<usize> = metadata.metadata().row_groups().iter().map(|g| g.num_rows().max(0) as usize).collect();
    let (before, wanted) = select(&groups, task)?;
    let (first, offset) = (before.len(), before.iter().sum::<usize>() as u64);
    let rows = wanted.iter().sum();
    let chosen = wanted_columns(metadata.schema(), task)?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata);
    let mask = ProjectionMask::roots(builder.parquet_schema(), chosen.iter().copied());
    let reader = builder.with_row_groups((first..first + wanted.len()).collect()).with_projection(mask).build();
    let reader = reader.map_err(damaged)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|e| self::damaged(task, "Parquet", &e))?;
    finish(stored_rows(&schema, &batches, rows, task)?, offset, task)
}

/// The types in which a file's columns are read: texts as views, dictionaries as their values, and instants of the old kind, which nanoseconds would not hold, as
/// microseconds.
fn as_read(metadata: &ArrowReaderMetadata) -> SchemaRef {
    let physical = metadata.parquet_schema();
    let fields = metadata.schema().fields().iter().enumerate().map(|(at, field)| {
        let column = physical.columns().iter().enumerate().find(|(leaf, _)| physical.get_column_root_idx(*leaf) == at);
        let int96 = column.is_some_and(|(_, column)| column.physical_type() == PhysicalType::INT96);
        let dtype = match plain(field.data_type()) {
            ArrowType::Utf8 | ArrowType::LargeUtf8 => ArrowType::Utf8View,
            ArrowType::Timestamp(TimeUnit::Nanosecond, zone) if int96 => {
                ArrowType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            other => other.clone(),
        };
        field.as_ref().clone().with_data_type(dtype)
    });
    let fields: Vec<ArrowField> = fields.collect();
    Arc::new(ArrowSchema::new_with_metadata(fields, metadata.schema().metadata().clone()))
}

/// The type of a dictionary's values: pages have dictionaries of their own.
fn plain(dtype: &ArrowType) -> &ArrowType {
    match dtype {
        ArrowType::Dictionary(_, values) => plain(values),
        other => other,
    }
}

pub(super) fn parse_arrow(bytes: Vec<u8>, task: &ParseTask) -> Result<Parsed, Failure> {
    let damaged = |e: ArrowError| damaged(task, "Arrow", &e);
    shardmill_ipc::check(&bytes).map_err(|e| self::damaged(task, "Arrow", &e))?;
    let is_file = shardmill_ipc::is_file(&bytes);
    let cursor = Cursor::new(Bytes::from(bytes));
    let (schema, batches) = if is_file {
        let reader = FileReader::try_new(cursor.clone(), None).map_err(damaged)?;
        let schema = reader.schema();
        let chosen = wanted_columns(&schema, task)?;
        let all = chosen.len() == schema.fields().len();
        let schema = schema.project(&chosen).map_err(damaged)?;
        // Opening a file reads its dictionaries, so it is opened again only where columns are left out.
        let reader = if all { reader } else { FileReader::try_new(cursor, Some(chosen)).map_err(damaged)? };
        (schema, reader.collect::<Result<Vec<_>, _>>().map_err(damaged)?)
    } else {
        let schema = StreamReader::try_new(cursor.clone(), None).map_err(damaged)?.schema();
        let chosen = wanted_columns(&schema, task)?;
        let schema = schema.project(&chosen).map_err(damaged)?;
        let reader = StreamReader::try_new(cursor, Some(chosen)).map_err(damaged)?;
        (schema, reader.collect::<Result<Vec<_>, _>>().map_err(damaged)?)
    };
    let schema = Arc::new(schema);
    let heights: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
    let (before, wanted) = select(&heights, task)?;
    let (skipped, taken) = (before.len(), wanted.len());
    let offset = before.iter().sum::<usize>() as u64;
    let rows = wanted.iter().sum();
    let batches = batches.get(skipped..skipped + taken).unwrap_or_default();
    finish(stored_rows(&schema, batches, rows, task)?, offset, task)
}

/// The rows of batches, in the types that are stored.
fn stored_rows(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    rows: usize,
    task: &ParseTask,
) -> Result<DataFrame, Failure> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        let incoming = Incoming { field, source: &task.source_name, bytes: task.bytes };
        let mut pieces: Vec<ArrayRef> = batches.iter().filter_map(|batch| batch.columns().get(at).cloned()).collect();
        if pieces.is_empty() {
            pieces.push(new_empty_array(field.data_type()));
        }
        let mut column: Option<Column> = None;
        for piece in incoming.stored(pieces)? {
            let piece = to_column(field.name(), &piece)?;
            match &mut column {
                None => column = Some(piece),
                Some(column) => drop(column.append(&piece).map_err(Failure::internal)?),
            }
        }
        columns.extend(column);
    }
    let mut frame = DataFrame::new(rows, columns).map_err(Failure::internal)?;
    frame.rechunk_mut_par();
    Ok(frame)
}

fn damaged(task: &ParseTask, format: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::bad_input(format!("{} cannot be read as {format}: {error}", task.source_name))
}

/// The groups before those that the chunk asks for, and those.
fn select<'a>(groups: &'a [usize], task: &ParseTask) -> Result<(&'a [usize], &'a [usize]), Failure> {
    let (from, to) = match task.chunk.groups {
        Some((from, to)) => (usize::try_from(from).unwrap_or(usize::MAX), usize::try_from(to).unwrap_or(usize::MAX)),
        None => (0, groups.len()),
    };
    groups.get(..from).zip(groups.get(from..to)).ok_or_else(|| {
        Failure::bad_input(format!(
            "{} has {} row groups or batches, not the {to} it had: was it changed?",
            task.source_name,
            groups.len()
        ))
    })
}

/// The places of the columns that are read. Refuses those whose type has no place among the stored ones, before anything is read.
fn wanted_columns(schema: &ArrowSchema, task: &ParseTask) -> Result<Vec<usize>, Failure> {
    let mut chosen = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        if task.wanted.as_ref().is_some_and(|wanted| !wanted.takes(field.name())) {
            continue;
        }
        if task.schema.get(field.name()).is_none() {
            let (column, source) = (field.name(), &task.source_name);
            return Err(Failure::internal(format!("column `{column}` of {source} is not in the schema")));
        }
        if !is_stored(field.data_type()) {
            return Err(not_stored(&task.source_name, field.name(), &field.data_type().to_string().to_lowercase()));
        }
        chosen.push(at);
    }
    Ok(chosen)
}

/// Maps the file's columns onto the schema's.
fn finish(frame: DataFrame, first_row: u64, task: &ParseTask) -> Result<Parsed, Failure> {
    let rows = frame.height();
    let mut observed = (*task.schema).clone();
    let mut columns = Vec::with_capacity(observed.len());
    let mut bad: BTreeMap<usize, String> = BTreeMap::new();
    for field in &mut observed.fields {
        let Ok(found) = frame.column(&field.name) else {
            columns.push(Column::full_null(PlSmallStr::from_str(&field.name), rows, &polars_type(field.dtype)));
            continue;
        };
        let fixed = task.fixed.has(&field.name) && field.dtype != DataType::Null;
        if !fixed {
            let dtype = our_type(found.dtype()).unwrap_or(DataType::String);
            field.join(&Field { beyond_float: loses_digits(found), ..Field::new(field.name.as_str(), dtype) });
        }
        let mut made = fit(found, field.dtype, fixed)?;
        if !fixed && made.as_ref().is_some_and(|made| !made.misfits.is_empty()) {
            // A value that the wider type does not hold either, such as a day far from ours among nanoseconds.
            field.dtype = DataType::String;
            made = fit(found, field.dtype, false)?;
        }
        let Some(Fitted { column, misfits }) = made else {
            return Err(Failure::bad_input(format!(
                "{}: column `{}` has the type {}, and the schema says {}",
                task.source_name,
                field.name,
                found.dtype(),
                field.dtype
            )));
        };
        columns.push(column);
        for row in misfits {
            bad.entry(row).or_insert_with(|| {
                let cell = value_text(found, row);
                super::column::misfit_reason(&field.name, cell.as_bytes(), field.dtype)
            });
        }
    }
    let mut fitted = DataFrame::new(rows, columns).map_err(Failure::internal)?;
    let mut kept = None;
    if !bad.is_empty() {
        let keep: Vec<bool> = (0..rows).map(|row| !bad.contains_key(&row)).collect();
        fitted = keep_rows(&fitted, &keep)?;
        kept = Some((0..rows as u32).filter(|row| !bad.contains_key(&(*row as usize))).collect());
    }
    let rejected = bad
        .into_iter()
        .map(|(row, reason)| Rejected { line: first_row + row as u64 + 1, raw: row_text(&frame, row), reason })
        .collect();
    let origins = Origins::Rows { first_row, frame, rows: kept };
    Ok(Parsed {
        frame: fitted,
        rejected,
        observed: Schema::new(observed.fields),
        rows_read: rows as u64,
        odd: Default::default(),
        origins,
    })
}
