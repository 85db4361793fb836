//! A request and its answer as lines of JSON, one for each row. Runs between prediction and reply: no waiting, and no work
//! that one row needs is done for another again.

use std::borrow::Cow;
use std::io::Write;

use hashbrown::{HashMap, HashSet};
use shardmill_common::model::Model;
use shardmill_common::schema::DataType;
use shardmill_common::text::{self as cells, classify};

use super::{COLUMNS, ENDPOINT, Event, INFERENCE_ID, INPUT_PREFIX, MODEL, REQUEST, ROW, TIME, VARIANT, answers};
use crate::encode::number;
use crate::table::{Cell, Table};

/// Whole numbers up to here are floats without loss.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// About so many bytes are in a row besides its values.
const HEAD: usize = 230;
/// About so many in a value with its name.
const VALUE: usize = 24;

/// About the bytes of an event's lines, told before they are made.
pub fn size(event: &Event<'_>) -> usize {
    let answers = event.predictor.target().classes().len() + 1;
    event.table.rows.saturating_mul(HEAD + VALUE * (event.table.width + answers))
}

/// The lines of an event, each with its end.
pub fn lines(event: &Event<'_>) -> Vec<u8> {
    let inputs = inputs(event.table, &event.predictor.model);
    let head = head(event);
    let mut out = Vec::with_capacity(size(event));
    for row in 0..event.table.rows {
        out.extend_from_slice(&head);
        push_display(&mut out, row);
        for (input, cell) in inputs.iter().zip(event.table.row(row)) {
            match input.dtype {
                Some(dtype) => {
                    out.extend_from_slice(&input.key);
                    push_feature(&mut out, cell, dtype);
                }
                // A key without any value would make a column of text, and text it would stay.
                None if is_null(cell) => {}
                None => {
                    out.extend_from_slice(&input.key);
                    push_cell(&mut out, cell);
                }
            }
        }
        out.push(b',');
        event.answers.json_members(event.predicted, row, &mut out);
        out.extend_from_slice(b"}\n");
    }
    out
}

/// What all rows of a request begin with, up to the row's number.
fn head(event: &Event<'_>) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    let (time, model) = (event.time.to_string(), event.model.to_string());
    let texts = [
        (TIME, Some(time.as_str())),
        (ENDPOINT, Some(event.endpoint.as_str())),
        (VARIANT, Some(event.variant)),
        (MODEL, Some(model.as_str())),
        (REQUEST, Some(event.request)),
        (INFERENCE_ID, event.inference_id),
    ];
    for (n, (name, text)) in texts.into_iter().enumerate() {
        head.push(if n == 0 { b'{' } else { b',' });
        push_text(&mut head, name);
        head.push(b':');
        match text {
            Some(text) => push_text(&mut head, text),
            None => head.extend_from_slice(b"null"),
        }
    }
    head.extend_from_slice(&key(ROW));
    head
}

/// `,"name":`
fn key(name: &str) -> Vec<u8> {
    let mut key = vec![b','];
    push_text(&mut key, name);
    key.push(b':');
    key
}

/// A column of the request.
struct Input {
    key: Vec<u8>,
    /// Of a column that the model reads, the type that it was trained with.
    dtype: Option<DataType>,
}

