//! Parquet and Arrow files: typed already, so that only types are mapped.

use std::collections::BTreeMap;
use std::io::Cursor;

use polars::prelude::{
    ArrowSchema, Column, DataFrame, ParquetReader, PlSmallStr, PolarsError, Schema as PolarsSchema, SchemaExt,
    SerReader,
};
use polars_arrow::datatypes::ArrowDataType;
use polars_arrow::io::ipc::read::{FileReader, StreamReader, StreamState, read_file_metadata, read_stream_metadata};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::ingest::ParseTask;
use shardmill_common::schema::{DataType, Schema};

use super::fit::{Fitted, fit, joined, not_stored, stored};
use super::origin::{Origins, row_text, value_text};
use super::parsed::{Parsed, Rejected};
use super::text::keep_rows;
use crate::frame::polars_type;

pub(super) fn parse_parquet(bytes: Vec<u8>, task: &ParseTask) -> Result<Parsed, Failure> {
    let damaged = |e: PolarsError| damaged(task, "Parquet", &e);
    let mut reader = ParquetReader::new(Cursor::new(bytes));
    let schema = reader.schema().map_err(damaged)?;
    check_types(schema.as_ref(), task)?;
    let reader_of = |reader: ParquetReader<_>| reader.with_projection(projection(schema.as_ref(), task));
    let groups: Vec<usize> = reader.get_metadata().map_err(damaged)?.row_groups.iter().map(|g| g.num_rows()).collect();
    let (before, wanted) = select(&groups, task)?;
    let (offset, rows) = (before.iter().sum::<usize>(), wanted.iter().sum::<usize>());
    let frame = reader_of(reader).with_slice(Some((offset, rows))).set_rechunk(true).finish().map_err(damaged)?;
    finish(frame, offset as u64, task)
}

pub(super) fn parse_arrow(bytes: Vec<u8>, task: &ParseTask) -> Result<Parsed, Failure> {
    let damaged = |e: PolarsError| damaged(task, "Arrow", &e);
    let is_file = bytes.starts_with(b"ARROW1");
    let mut cursor = Cursor::new(bytes);
    let (schema, batches) = if is_file {
        let metadata = read_file_metadata(&mut cursor).map_err(damaged)?;
        check_types(&metadata.schema, task)?;
        let schema = metadata.schema.as_ref().clone();
        let columns = projection(&schema, task);
        let reader = FileReader::new(cursor, metadata, columns, None);
        (schema, reader.map(|b| b.map(DataFrame::from)).collect::<Result<Vec<_>, _>>().map_err(damaged)?)
    } else {
        let metadata = read_stream_metadata(&mut cursor).map_err(damaged)?;
        check_types(&metadata.schema, task)?;
        let schema = metadata.schema.clone();
        let columns = projection(&schema, task);
        let reader = StreamReader::new(cursor, metadata, columns);
        let mut batches = Vec::new();
        for state in reader {
            match state.map_err(damaged)? {
                StreamState::Some(batch) => batches.push(DataFrame::from(batch)),
                // The bytes ended; a stream need not say that it does.
                StreamState::Waiting => break,
            }
        }
        (schema, batches)
    };
    let heights: Vec<usize> = batches.iter().map(DataFrame::height).collect();
    let (before, wanted) = select(&heights, task)?;
    let (skipped, taken) = (before.len(), wanted.len());
    let offset = before.iter().sum::<usize>() as u64;
    let schema = schema.into_iter().filter(|(name, _)| is_wanted(name, task)).collect();
    let mut frame = DataFrame::empty_with_schema(&PolarsSchema::from_arrow_schema(&schema));
    for batch in batches.iter().skip(skipped).take(taken) {
        frame.vstack_mut(batch).map_err(damaged)?;
    }
    frame.rechunk_mut_par();
    finish(frame, offset, task)
}

fn damaged(task: &ParseTask, format: &str, error: &PolarsError) -> Failure {
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

/// Refuses columns whose type has no place among the stored ones, before the engine tries to read them.
fn check_types(schema: &ArrowSchema, task: &ParseTask) -> Result<(), Failure> {
    for field in schema.iter_values().filter(|field| is_wanted(&field.name, task)) {
        let known = match &field.dtype {
            ArrowDataType::Dictionary(_, values, _) => is_text(values),
            dtype if is_text(dtype) => true,
            ArrowDataType::Binary | ArrowDataType::LargeBinary | ArrowDataType::BinaryView => {
                task.schema_is_fixed && task.schema.get(&field.name).is_some_and(|f| f.dtype == DataType::String)
            }
            ArrowDataType::Null
            | ArrowDataType::Boolean
            | ArrowDataType::Int8
            | ArrowDataType::Int16
            | ArrowDataType::Int32
            | ArrowDataType::Int64
            | ArrowDataType::UInt8
            | ArrowDataType::UInt16
            | ArrowDataType::UInt32
            | ArrowDataType::UInt64
            | ArrowDataType::Float32
            | ArrowDataType::Float64
            | ArrowDataType::Timestamp(..)
            | ArrowDataType::Date32
            | ArrowDataType::Date64 => true,
            _ => false,
        };
        if !known {
            return Err(not_stored(&task.source_name, &field.name, &type_name(&field.dtype)));
        }
        if task.schema.get(&field.name).is_none() {
            return Err(Failure::internal(format!(
                "column `{}` of {} is not in the schema",
                field.name, task.source_name
            )));
        }
    }
    Ok(())
}

fn is_wanted(column: &str, task: &ParseTask) -> bool {
    task.wanted.as_ref().is_none_or(|wanted| wanted.takes(column))
}

/// Which of a file's columns are read, if not all.
fn projection(schema: &ArrowSchema, task: &ParseTask) -> Option<Vec<usize>> {
    task.wanted.as_ref()?;
    let wanted = schema.iter_values().enumerate().filter(|(_, field)| is_wanted(&field.name, task));
    Some(wanted.map(|(at, _)| at).collect())
}

fn is_text(dtype: &ArrowDataType) -> bool {
    matches!(dtype, ArrowDataType::Utf8 | ArrowDataType::LargeUtf8 | ArrowDataType::Utf8View)
}

fn type_name(dtype: &ArrowDataType) -> String {
    match dtype {
        ArrowDataType::List(_) | ArrowDataType::LargeList(_) | ArrowDataType::FixedSizeList(..) => "list".to_owned(),
        ArrowDataType::Struct(_) => "struct".to_owned(),
        ArrowDataType::Map(..) => "map".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
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
        let fixed = task.schema_is_fixed && field.dtype != DataType::Null;
        let column = stored(found, &task.source_name, fixed.then_some(field.dtype))?;
        if !fixed {
            field.dtype = joined(&column, field.dtype);
        }
        let Some(Fitted { column, misfits }) = fit(&column, field.dtype)? else {
            return Err(Failure::bad_input(format!(
                "{}: column `{}` has the type {}, and the schema says {}",
                task.source_name,
                field.name,
                column.dtype(),
                field.dtype
            )));
        };
        columns.push(column);
        for row in misfits {
            bad.entry(row).or_insert_with(|| {
                let cell = found.get(row).map(|v| value_text(&v)).unwrap_or_default();
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
