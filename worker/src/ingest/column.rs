//! One column of text cells on its way to values of a type, and what happens to cells that do not fit.

use std::collections::BTreeMap;

use polars::prelude::{
    BinaryChunked, BooleanChunked, Column, DataType as PolarsType, Float64Chunked, Int32Chunked, Int64Chunked,
    Int128Chunked, IntoColumn, IntoSeries, PlSmallStr,
};
use polars_arrow::array::BooleanArray;
use polars_arrow::bitmap::{Bitmap, BitmapBuilder};
use polars_arrow::datatypes::ArrowDataType;
use shardmill_common::failure::Failure;
use shardmill_common::schema::{DataType, Unit};
use shardmill_common::text::{
    ColumnState, Nulls, Numbers, decimal_float, is_beyond_float, parse_boolean, parse_date, parse_datetime,
    parse_datetime_utc, parse_decimal, parse_duration, parse_float64, parse_float64_exact, parse_hex, parse_int64,
    parse_time, unescape_json, unescape_quotes,
};

use super::batch::{Batch, Cell};
use super::origin::{SourceText, bounded};
use super::strings::Strings;
use crate::frame::of_physical;

/// What the cells of all columns share.
pub(super) struct Context<'a> {
    pub(super) source: &'a SourceText,
    pub(super) nulls: &'a Nulls,
    pub(super) notation: Notation,
}

/// How cells are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// Quotes, if there are any, are doubled inside quotes; a quoted number is a number.
    Csv { quote: Option<u8>, numbers: Option<Numbers> },
    /// A string is a string, even if it looks like a number.
    Json,
}

impl Notation {
    /// How numbers are written, if not as usual.
    const fn numbers(self) -> Option<Numbers> {
        match self {
            Notation::Csv { numbers, .. } => numbers,
            Notation::Json => None,
        }
    }
}

/// Rows of the chunk that a cell disqualifies, with the first such cell's reason.
pub(super) type BadRows = BTreeMap<usize, String>;

pub(super) struct TypedColumn {
    name: String,
    dtype: DataType,
    /// A cell that does not fit rejects its row.
    fixed: bool,
    values: Values,
    validity: Validity,
    /// The batch cells under way, unescaped.
    scratch: Vec<u8>,
}

enum Values {
    Boolean(Vec<bool>),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>),
    Days(Vec<i32>),
    /// Times and durations.
    Ticks(Vec<i64>),
    Bytes(Vec<Vec<u8>>),
    String(Strings),
    /// No values are kept: the column's type must be found first.
    Unknown(ColumnState),
}

/// The column, or the type with which the chunk must be parsed again.
pub(super) enum Finished {
    Column(Column),
    Widened(DataType),
}

#[derive(Default)]
struct Validity(Option<BitmapBuilder>);

impl Validity {
    #[inline(always)]
    fn valid(&mut self) {
        if let Some(bits) = &mut self.0 {
            bits.push(true);
        }
    }

    fn null(&mut self, rows_before: usize) {
        let bits = self.0.get_or_insert_with(|| {
            let mut bits = BitmapBuilder::new();
            bits.extend_constant(rows_before, true);
            bits
        });
        bits.push(false);
    }

    fn finish(self) -> Option<Bitmap> {
        self.0.map(BitmapBuilder::freeze)
    }
}

