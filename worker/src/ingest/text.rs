//! Drives the parsing of a text chunk: batches of records, column by column, and again with wider types where cells need
//! them.

use std::sync::Arc;

use polars::prelude::{BooleanChunked, Column, DataFrame, NewChunkedArray, PlSmallStr};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::ingest::{Fixed, Odd, ParseTask};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::text::{Dialect, Encoding, Grammar, Nulls, windows_1252_to_utf8};

use super::batch::{Batch, MAX_TEXT, Oddities, Records, Reject, Seen};
use super::column::{BadRows, Context, Finished, Notation, TypedColumn};
use super::csv::{Columns, CsvRecords};
use super::jsonl::{JsonRecords, MAX_NEW_COLUMNS};
use super::origin::{Origins, SourceText};
use super::parsed::{Parsed, Rejected};
use crate::frame::{loses_digits, polars_type};

/// Cells in a batch: 8 bytes each, and the text they point to, stay in the second-level cache.
const BATCH_CELLS: usize = 16 << 10;

pub(super) fn parse_csv(
    bytes: Vec<u8>,
    task: &ParseTask,
    dialect: &Dialect,
    columns: &[Option<String>],
) -> Result<Parsed, Failure> {
    let grammar = Grammar::of(dialect).map_err(|why| Failure::bad_input(format!("{}: {why}", task.source_name)))?;
    let source = source_text(bytes, dialect.encoding, grammar, task)?;
    let check_utf8 = simdutf8::basic::from_utf8(source.bytes()).is_err();
    let mut in_file = Vec::with_capacity(columns.len());
    let mut places = Vec::with_capacity(columns.len());
    for (index, name) in columns.iter().enumerate() {
        let Some(name) = name else { continue };
        let Some(field) = task.schema.get(name) else {
            return Err(Failure::internal(format!("column `{name}` of {} is not in the schema", task.source_name)));
        };
        if columns.iter().take(index).flatten().any(|c| c == name) {
            return Err(Failure::internal(format!("column `{name}` of {} appears twice", task.source_name)));
        }
        in_file.push(field.clone());
        places.push(index);
    }
    let notation = Notation::Csv { quote: dialect.quote, numbers: dialect.numbers };
    parse_text(&source, task, notation, in_file, |_| {
        let columns = Columns { width: columns.len(), places: places.clone(), ragged: dialect.ragged };
        CsvRecords::new(source.bytes(), grammar, columns, check_utf8)
    })
}

pub(super) fn parse_json_lines(bytes: Vec<u8>, task: &ParseTask, encoding: Encoding) -> Result<Parsed, Failure> {
    let source = source_text(bytes, encoding, Grammar::lines(), task)?;
    parse_text(&source, task, Notation::Json, task.schema.fields.clone(), |fields| {
        let names = fields.iter().map(|f| f.name.clone()).collect();
        JsonRecords::new(source.bytes(), names, task.fixed.is_all(), task.wanted.as_deref())
    })
}

pub(super) fn source_text(
    bytes: Vec<u8>,
    encoding: Encoding,
    grammar: Grammar,
    task: &ParseTask,
) -> Result<Arc<SourceText>, Failure> {
    let bytes = match encoding {
        Encoding::Utf8 => bytes,
        Encoding::Windows1252 => windows_1252_to_utf8(bytes),
    };
    if bytes.len() > MAX_TEXT {
        return Err(Failure::internal(format!(
            "a chunk of {} has {} bytes, more than 2 GiB",
            task.source_name,
            bytes.len()
        )));
    }
    Ok(Arc::new(SourceText::new(bytes, grammar, task.chunk.first_line)))
}

/// Parses with the types of `fields`, the columns in the text, until none needs to be wider.
pub(super) fn parse_text<R: Records>(
    source: &Arc<SourceText>,
    task: &ParseTask,
    notation: Notation,
    mut fields: Vec<Field>,
    records: impl Fn(&[Field]) -> R,
) -> Result<Parsed, Failure> {
    let nulls = Nulls::new(&task.nulls);
    let cx = Context { source, nulls: &nulls, notation };
    // Types only ever widen and new columns come once, so this ends; three rounds are the most there can be.
    for _ in 0..8 {
        let round = run(&cx, &fields, &task.fixed, records(&fields));
        if round.new_columns.len() > MAX_NEW_COLUMNS {
            return Err(Failure::bad_input(format!(
                "{}: the objects have more than {MAX_NEW_COLUMNS} different keys; nest those that are data inside one key",
                task.source_name
            )));
        }
        let mut again = !round.new_columns.is_empty();
        let mut columns = Vec::with_capacity(fields.len());
        for (column, field) in round.columns.into_iter().zip(&mut fields) {
            match column.finish(source, round.starts.len())? {
                Finished::Column(column) => columns.push(column),
                Finished::Widened(dtype) => {
                    field.dtype = dtype;
                    again = true;
                }
            }
        }
        if again {
            fields.extend(round.new_columns.into_iter().map(|name| Field::new(name, DataType::Null)));
            continue;
        }
        let rest = Rest { starts: round.starts, rejects: round.rejects, bad: round.bad, odd: round.odd };
        return assemble(source, task, &fields, columns, rest);
    }
    Err(Failure::internal(format!("the types of {} did not settle", task.source_name)))
}

