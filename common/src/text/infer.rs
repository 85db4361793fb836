//! The types of columns, from the text of their cells.

use super::cells::{fits, is_beyond_float, parse_int64};
use super::decimals::{decimal_digits, decimal_float, parse_decimal};
use super::json::{Kind, members, unescape_json};
use super::nulls::Nulls;
use super::numbers::Numbers;
use super::scan::{DialectError, Grammar, MAX_RECORD_BYTES, next_record, split_record, unescape_quotes};
use super::{Dialect, Encoding, Ragged, windows_1252_to_utf8};
use crate::schema::{DataType, Field, MAX_DIGITS, Schema, Unit};

/// The narrowest type that holds the cell without loss; of the empty cell, null.
pub fn classify(cell: &str) -> DataType {
    let cell = cell.as_bytes();
    let Some(first) = cell.first() else { return DataType::Null };
    let candidates: &[DataType] = match first {
        b'0'..=b'9' if cell.len() >= 10 => &[
            DataType::Int64,
            DataType::Float64,
            DataType::Date,
            DataType::DATETIME,
            DataType::DATETIME_UTC,
            DataType::Datetime(Unit::Nano),
            DataType::DatetimeUtc(Unit::Nano),
        ],
        b'0'..=b'9' | b'-' | b'.' => &[DataType::Int64, DataType::Float64],
        b'+' => &[DataType::Float64],
        b't' | b'T' | b'f' | b'F' => &[DataType::Boolean],
        b'n' | b'N' | b'i' | b'I' => &[DataType::Float64],
        _ => &[],
    };
    candidates.iter().copied().find(|t| fits(cell, *t)).unwrap_or(DataType::String)
}

/// What the cells of a column seen so far need. Richer than a type: integers beyond 2^53 and fractions in one column
/// need text, since a float would lose digits of the integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnState {
    dtype: DataType,
    beyond_float: bool,
}

impl Default for ColumnState {
    fn default() -> Self {
        Self::of(DataType::Null)
    }
}

impl ColumnState {
    /// A column that holds values of `dtype`, none of which has more digits than a float tells apart.
    pub const fn of(dtype: DataType) -> Self {
        Self { dtype, beyond_float: false }
    }

    pub const fn dtype(&self) -> DataType {
        self.dtype
    }

    /// Takes note of a cell that is not null, as its text without quotes.
    pub fn observe(&mut self, cell: &str) {
        match self.dtype {
            DataType::String => return,
            // Most cells are of the type of those before; only integers have more to tell.
            t if t != DataType::Int64 && fits(cell.as_bytes(), t) => return,
            _ => {}
        }
        if matches!(self.dtype, DataType::Decimal { .. })
            && let Some((whole, scale)) = decimal_digits(cell.as_bytes())
        {
            // More digits, and still a decimal.
            let dtype = DataType::Decimal { precision: (whole + scale).max(1), scale };
            let loses = |v| !decimal_float(v, scale).1;
            let beyond_float = parse_decimal(cell.as_bytes(), MAX_DIGITS, scale).is_some_and(loses);
            return self.join(ColumnState { dtype, beyond_float });
        }
        let dtype = classify(cell);
        let beyond = dtype == DataType::Int64 && parse_int64(cell.as_bytes()).is_some_and(is_beyond_float);
        self.join(ColumnState { dtype, beyond_float: beyond });
    }

    /// As [`ColumnState::observe`], of a text whose numbers are written so.
    pub fn observe_as(&mut self, cell: &str, numbers: Option<&Numbers>, scratch: &mut String) {
        let Some(numbers) = numbers else { return self.observe(cell) };
        match numbers.read(cell, scratch) {
            Some(cell) => self.observe(cell),
            None => self.join(ColumnState::of(DataType::String)),
        }
    }

    /// Takes note of a JSON string: times are recognised in it, numbers and booleans are not.
    pub fn observe_json_string(&mut self, cell: &str) {
        let dtype = match classify(cell) {
            t if t.is_calendar() || t == DataType::Null => t,
            _ => DataType::String,
        };
        self.join(ColumnState::of(dtype));
    }

    /// Takes note of a value, of the type that it is of, that has more digits than a float tells apart.
    pub fn observe_beyond_float(&mut self) {
        self.beyond_float = true;
        self.join(*self);
    }

    pub fn join(&mut self, other: ColumnState) {
        self.beyond_float |= other.beyond_float;
        self.dtype = self.dtype.join(other.dtype);
        if self.dtype == DataType::Float64 && self.beyond_float {
            self.dtype = DataType::String;
        }
    }
}

/// Gathers the types of columns from a sample's records.
#[derive(Clone, Debug)]
pub struct Sampler {
    columns: Vec<(String, ColumnState)>,
    nulls: Nulls,
    numbers: Option<Numbers>,
    scratch: String,
}