impl TypedColumn {
    pub(super) fn new(name: String, dtype: DataType, fixed: bool) -> Self {
        let values = match dtype {
            DataType::Null => Values::Unknown(ColumnState::default()),
            DataType::Boolean => Values::Boolean(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Date => Values::Days(Vec::new()),
            DataType::Decimal { .. } => Values::Decimal(Vec::new()),
            DataType::Time | DataType::Datetime(_) | DataType::DatetimeUtc(_) | DataType::Duration => {
                Values::Ticks(Vec::new())
            }
            DataType::Binary => Values::Bytes(Vec::new()),
            DataType::String => Values::String(Strings::default()),
        };
        Self { name, dtype, fixed, values, validity: Validity::default(), scratch: Vec::new() }
    }

    /// Takes the cells of column `index` of the batch, whose first row is row `first_row` of the chunk.
    pub(super) fn append(
        &mut self,
        cx: &Context<'_>,
        batch: &Batch,
        width: usize,
        index: usize,
        first_row: usize,
        bad: &mut BadRows,
    ) {
        let cells = || batch.cells.iter().copied().skip(index).step_by(width.max(1));
        let mut feed = Feed {
            cx,
            name: &self.name,
            dtype: self.dtype,
            fixed: self.fixed,
            first_row,
            bad,
            scratch: &mut self.scratch,
        };
        let validity = &mut self.validity;
        let exact = !self.fixed;
        // At the first cell that does not fit, the column's values so far are reduced to the type they need.
        let numbers = cx.notation.numbers();
        let misfit = match &mut self.values {
            // Numbers of another notation are brought to the usual one, off the common way.
            Values::Int64(v) if let Some(numbers) = numbers => {
                let parse = |cell: &[u8]| usual(numbers, cell).and_then(|text| parse_int64(text.as_bytes()));
                let beyond = |v: &[i64]| v.iter().any(|x| is_beyond_float(*x));
                feed.typed(cells(), v, validity, parse).map(|row| (row, self.dtype, beyond(v)))
            }
            Values::Float64(v) if let Some(numbers) = numbers => {
                let parse = |cell: &[u8]| {
                    let text = usual(numbers, cell)?;
                    if exact { parse_float64_exact(text.as_bytes()) } else { parse_float64(text.as_bytes()) }
                };
                feed.typed(cells(), v, validity, parse).map(|row| (row, self.dtype, false))
            }
            Values::Boolean(v) => feed.typed(cells(), v, validity, parse_boolean).map(|row| (row, self.dtype, false)),
            Values::Int64(v) => feed
                .typed(cells(), v, validity, parse_int64)
                .map(|row| (row, self.dtype, v.iter().any(|x| is_beyond_float(*x)))),
            Values::Float64(v) if exact => {
                feed.typed(cells(), v, validity, parse_float64_exact).map(|row| (row, self.dtype, false))
            }
            Values::Float64(v) => feed.typed(cells(), v, validity, parse_float64).map(|row| (row, self.dtype, false)),
            Values::Days(v) => feed.typed(cells(), v, validity, parse_date).map(|row| (row, self.dtype, false)),
            Values::Decimal(v) => {
                let (precision, scale) = digits(self.dtype);
                let parse = |cell: &[u8]| match numbers {
                    Some(numbers) => parse_decimal(usual(numbers, cell)?.as_bytes(), precision, scale),
                    None => parse_decimal(cell, precision, scale),
                };
                let beyond = |v: &[i128]| v.iter().any(|units| !decimal_float(*units, scale).1);
                feed.typed(cells(), v, validity, parse).map(|row| (row, self.dtype, beyond(v)))
            }
            Values::Ticks(v) => {
                // One loop for each way of reading: the common ones must not ask which it is.
                match self.dtype {
                    DataType::Datetime(Unit::Micro) => {
                        feed.typed(cells(), v, validity, |cell| parse_datetime(cell, Unit::Micro))
                    }
                    DataType::DatetimeUtc(Unit::Micro) => {
                        feed.typed(cells(), v, validity, |cell| parse_datetime_utc(cell, Unit::Micro))
                    }
                    other => feed.typed(cells(), v, validity, |cell| ticks(other, cell)),
                }
                .map(|row| (row, self.dtype, false))
            }
            Values::Bytes(v) => feed.typed(cells(), v, validity, parse_hex).map(|row| (row, self.dtype, false)),
            Values::String(v) => {
                feed.strings(cells(), v, validity);
                None
            }
            Values::Unknown(state) => {
                feed.observe(cells(), state);
                None
            }
        };
        if let Some((row, dtype, beyond_float)) = misfit {
            let mut state = ColumnState::of(dtype);
            if beyond_float {
                state.observe_beyond_float();
            }
            feed.observe(cells().skip(row), &mut state);
            self.values = Values::Unknown(state);
            self.validity = Validity::default();
        }
    }

    pub(super) fn finish(self, source: &SourceText, rows: usize) -> Result<Finished, Failure> {
        let name = PlSmallStr::from_string(self.name);
        let validity = self.validity.finish();
        Ok(Finished::Column(match self.values {
            Values::Unknown(state) if state.dtype() == DataType::Null => {
                Column::full_null(name, rows, &PolarsType::Null)
            }
            // A type that failed once is not tried again: text always fits.
            Values::Unknown(state) if state.dtype() == self.dtype => return Ok(Finished::Widened(DataType::String)),
            Values::Unknown(state) => return Ok(Finished::Widened(state.dtype())),
            Values::Boolean(v) => {
                BooleanChunked::with_chunk(name, BooleanArray::new(ArrowDataType::Boolean, Bitmap::from(v), validity))
                    .into_column()
            }
            Values::Int64(v) => Int64Chunked::from_vec_validity(name, v, validity).into_column(),
            Values::Float64(v) => Float64Chunked::from_vec_validity(name, v, validity).into_column(),
            Values::Days(v) => {
                Int32Chunked::from_vec_validity(name, v, validity).into_series().into_date().into_column()
            }
            Values::Decimal(v) => {
                let units = Int128Chunked::from_vec_validity(name, v, validity).into_series();
                of_physical(&units, self.dtype).map_err(Failure::internal)?.into_column()
            }
            Values::Ticks(v) => {
                let ticks = Int64Chunked::from_vec_validity(name, v, validity).into_series();
                of_physical(&ticks, self.dtype).map_err(Failure::internal)?.into_column()
            }
            Values::Bytes(v) => {
                let valid = |row: usize| validity.as_ref().is_none_or(|bits| bits.get_bit(row));
                let cells = v.into_iter().enumerate().map(|(row, bytes)| valid(row).then_some(bytes));
                cells.collect::<BinaryChunked>().with_name(name).into_column()
            }
            Values::String(v) => v.finish(name, source.array(), validity),
        }))
    }
}

/// The digits of a decimal, and how many are behind its point.
const fn digits(dtype: DataType) -> (u8, u8) {
    match dtype {
        DataType::Decimal { precision, scale } => (precision, scale),
        _ => (0, 0),
    }
}

/// A cell of a type of times.
fn ticks(dtype: DataType, cell: &[u8]) -> Option<i64> {
    match dtype {
        DataType::Time => parse_time(cell),
        DataType::Duration => parse_duration(cell),
        DataType::Datetime(unit) => parse_datetime(cell, unit),
        DataType::DatetimeUtc(unit) => parse_datetime_utc(cell, unit),
        _ => None,
    }
}

/// Cells of one batch on their way into one column.
struct Feed<'a, 'b> {
    cx: &'a Context<'b>,
    name: &'a str,
    dtype: DataType,
    fixed: bool,
    first_row: usize,
    bad: &'a mut BadRows,
    scratch: &'a mut Vec<u8>,
}

impl Feed<'_, '_> {
    /// Appends the values of cells; the row in the batch of the first cell that does not fit, unless the schema is fixed.
    #[inline(always)]
    fn typed<T: Default>(
        &mut self,
        cells: impl Iterator<Item = Cell>,
        values: &mut Vec<T>,
        validity: &mut Validity,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Option<usize> {
        let data = self.cx.source.bytes();
        let strings_are_values = self.cx.notation != Notation::Json
            || self.dtype.is_calendar()
            // JSON has no way to write these but as strings.
            || matches!(self.dtype, DataType::Time | DataType::Duration | DataType::Binary);
        let bytes = self.dtype == DataType::Binary;
        for (row, cell) in cells.enumerate() {
            let mut text = cell.text(data);
            if cell.escaped() {
                unescape(self.cx.notation, text, self.scratch);
                text = self.scratch.as_slice();
            }
            // No text means null in all types but strings and bytes, in quotes or not.
            let is_empty = text.is_empty() && !(bytes && cell.quoted());
            if !is_empty && !self.cx.nulls.has(text) {
                let value = if strings_are_values || !cell.quoted() { parse(text) } else { None };
                if let Some(value) = value {
                    values.push(value);
                    validity.valid();
                    continue;
                }
                if !self.fixed {
                    return Some(row);
                }
                let reason = misfit_reason(self.name, text, self.dtype);
                self.bad.entry(self.first_row + row).or_insert(reason);
            }
            validity.null(values.len());
            values.push(T::default());
        }
        None
    }

    #[inline(always)]
    fn strings(&mut self, cells: impl Iterator<Item = Cell>, values: &mut Strings, validity: &mut Validity) {
        let data = self.cx.source.bytes();
        values.reserve(cells.size_hint().0);
        for cell in cells {
            let text = cell.text(data);
            if cell.escaped() {
                unescape(self.cx.notation, text, self.scratch);
                if !self.cx.nulls.has(self.scratch) {
                    values.push_own(self.scratch);
                    validity.valid();
                    continue;
                }
            } else if if text.is_empty() { cell.quoted() } else { !self.cx.nulls.has(text) } {
                values.push_text(data, cell.start(), text);
                validity.valid();
                continue;
            }
            validity.null(values.len());
            values.push_null();
        }
    }

    fn observe(&mut self, cells: impl Iterator<Item = Cell>, state: &mut ColumnState) {
        let data = self.cx.source.bytes();
        let mut scratch = String::new();
        let numbers = self.cx.notation.numbers();
        for cell in cells {
            let mut text = cell.text(data);
            if cell.escaped() {
                unescape(self.cx.notation, text, self.scratch);
                text = self.scratch.as_slice();
            }
            if text.is_empty() || self.cx.nulls.has(text) {
                continue;
            }
            // Records were checked: this cannot fail, and text that is not UTF-8 would be of no other type than text.
            match simdutf8::basic::from_utf8(text) {
                Ok(text) if self.cx.notation == Notation::Json && cell.quoted() => state.observe_json_string(text),
                Ok(text) => state.observe_as(text, numbers.as_ref(), &mut scratch),
                Err(_) => state.join(ColumnState::of(DataType::String)),
            }
        }
    }
}

/// A cell whose number is in another notation, as it is usually written.
#[cold]
fn usual(numbers: Numbers, cell: &[u8]) -> Option<String> {
    numbers.read(std::str::from_utf8(cell).ok()?, &mut String::new()).map(str::to_owned)
}

#[cold]
fn unescape(notation: Notation, text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    match notation {
        Notation::Csv { quote: Some(quote), .. } => unescape_quotes(text, quote, out),
        Notation::Csv { quote: None, .. } => out.extend_from_slice(text),
        Notation::Json => {
            // The reader rejects lines whose strings cannot be unescaped.
            let value = std::str::from_utf8(text).ok().and_then(unescape_json).unwrap_or_default();
            out.extend_from_slice(value.as_bytes());
        }
    }
}

/// `` column `age`: `abc` is not an int64 ``.
#[cold]
pub(super) fn misfit_reason(name: &str, text: &[u8], dtype: DataType) -> String {
    format!("column `{name}`: `{}` is not {}", bounded(text), dtype.with_article())
}