struct Round {
    columns: Vec<TypedColumn>,
    starts: Vec<u32>,
    rejects: Vec<Reject>,
    bad: BadRows,
    new_columns: Vec<String>,
    odd: Oddities,
}

fn run(cx: &Context<'_>, fields: &[Field], fixed: &Fixed, mut records: impl Records) -> Round {
    let column = |f: &Field| TypedColumn::new(f.name.clone(), f.dtype, fixed.has(&f.name));
    let mut columns: Vec<TypedColumn> = fields.iter().map(column).collect();
    let width = records.width();
    let places: Vec<usize> = (0..columns.len()).map(|index| records.place(index)).collect();
    let rows = (BATCH_CELLS / width.max(1)).clamp(16, 4096);
    let (mut batch, mut starts, mut rejects, mut bad) = (Batch::default(), Vec::new(), Vec::new(), BadRows::new());
    let mut more = true;
    while more {
        batch.cells.clear();
        batch.starts.clear();
        more = records.fill(&mut batch, rows, &mut rejects);
        for (column, place) in columns.iter_mut().zip(&places) {
            column.append(cx, &batch, width, *place, starts.len(), &mut bad);
        }
        starts.extend_from_slice(&batch.starts);
    }
    Round { columns, starts, rejects, bad, new_columns: records.take_new_columns(), odd: records.oddities() }
}

pub(super) struct Rest {
    pub(super) starts: Vec<u32>,
    pub(super) rejects: Vec<Reject>,
    pub(super) bad: BadRows,
    pub(super) odd: Oddities,
}

/// Puts the columns in the schema's order, takes out rows with cells that did not fit, and lists the rejected.
pub(super) fn assemble(
    source: &Arc<SourceText>,
    task: &ParseTask,
    in_file: &[Field],
    columns: Vec<Column>,
    rest: Rest,
) -> Result<Parsed, Failure> {
    let Rest { mut starts, mut rejects, bad, odd } = rest;
    let rows = starts.len();
    let rows_read = (rows + rejects.len()) as u64;
    let mut observed = (*task.schema).clone();
    for field in in_file {
        match observed.fields.iter_mut().find(|f| f.name == field.name) {
            Some(known) => known.dtype = field.dtype,
            None => observed.fields.push(field.clone()),
        }
    }
    for column in &columns {
        if let Some(field) = observed.fields.iter_mut().find(|f| f.name == column.name().as_str()) {
            field.beyond_float = loses_digits(column);
        }
    }
    let ordered = observed.fields.iter().map(|field| {
        let found = columns.iter().find(|c| c.name().as_str() == field.name).cloned();
        found.unwrap_or_else(|| Column::full_null(PlSmallStr::from_str(&field.name), rows, &polars_type(field.dtype)))
    });
    let mut frame = DataFrame::new(rows, ordered.collect()).map_err(Failure::internal)?;
    if !bad.is_empty() {
        let keep: Vec<bool> = (0..rows).map(|row| !bad.contains_key(&row)).collect();
        for (row, reason) in bad {
            rejects.extend(starts.get(row).map(|start| Reject { start: *start, reason }));
        }
        frame = keep_rows(&frame, &keep)?;
        let mut keep = keep.iter();
        starts.retain(|_| keep.next() == Some(&true));
        rejects.sort_by_key(|r| r.start);
    }
    let rejected = rejects
        .into_iter()
        .map(|Reject { start, reason }| {
            let (line, raw) = source.record(start);
            Rejected { line, raw, reason }
        })
        .collect();
    let place = |seen: Seen| Odd {
        records: seen.records,
        first: (seen.records > 0).then(|| format!("{}:{}", task.source_name, source.record(seen.first).0)),
    };
    let odd = [odd.filled, odd.cut, odd.swallowing].map(place);
    let origins = Origins::Text { source: Arc::clone(source), starts };
    Ok(Parsed { frame, rejected, observed: Schema::new(observed.fields), rows_read, odd, origins })
}

/// The rows of a frame for which `keep` says so.
pub(super) fn keep_rows(frame: &DataFrame, keep: &[bool]) -> Result<DataFrame, Failure> {
    let mask = BooleanChunked::from_slice(PlSmallStr::from_static("keep"), keep);
    if frame.height() == 1 && keep == [false] {
        return Ok(frame.clear());
    }
    frame.filter_seq(&mask).map_err(Failure::internal)
}
