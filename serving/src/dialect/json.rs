//! Bodies of JSON: MLflow's four forms, and those that SageMaker's clients write.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::answer::RequestError;
use super::lists;
use crate::table::{Cell, Table};

/// Which bodies are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonForm {
    /// An object with exactly one of `dataframe_split`, `dataframe_records`, `instances` and `inputs`.
    Mlflow,
    /// These, and a list of rows, one row alone, and rows as `{"features": [...]}`.
    Any,
}

const FORMS: [&str; 4] = ["dataframe_split", "dataframe_records", "instances", "inputs"];
/// Cells that records without a value there may add, besides as many again as there are values.
const SPARSE_CELLS: usize = 1 << 20;

fn bad(message: impl Into<String>) -> RequestError {
    RequestError::bad(message.into())
}

/// A body with `null` in the places of `NaN`, which Python's and MLflow's writers put there for a missing number although JSON has no
/// such word. `None`: it has none.
fn without_nan(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len() + 16);
    let (mut rest, mut in_text, mut found) = (body, false, false);
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'\\' if in_text => {
                out.push(*first);
                if let Some((next, after)) = rest.split_first() {
                    out.push(*next);
                    rest = after;
                }
                continue;
            }
            b'"' => in_text = !in_text,
            b'N' if !in_text && rest.starts_with(b"aN") => {
                out.extend_from_slice(b"null");
                rest = rest.get(2..).unwrap_or_default();
                found = true;
                continue;
            }
            _ => {}
        }
        out.push(*first);
    }
    found.then_some(out)
}

/// Reads a body of JSON.
pub fn parse_json(body: &[u8], form: JsonForm) -> Result<Table<'static>, RequestError> {
    if let Some(table) = lists::read(body) {
        return Ok(table);
    }
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) => match without_nan(body) {
            Some(body) => return parse_json(&body, form),
            None => return Err(bad(format!("the body is not JSON: {error}"))),
        },
    };
    let table = match value {
        Value::Object(mut object) => {
            let given: Vec<&str> = FORMS.into_iter().filter(|f| object.contains_key(*f)).collect();
            match (given.as_slice(), form) {
                ([one], _) => {
                    let content = object.remove(*one).unwrap_or_default();
                    match *one {
                        "dataframe_split" => split(content),
                        "dataframe_records" => records_only(content),
                        "instances" => rows_of(content, one),
                        _ => inputs(content),
                    }
                }
                ([], JsonForm::Any) => rows_of(Value::Array(vec![Value::Object(object)]), "the body"),
                ([], JsonForm::Mlflow) => Err(bad(format!("the body has none of {}", FORMS.join(", ")))),
                (several, _) => Err(bad(format!("the body has {}; give one of them", several.join(" and ")))),
            }
        }
        Value::Array(rows) if form == JsonForm::Any => {
            // A list of values is one row.
            let one = !rows.is_empty() && rows.iter().all(|v| !v.is_array() && !v.is_object());
            let rows = if one { vec![Value::Array(rows)] } else { rows };
            rows_of(Value::Array(rows), "the body")
        }
        _ => Err(bad(format!("the body is not an object with one of {}", FORMS.join(", ")))),
    }?;
    if table.rows == 0 {
        return Err(bad("the body has no rows"));
    }
    Ok(table)
}

/// A value as a cell. `at` says where it is, for messages.
fn cell(value: Value, at: impl FnOnce() -> String) -> Result<Cell<'static>, RequestError> {
    Ok(match value {
        Value::Null => Cell::Null,
        Value::Bool(b) => Cell::Boolean(b),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => Cell::Integer(n),
            (None, Some(x)) => Cell::Float(x),
            (None, None) => return Err(bad(format!("{}: {n} is too large a number", at()))),
        },
        Value::String(text) => Cell::Text(Cow::Owned(text)),
        Value::Array(_) | Value::Object(_) => {
            let what = if value.is_array() { "a list" } else { "an object" };
            return Err(bad(format!("{} is {what}; a value is a number, a text, true, false or null", at())));
        }
    })
}

fn array(value: Value, what: &str) -> Result<Vec<Value>, RequestError> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(bad(format!("{what} is not a list"))),
    }
}

fn name(value: Value) -> Result<Cow<'static, str>, RequestError> {
    match value {
        Value::String(text) => Ok(Cow::Owned(text)),
        Value::Number(n) => Ok(Cow::Owned(n.to_string())),
        other => Err(bad(format!("{other} is no name of a column"))),
    }
}

/// `{"columns": [...], "index": [...], "data": [[...], ...]}`.
fn split(value: Value) -> Result<Table<'static>, RequestError> {
    let Value::Object(mut object) = value else { return Err(bad("dataframe_split is not an object")) };
    if let Some(other) = object.keys().find(|k| !matches!(k.as_str(), "columns" | "index" | "data")) {
        return Err(bad(format!("dataframe_split has `{}`; it has columns, index and data", other.escape_debug())));
    }
    let data = object.remove("data").ok_or_else(|| bad("dataframe_split has no data"))?;
    let rows = array(data, "dataframe_split.data")?;
    let names = match object.remove("columns") {
        None => None,
        Some(columns) => {
            let columns = array(columns, "dataframe_split.columns")?;
            Some(columns.into_iter().map(name).collect::<Result<Vec<_>, _>>()?)
        }
    };
    lists(rows, names, "dataframe_split.data")
}