fn inputs(table: &Table<'_>, model: &Model) -> Vec<Input> {
    let features = &model.features.features;
    let types: HashMap<&str, DataType> = features.iter().map(|f| (f.column.as_str(), f.dtype)).collect();
    let names: Vec<&str> = match &table.names {
        Some(names) => names.iter().map(AsRef::as_ref).collect(),
        None => features.iter().map(|f| f.column.as_str()).collect(),
    };
    let answers = answers(model);
    let ours: HashSet<&str> =
        COLUMNS.iter().map(|(name, _)| *name).chain(answers.iter().map(|f| f.name.as_str())).collect();
    // A column that has its own name keeps it, whatever others are renamed to.
    let mut used: HashSet<Cow<'_, str>> =
        names.iter().filter(|n| !ours.contains(*n)).map(|n| Cow::Borrowed(*n)).collect();
    let mut seen = HashSet::with_capacity(names.len());
    let mut inputs = Vec::with_capacity(names.len());
    for name in names.into_iter().take(table.width) {
        let dtype = types.get(name).copied();
        let mut kept = Cow::Borrowed(name);
        if ours.contains(name) || !seen.insert(name) {
            while ours.contains(kept.as_ref()) || used.contains(&kept) {
                kept = Cow::Owned(format!("{INPUT_PREFIX}{kept}"));
            }
            used.insert(kept.clone());
        }
        inputs.push(Input { key: key(&kept), dtype });
    }
    inputs
}

fn push_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Memory takes what is written.
    drop(write!(out, "{value}"));
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    drop(serde_json::to_writer(out, text));
}

/// The shortest text that reads back as the same number. JSON has no infinity and no NaN: there is no value then.
fn push_float(out: &mut Vec<u8>, x: f64) {
    if x.is_finite() {
        drop(write!(out, "{x:?}"));
    } else {
        out.extend_from_slice(b"null");
    }
}

fn push_boolean(out: &mut Vec<u8>, b: bool) {
    out.extend_from_slice(if b { b"true" } else { b"false" });
}

fn is_null(cell: &Cell<'_>) -> bool {
    match cell {
        Cell::Null => true,
        Cell::Float(x) => !x.is_finite(),
        Cell::Raw(text) => text.is_empty(),
        Cell::Boolean(_) | Cell::Integer(_) | Cell::Text(_) => false,
    }
}

/// A value of a column that the model does not read: as it came, or as an ingest would type it.
fn push_cell(out: &mut Vec<u8>, cell: &Cell<'_>) {
    match cell {
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Boolean(b) => push_boolean(out, *b),
        Cell::Integer(n) => push_display(out, n),
        Cell::Float(x) => push_float(out, *x),
        Cell::Text(text) => push_text(out, text),
        Cell::Raw(text) => match classify(text) {
            DataType::Null => out.extend_from_slice(b"null"),
            DataType::Boolean => push_boolean(out, text.eq_ignore_ascii_case("true")),
            DataType::Int64 => out.extend_from_slice(text.as_bytes()),
            DataType::Float64 => match cells::parse_float64(text.as_bytes()) {
                Some(x) => push_float(out, x),
                None => push_text(out, text),
            },
            _ => push_text(out, text),
        },
    }
}

/// A value of a column that the model reads: in the type that it was trained with where it fits, so that the column keeps
/// that type.
fn push_feature(out: &mut Vec<u8>, cell: &Cell<'_>, dtype: DataType) {
    match (dtype, cell) {
        (DataType::Int64, Cell::Integer(n)) => push_display(out, n),
        (DataType::Int64, Cell::Raw(text)) if cells::parse_int64(text.as_bytes()).is_some() => {
            out.extend_from_slice(text.as_bytes());
        }
        (DataType::Int64, _) => match number(cell) {
            Some(x) if x == x.trunc() && x.abs() <= EXACT => push_display(out, x as i64),
            Some(x) => push_float(out, x),
            None => push_cell(out, cell),
        },
        (DataType::Float64 | DataType::Decimal { .. }, _) => match number(cell) {
            Some(x) => push_float(out, x),
            None => push_cell(out, cell),
        },
        (DataType::Boolean, Cell::Integer(_) | Cell::Float(_) | Cell::Raw(_)) => match number(cell) {
            Some(x) if x == 0.0 || x == 1.0 => push_boolean(out, x == 1.0),
            Some(x) => push_float(out, x),
            None => push_cell(out, cell),
        },
        // Text, and dates and times as they were written.
        (_, Cell::Raw(text)) if text.is_empty() => out.extend_from_slice(b"null"),
        (_, Cell::Raw(text)) => push_text(out, text),
        _ => push_cell(out, cell),
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