impl Sampler {
    pub fn new<'a>(names: impl Iterator<Item = &'a str>, nulls: &[String], numbers: Option<Numbers>) -> Self {
        let columns = names.map(|n| (n.to_owned(), ColumnState::default())).collect();
        Self { columns, nulls: Nulls::new(nulls), numbers, scratch: String::new() }
    }

    /// Takes note of one cell of a record of delimited text.
    pub fn observe(&mut self, column: usize, cell: &str) {
        if let Some((_, state)) = self.columns.get_mut(column)
            && !self.nulls.has(cell.as_bytes())
        {
            state.observe_as(cell, self.numbers.as_ref(), &mut self.scratch);
        }
    }

    /// Takes note of the members of a line's JSON object; keys not seen before make columns. A line that is not an
    /// object says nothing.
    pub fn observe_json(&mut self, line: &str) {
        let mut position = 0;
        let walked = members(line, |m| {
            let unescaped = if m.key_escaped { unescape_json(m.key) } else { None };
            let key = unescaped.as_deref().unwrap_or(m.key);
            let index = self.place(key, position);
            position = index + 1;
            let text = line.get(m.start..m.end).unwrap_or_default();
            let Some((_, state)) = self.columns.get_mut(index) else { return };
            match m.kind {
                Kind::Null => {}
                _ if self.nulls.has(text.as_bytes()) => {}
                Kind::Text { escaped } => match if escaped { unescape_json(text) } else { None } {
                    Some(cell) => state.observe_json_string(&cell),
                    None => state.observe_json_string(text),
                },
                Kind::Literal | Kind::Nested => state.observe(text),
            }
        });
        // The worker rejects such a line with its reason; a sample only learns nothing from it.
        drop(walked);
    }

    /// The column of a key, which mostly is where it was in the line before.
    fn place(&mut self, key: &str, expected: usize) -> usize {
        if self.columns.get(expected).is_some_and(|(name, _)| name == key) {
            return expected;
        }
        self.columns.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
            self.columns.push((key.to_owned(), ColumnState::default()));
            self.columns.len() - 1
        })
    }

    /// What was seen; a column without values has the type null.
    pub fn schema(&self) -> Schema {
        Schema::new(self.columns.iter().map(|(name, state)| Field::new(name, state.dtype())).collect())
    }
}

/// The schema of a sample of delimited text that starts behind the header. `last`: the sample holds the source's end;
/// otherwise a record cut off at its end is left out. Records that the worker would reject are left out too.
pub fn sample_csv(
    data: &[u8],
    dialect: &Dialect,
    columns: &[Option<String>],
    nulls: &[String],
    last: bool,
) -> Result<Schema, DialectError> {
    let grammar = Grammar::of(dialect)?;
    let transcoded;
    let data = match dialect.encoding {
        Encoding::Utf8 => data,
        Encoding::Windows1252 => {
            transcoded = windows_1252_to_utf8(data.to_vec());
            &transcoded
        }
    };
    let names = columns.iter().flatten().map(String::as_str);
    let mut sampler = Sampler::new(names, nulls, dialect.numbers);
    let (mut at, mut fields, mut scratch) = (0, Vec::with_capacity(columns.len()), Vec::new());
    while at < data.len() {
        fields.clear();
        let Some(record) = split_record(data, at, grammar, MAX_RECORD_BYTES, last, |f| fields.push(f)) else { break };
        at = record.end;
        let ragged = match dialect.ragged {
            Ragged::Reject => fields.len() != columns.len(),
            // Cells beyond the last column that are not empty make the worker reject the record.
            Ragged::Fill => fields.iter().skip(columns.len()).any(|field| field.start < field.end),
        };
        if record.defect.is_some() || record.is_blank() || ragged {
            continue;
        }
        let read = fields.iter().zip(columns).filter(|(_, column)| column.is_some());
        for (column, (field, _)) in read.enumerate() {
            let mut cell = data.get(field.start..field.end).unwrap_or_default();
            if let Some(quote) = grammar.quote
                && field.escaped
            {
                scratch.clear();
                unescape_quotes(cell, quote, &mut scratch);
                cell = &scratch;
            }
            if let Ok(cell) = simdutf8::basic::from_utf8(cell) {
                sampler.observe(column, cell);
            }
        }
    }
    Ok(sampler.schema())
}

