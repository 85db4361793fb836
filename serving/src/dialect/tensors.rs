//! Requests of the Open Inference Protocol (KServe v2): named tensors, as JSON or as binary behind it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::RequestError;
use crate::table::{Cell, Table};

/// More dimensions are no columns of rows.
const MOST_DIMENSIONS: usize = 8;

#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Map<String, Value>,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Debug, Deserialize)]
struct Input {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(default)]
    parameters: Map<String, Value>,
    #[serde(default)]
    data: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// An output that was asked for, and whether as binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedOutput {
    pub name: String,
    pub binary: bool,
}

/// A request as it was read.
#[derive(Debug)]
pub struct InferRequest {
    pub id: Option<String>,
    pub table: Table<'static>,
    /// Empty: all outputs.
    pub outputs: Vec<WantedOutput>,
    /// Outputs that are not named are wanted as binary.
    pub binary: bool,
}

fn bad(message: impl Into<String>) -> RequestError {
    RequestError::bad(message.into())
}

/// The columns of one tensor, value by value along its rows.
struct Columns {
    name: String,
    rows: usize,
    width: usize,
    cells: Vec<Cell<'static>>,
}

/// Reads a body whose first `json_length` bytes are JSON and the rest binary tensors; without a length all of it is JSON.
/// A tensor of the shape `[n]` or `[n, 1]` is the column of its name; a single one of the shape `[n, k]` has the model's
/// columns in their order, and so does a single one with another name than those in `columns`.
pub fn parse_infer(body: &[u8], json_length: Option<usize>, columns: &[String]) -> Result<InferRequest, RequestError> {
    let length = json_length.unwrap_or(body.len());
    let Some((head, mut binary)) = body.split_at_checked(length) else {
        return Err(bad(format!("Inference-Header-Content-Length is {length}, and the body has {} bytes", body.len())));
    };
    let request: Body =
        serde_json::from_slice(head).map_err(|e| bad(format!("the body is not an inference request: {e}")))?;
    let mut tensors = Vec::with_capacity(request.inputs.len());
    for input in request.inputs {
        tensors.push(read(input, &mut binary)?);
    }
    if !binary.is_empty() {
        return Err(bad(format!("{} bytes of binary data belong to no input", binary.len())));
    }
    let flag = |parameters: &Map<String, Value>, name: &str| parameters.get(name).and_then(Value::as_bool);
    let all_binary = flag(&request.parameters, "binary_data_output").unwrap_or(false);
    let outputs = request
        .outputs
        .into_iter()
        .map(|o| WantedOutput { binary: flag(&o.parameters, "binary_data").unwrap_or(all_binary), name: o.name })
        .collect();
    Ok(InferRequest { id: request.id, table: table(tensors, columns)?, outputs, binary: all_binary })
}

fn table(mut tensors: Vec<Columns>, columns: &[String]) -> Result<Table<'static>, RequestError> {
    let rows = tensors.first().ok_or_else(|| bad("the request has no inputs"))?.rows;
    if rows == 0 {
        return Err(bad("the inputs have no rows"));
    }
    if let Some(other) = tensors.iter().find(|t| t.rows != rows) {
        let first = tensors.first().map(|t| t.name.as_str()).unwrap_or_default();
        return Err(bad(format!(
            "input `{}` has {} rows, input `{}` has {rows}",
            other.name.escape_debug(),
            other.rows,
            first.escape_debug()
        )));
    }
    if tensors.len() == 1
        && let Some(one) = tensors.pop_if(|t| t.width > 1 || !columns.contains(&t.name))
    {
        return Ok(Table { names: None, width: one.width, rows, cells: one.cells });
    }
    if let Some(wide) = tensors.iter().find(|t| t.width != 1) {
        return Err(bad(format!(
            "input `{}` has {} columns; of several inputs each has one, the column of its name",
            wide.name.escape_debug(),
            wide.width
        )));
    }
    let width = tensors.len();
    let mut cells = vec![Cell::Null; rows * width];
    let mut names = Vec::with_capacity(width);
    for (n, tensor) in tensors.into_iter().enumerate() {
        for (slot, cell) in cells.iter_mut().skip(n).step_by(width).zip(tensor.cells) {
            *slot = cell;
        }
        names.push(Cow::Owned(tensor.name));
    }
    Ok(Table { names: Some(names), width, rows, cells })
}