fn records_only(value: Value) -> Result<Table<'static>, RequestError> {
    let rows = array(value, "dataframe_records")?;
    let all = rows.into_iter().enumerate().map(|(n, row)| match row {
        Value::Object(row) => Ok(row),
        _ => Err(bad(format!("row {} of dataframe_records is not an object", n + 1))),
    });
    records(all.collect::<Result<Vec<_>, _>>()?)
}

/// Rows as lists, as objects, as `{"features": [...]}`, or as the values of a single column.
fn rows_of(value: Value, what: &str) -> Result<Table<'static>, RequestError> {
    let rows = array(value, what)?;
    let features =
        |row: &Value| matches!(row, Value::Object(o) if o.len() == 1 && o.get("features").is_some_and(Value::is_array));
    match rows.first() {
        Some(Value::Object(_)) if rows.iter().all(features) => {
            let inner = |row: Value| match row {
                Value::Object(mut o) => o.remove("features").unwrap_or_default(),
                other => other,
            };
            lists(rows.into_iter().map(inner).collect(), None, what)
        }
        Some(Value::Object(_)) => {
            let all = rows.into_iter().enumerate().map(|(n, row)| match row {
                Value::Object(row) => Ok(row),
                _ => Err(bad(format!("row {} of {what} is not an object, as the first is", n + 1))),
            });
            records(all.collect::<Result<Vec<_>, _>>()?)
        }
        Some(Value::Array(_)) | None => lists(rows, None, what),
        Some(_) => lists(rows.into_iter().map(|v| Value::Array(vec![v])).collect(), None, what),
    }
}

/// Rows as for `instances`, or an object of columns.
fn inputs(value: Value) -> Result<Table<'static>, RequestError> {
    let Value::Object(object) = value else { return rows_of(value, "inputs") };
    let mut columns = Vec::with_capacity(object.len());
    for (name, values) in object {
        let values = match values {
            Value::Array(values) => values,
            // One value is a column of one row.
            one => vec![one],
        };
        columns.push((name, values));
    }
    let rows = columns.first().map_or(0, |(_, values)| values.len());
    if let Some((name, values)) = columns.iter().find(|(_, values)| values.len() != rows) {
        let first = columns.first().map(|(n, _)| n.as_str()).unwrap_or_default();
        return Err(bad(format!(
            "column `{}` of inputs has {} values, column `{}` has {rows}",
            name.escape_debug(),
            values.len(),
            first.escape_debug()
        )));
    }
    let width = columns.len();
    let mut cells = vec![Cell::Null; rows * width];
    let mut names = Vec::with_capacity(width);
    for (n, (name, values)) in columns.into_iter().enumerate() {
        for (row, value) in values.into_iter().enumerate() {
            // A column may come as a list of lists of one value.
            let value = match value {
                Value::Array(mut one) if one.len() == 1 => one.pop().unwrap_or_default(),
                other => other,
            };
            let at = || format!("row {} of column `{}`", row + 1, name.escape_debug());
            let found = cell(value, at)?;
            if let Some(slot) = cells.get_mut(row * width + n) {
                *slot = found;
            }
        }
        names.push(Cow::Owned(name));
    }
    Ok(Table { names: Some(names), width, rows, cells })
}

fn lists(rows: Vec<Value>, names: Option<Vec<Cow<'static, str>>>, what: &str) -> Result<Table<'static>, RequestError> {
    let mut width = names.as_ref().map(Vec::len);
    let count = rows.len();
    let mut cells = Vec::new();
    for (row, values) in rows.into_iter().enumerate() {
        let Value::Array(values) = values else {
            return Err(bad(format!("row {} of {what} is not a list", row + 1)));
        };
        let wanted = *width.get_or_insert(values.len());
        if values.len() != wanted {
            let other = if names.is_some() { "columns" } else { "the first row" };
            return Err(bad(format!("row {} of {what} has {} values, {other} has {wanted}", row + 1, values.len())));
        }
        if row == 0 {
            cells.reserve(count * wanted);
        }
        for (n, value) in values.into_iter().enumerate() {
            cells.push(cell(value, || format!("row {} of {what}, value {}", row + 1, n + 1))?);
        }
    }
    Ok(Table { names, width: width.unwrap_or(0), rows: count, cells })
}

/// Objects by column name; a column that a row does not have has no value there.
fn records(rows: Vec<Map<String, Value>>) -> Result<Table<'static>, RequestError> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut names: Vec<&str> = Vec::new();
    let mut values = 0;
    for row in &rows {
        values += row.len();
        for name in row.keys() {
            places.entry(name).or_insert_with(|| {
                names.push(name);
                names.len() - 1
            });
        }
    }
    let (width, count) = (names.len(), rows.len());
    let all = count.saturating_mul(width);
    if all > values * 2 + SPARSE_CELLS {
        return Err(bad(format!(
            "the {count} rows have {width} different columns and only {values} values: give every row the same columns"
        )));
    }
    let names: Vec<Cow<'static, str>> = names.into_iter().map(|n| Cow::Owned(n.to_owned())).collect();
    let places: HashMap<String, usize> = places.into_iter().map(|(n, p)| (n.to_owned(), p)).collect();
    let mut cells = vec![Cell::Null; all];
    for (row, record) in rows.into_iter().enumerate() {
        for (name, value) in record {
            let Some(place) = places.get(&name) else { continue };
            let found = cell(value, || format!("row {}: column `{}`", row + 1, name.escape_debug()))?;
            if let Some(slot) = cells.get_mut(row * width + place) {
                *slot = found;
            }
        }
    }
    Ok(Table { names: Some(names), width, rows: count, cells })
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