/// The schema of a sample of JSON lines; as [`sample_csv`].
pub fn sample_json_lines(data: &[u8], nulls: &[String], last: bool) -> Schema {
    let mut sampler = Sampler::new(std::iter::empty(), nulls, None);
    let mut at = 0;
    while let Some(record) =
        (at < data.len()).then(|| next_record(data, at, Grammar::lines(), MAX_RECORD_BYTES, last)).flatten()
    {
        at = record.end;
        let line = data.get(record.start..record.content_end).unwrap_or_default();
        if let Ok(line) = simdutf8::basic::from_utf8(line) {
            sampler.observe_json(line);
        }
    }
    sampler.schema()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(schema: &Schema) -> Vec<String> {
        schema.fields.iter().map(|f| format!("{}:{}", f.name, f.dtype)).collect()
    }

    #[test]
    fn the_narrowest_type_of_a_cell() {
        for (cell, name) in [
            ("", "null"),
            ("0", "int64"),
            ("-5", "int64"),
            ("007", "string"),
            ("9223372036854775808", "string"),
            ("1234567890", "int64"),
            ("1.5", "float64"),
            ("-0", "float64"),
            (".5", "float64"),
            ("nan", "float64"),
            ("-inf", "float64"),
            ("True", "boolean"),
            ("2024-02-29", "date"),
            ("2024-02-30", "string"),
            ("2024-02-29 10:00", "datetime"),
            ("2024-02-29T10:00:00Z", "datetime_utc"),
            ("2024-02-29 10:00:00.123456789", "datetime_ns"),
            ("2024-02-29T10:00:00.123456789Z", "datetime_utc_ns"),
            ("9999-02-28 10:00:00.123456789", "string"),
            ("10:00", "string"),
            ("no", "string"),
            ("+1", "string"),
            (" 1", "string"),
        ] {
            assert_eq!(classify(cell).to_string(), name, "{cell}");
        }
    }

    #[test]
    fn integers_beyond_floats_make_text_not_floats() {
        let state = |cells: &[&str]| {
            let mut state = ColumnState::default();
            cells.iter().for_each(|c| state.observe(c));
            state.dtype()
        };
        assert_eq!(state(&["9007199254740993", "1"]), DataType::Int64);
        assert_eq!(state(&["9007199254740993", "1.5"]), DataType::String);
        assert_eq!(state(&["1.5", "9007199254740993"]), DataType::String);
        assert_eq!(state(&["9007199254740992", "1.5"]), DataType::Float64);
        assert_eq!(state(&["1", "1.5", "x"]), DataType::String);
        assert_eq!(state(&["2024-01-01", "2024-01-01 00:00"]), DataType::DATETIME);
        assert_eq!(state(&["true", "1"]), DataType::String);
        assert_eq!(state(&["1", "2024-01-01"]), DataType::String);
        assert_eq!(state(&["2024-01-01 00:00", "2024-01-01"]), DataType::DATETIME);
    }

    #[test]
    fn decimals_take_in_more_digits_and_floats_only_without_loss() {
        let state = |cells: &[&str]| {
            let mut state = ColumnState::of(DataType::Decimal { precision: 4, scale: 2 });
            cells.iter().for_each(|c| state.observe(c));
            state.dtype().to_string()
        };
        assert_eq!(state(&["1.5", "-12.34"]), "decimal(4,2)");
        assert_eq!(state(&["100", "1.125"]), "decimal(6,3)");
        assert_eq!(state(&["1e3"]), "float64");
        assert_eq!(state(&["12345678901234567.5", "1e3"]), "string");
        assert_eq!(state(&["9".repeat(40).as_str()]), "string");
        assert_eq!(state(&["word"]), "string");
    }

    #[test]
    fn a_csv_sample() {
        let names = ["id", "x", "when", "zip", "none", "q"].map(|name| Some(name.to_owned()));
        let data =
            b"1,2,2024-01-01,01234,,\"1\"\n2,NA,2024-01-02 03:04,5,,\"2\"\n\nragged\n3,\"4.5\",,6,,3\n4,x\"y,cut o";
        let nulls = ["NA".to_owned()];
        let schema = sample_csv(data, &Dialect::default(), &names, &nulls, false).unwrap();
        assert_eq!(types(&schema), ["id:int64", "x:float64", "when:datetime", "zip:string", "none:null", "q:int64"]);
        let last = sample_csv(b"1,2\n3,x", &Dialect::default(), &names[..2], &[], true).unwrap();
        assert_eq!(types(&last), ["id:int64", "x:string"]);
        let some = [Some("a".to_owned()), None, Some("c".to_owned())];
        let fill = Dialect { ragged: Ragged::Fill, ..Dialect::default() };
        let schema = sample_csv(b"1,x,2\n2\n3,y,4.5,\nx,y,z,5\n", &fill, &some, &[], true).unwrap();
        assert_eq!(types(&schema), ["a:int64", "c:float64"]);
        let german = Dialect { numbers: Some(Numbers { decimal: ',', thousands: Some('.') }), delimiter: b';', ..fill };
        let schema = sample_csv(b"1.234,5;x;1.5\n2;y;4\n", &german, &some, &[], true).unwrap();
        assert_eq!(types(&schema), ["a:float64", "c:string"]);
    }

    #[test]
    fn a_json_sample() {
        let data = br#"{"a":1,"b":"5","c":null}
not json
{"b":"x","a":2.5,"d":{"e":1},"t":"2024-01-01"}
{"f":true,"a":"#;
        let schema = sample_json_lines(data, &[], false);
        assert_eq!(types(&schema), ["a:float64", "b:string", "c:null", "d:string", "t:date"]);
    }
}