fn read(input: Input, binary: &mut &[u8]) -> Result<Columns, RequestError> {
    let name = input.name;
    let shown = name.escape_debug().to_string();
    let fault = |what: String| bad(format!("input `{shown}`: {what}"));
    if input.shape.is_empty() || input.shape.len() > MOST_DIMENSIONS {
        return Err(fault("its shape is not [rows] or [rows, columns]".into()));
    }
    let sizes: Option<Vec<usize>> = input.shape.iter().map(|n| usize::try_from(*n).ok()).collect();
    let sizes = sizes.ok_or_else(|| fault("its shape is too large".into()))?;
    let (rows, rest) = sizes.split_first().map(|(r, rest)| (*r, rest)).unwrap_or_default();
    if rest.iter().filter(|n| **n != 1).count() > 1 {
        return Err(fault(format!("its shape {:?} is not [rows] or [rows, columns]", input.shape)));
    }
    let width = rest.iter().product::<usize>();
    let count = rows.checked_mul(width).ok_or_else(|| fault("its shape is too large".into()))?;
    let datatype = input.datatype.as_str();
    if !DATATYPES.contains(&datatype) {
        return Err(fault(format!("the datatype {} is not one of {}", datatype.escape_debug(), DATATYPES.join(", "))));
    }
    let size = input.parameters.get("binary_data_size");
    let cells = match (size, input.data) {
        (Some(_), Some(_)) => return Err(fault("it has both data and binary_data_size".into())),
        (None, None) => return Err(fault("it has neither data nor binary_data_size".into())),
        (Some(size), None) => {
            let size = size.as_u64().and_then(|n| usize::try_from(n).ok());
            let size = size.ok_or_else(|| fault("binary_data_size is not a number of bytes".into()))?;
            let (own, others) = binary.split_at_checked(size).ok_or_else(|| {
                fault(format!("binary_data_size is {size}, and {} bytes of binary data are left", binary.len()))
            })?;
            *binary = others;
            from_binary(own, datatype, count).map_err(fault)?
        }
        (None, Some(data)) => {
            let mut cells = Vec::new();
            flatten(data, datatype, count, &mut cells).map_err(&fault)?;
            cells
        }
    };
    if cells.len() != count {
        return Err(fault(format!("its shape {:?} is of {count} values, and it has {}", input.shape, cells.len())));
    }
    Ok(Columns { name, rows, width, cells })
}

const DATATYPES: [&str; 12] =
    ["BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP32", "FP64", "BYTES"];

/// Values of a tensor as JSON, whose lists may be nested as its shape is or be one list.
fn flatten(value: Value, datatype: &str, most: usize, out: &mut Vec<Cell<'static>>) -> Result<(), String> {
    match value {
        Value::Array(items) => items.into_iter().try_for_each(|item| flatten(item, datatype, most, out)),
        one => {
            if out.len() == most {
                return Err(format!("it has more than the {most} values of its shape"));
            }
            out.push(from_json(one, datatype)?);
            Ok(())
        }
    }
}

fn from_json(value: Value, datatype: &str) -> Result<Cell<'static>, String> {
    let unfit = |value: &Value| {
        let shown: String = value.to_string().chars().take(60).collect();
        format!("{shown} is no value of the datatype {datatype}")
    };
    Ok(match (datatype, &value) {
        (_, Value::Null) => Cell::Null,
        ("BOOL", Value::Bool(b)) => Cell::Boolean(*b),
        ("BYTES", Value::String(text)) => Cell::Text(Cow::Owned(text.clone())),
        ("FP64", Value::Number(n)) => Cell::Float(n.as_f64().ok_or_else(|| unfit(&value))?),
        // What a client holds as float32 is the nearest of those to what JSON says.
        ("FP32", Value::Number(n)) => Cell::Float(f64::from(n.as_f64().ok_or_else(|| unfit(&value))? as f32)),
        ("BOOL" | "BYTES" | "FP32" | "FP64", _) => return Err(unfit(&value)),
        (_, Value::Number(n)) => Cell::Integer(n.as_i64().ok_or_else(|| unfit(&value))?),
        _ => return Err(unfit(&value)),
    })
}

fn fixed<const N: usize>(
    bytes: &[u8],
    count: usize,
    of: impl Fn([u8; N]) -> Cell<'static>,
) -> Result<Vec<Cell<'static>>, String> {
    let (values, rest) = bytes.as_chunks::<N>();
    if values.len() != count || !rest.is_empty() {
        return Err(format!(
            "{count} values take {} bytes, and binary_data_size is {}",
            count.saturating_mul(N),
            bytes.len()
        ));
    }
    Ok(values.iter().map(|v| of(*v)).collect())
}

/// Little-endian values; text as a length of four bytes and so many bytes of UTF-8.
fn from_binary(bytes: &[u8], datatype: &str, count: usize) -> Result<Vec<Cell<'static>>, String> {
    let float = |x: f64| Cell::Float(x);
    match datatype {
        "BOOL" => fixed(bytes, count, |[b]| Cell::Boolean(b != 0)),
        "INT8" => fixed(bytes, count, |[b]| Cell::Integer(i64::from(b as i8))),
        "UINT8" => fixed(bytes, count, |[b]| Cell::Integer(i64::from(b))),
        "INT16" => fixed(bytes, count, |b| Cell::Integer(i64::from(i16::from_le_bytes(b)))),
        "UINT16" => fixed(bytes, count, |b| Cell::Integer(i64::from(u16::from_le_bytes(b)))),
        "INT32" => fixed(bytes, count, |b| Cell::Integer(i64::from(i32::from_le_bytes(b)))),
        "UINT32" => fixed(bytes, count, |b| Cell::Integer(i64::from(u32::from_le_bytes(b)))),
        "INT64" => fixed(bytes, count, |b| Cell::Integer(i64::from_le_bytes(b))),
        "FP32" => fixed(bytes, count, |b| float(f64::from(f32::from_le_bytes(b)))),
        "FP64" => fixed(bytes, count, |b| float(f64::from_le_bytes(b))),
        "UINT64" => {
            let (values, rest) = bytes.as_chunks::<8>();
            if values.len() != count || !rest.is_empty() {
                return Err(format!("{count} values take 8 bytes each, and binary_data_size is {}", bytes.len()));
            }
            let value = |b: &[u8; 8]| {
                let n = u64::from_le_bytes(*b);
                i64::try_from(n).map(Cell::Integer).map_err(|_| format!("{n} is beyond a signed integer of 64 bits"))
            };
            values.iter().map(value).collect()
        }
        _ => {
            let mut cells = Vec::new();
            let mut rest = bytes;
            while let Some((length, behind)) = rest.split_first_chunk::<4>() {
                let length = u32::from_le_bytes(*length) as usize;
                let (text, behind) = behind.split_at_checked(length).ok_or("a text is cut off")?;
                let text = std::str::from_utf8(text).map_err(|_| "a text is not valid UTF-8".to_owned())?;
                cells.push(Cell::Text(Cow::Owned(text.to_owned())));
                rest = behind;
            }
            if rest.is_empty() { Ok(cells) } else { Err("a text is cut off".into()) }
        }
    }
}

#[cfg(test)]
#[path = "tensors_tests.rs"]
mod tests;
