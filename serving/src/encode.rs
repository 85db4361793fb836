//! A request's rows to the numbers a model computes with. Means the same as the workers' encoding of shards: a category's text
//! is that of the type it was trained with, integers pass for floats, and what is missing is filled in as the model learnt.

use std::fmt;

use hashbrown::HashMap;
use shardmill_common::model::{Encoder, Encoding, Feature, Filling, Scaling, Unknown};
use shardmill_common::schema::DataType;
use shardmill_common::text::{self as cells, float_text, write_decimal};

use crate::model::{Codes, Layout, Matrix, NO_CODE};
use crate::table::{Cell, Table};

/// In place of a category's number: there was no value.
pub const MISSING: u32 = u32::MAX;
/// In place of a category's number: training did not see it.
pub const UNSEEN: u32 = u32::MAX - 1;
/// Values in messages are cut to this many characters.
const SHOWN: usize = 60;

/// Why rows cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The columns are not those of the model, or a value is not of its column's type.
    Unfit(String),
    /// The model cannot take this row.
    Row(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unfit(message) | Fault::Row(message) => f.write_str(message),
        }
    }
}

/// Encoded rows, with the values as they were for whoever watches them.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    pub matrix: Matrix,
    /// Of each numeric feature its values, row by row: `rows x numeric features`, NaN where there was none.
    pub numbers: Vec<f64>,
    /// Of each one-hot feature its categories, row by row: the category's number, `MISSING` or `UNSEEN`.
    pub categories: Vec<u32>,
}

enum Kind {
    Numeric { scaling: Option<Scaling>, fill: Option<f64> },
    OneHot(Box<OneHot>),
}

struct OneHot {
    trained: DataType,
    codes: HashMap<String, u32>,
    /// Of dates and times: categories by days or microseconds, since they can be written in several ways.
    moments: HashMap<i64, u32>,
    /// What stands in for a missing value; `UNSEEN` if it is no category.
    fill: Option<u32>,
    unknown: Unknown,
}

struct Column {
    name: String,
    kind: Kind,
    indicator: bool,
}

/// An encoder made ready for requests.
pub struct Plan {
    columns: Vec<Column>,
    places: HashMap<String, usize>,
    pub layout: Layout,
    numeric: usize,
    one_hot: usize,
}

fn moment(text: &[u8], dtype: DataType) -> Option<i64> {
    match dtype {
        DataType::Date => cells::parse_date(text).map(i64::from),
        DataType::Datetime(unit) => cells::parse_datetime(text, unit),
        DataType::DatetimeUtc(unit) => cells::parse_datetime_utc(text, unit),
        DataType::Time => cells::parse_time(text),
        DataType::Duration => cells::parse_duration(text),
        _ => None,
    }
}

impl OneHot {
    fn new(feature: &Feature, categories: &[String], unknown: Unknown) -> Self {
        let codes: HashMap<String, u32> = categories.iter().zip(0u32..).map(|(c, n)| (c.clone(), n)).collect();
        let moments =
            categories.iter().zip(0u32..).filter_map(|(c, n)| Some((moment(c.as_bytes(), feature.dtype)?, n)));
        let fill = feature.fill.as_ref().map(|fill| match fill {
            Filling::Text(text) => text.clone(),
            Filling::Number(x) if feature.dtype == DataType::Int64 => (*x as i64).to_string(),
            Filling::Number(x) => float_text(*x),
        });
        let fill = fill.map(|text| codes.get(&text).copied().unwrap_or(UNSEEN));
        Self { trained: feature.dtype, moments: moments.collect(), codes, fill, unknown }
    }

    fn text(&self, text: &str) -> u32 {
        self.codes.get(text).copied().unwrap_or(UNSEEN)
    }

    fn integer(&self, n: i64) -> u32 {
        if let DataType::Decimal { scale, .. } = self.trained {
            return self.decimal(cells::rescale(n.into(), 0, scale), scale);
        }
        if self.trained == DataType::Float64 { self.text(&float_text(n as f64)) } else { self.text(&n.to_string()) }
    }

    fn float(&self, x: f64) -> u32 {
        let x = x + 0.0;
        if let DataType::Decimal { precision, scale } = self.trained {
            return self.decimal(cells::decimal_of_float(x, precision, scale), scale);
        }
        if self.trained == DataType::Int64 && x == x.trunc() && x.abs() < 9.0e15 {
            return self.text(&(x as i64).to_string());
        }
        self.text(&float_text(x))
    }

    /// A decimal of the scale that categories are written in; `None`: it is none of that scale.
    fn decimal(&self, units: Option<i128>, scale: u8) -> u32 {
        let Some(units) = units else { return UNSEEN };
        let mut text = Vec::new();
        write_decimal(units, scale, &mut text);
        std::str::from_utf8(&text).map_or(UNSEEN, |text| self.text(text))
    }

    /// The category of a cell, `MISSING` or `UNSEEN`.
    fn code(&self, cell: &Cell<'_>) -> u32 {
        match cell {
            Cell::Null => MISSING,
            Cell::Boolean(b) => self.text(if *b { "true" } else { "false" }),
            Cell::Integer(n) => self.integer(*n),
            Cell::Float(x) if x.is_nan() => MISSING,
            Cell::Float(x) => self.float(*x),
            Cell::Text(text) => match moment(text.as_bytes(), self.trained) {
                Some(moment) => self.moments.get(&moment).copied().unwrap_or(UNSEEN),
                None => self.text(text),
            },
            Cell::Raw(text) => {
                let raw = text.as_bytes();
                if raw.is_empty() {
                    return MISSING;
                }
                match self.trained {
                    DataType::Int64 | DataType::Float64 => match (cells::parse_int64(raw), cells::parse_float64(raw)) {
                        (Some(n), _) => self.integer(n),
                        (None, Some(x)) if x.is_nan() => MISSING,
                        (None, Some(x)) => self.float(x),
                        (None, None) => self.text(text),
                    },
                    DataType::Boolean => match cells::parse_boolean(raw) {
                        Some(b) => self.text(if b { "true" } else { "false" }),
                        None => self.text(text),
                    },
                    DataType::Decimal { precision, scale } => {
                        self.decimal(cells::parse_decimal(raw, precision, scale), scale)
                    }
                    dtype => match moment(raw, dtype) {
                        Some(moment) => self.moments.get(&moment).copied().unwrap_or(UNSEEN),
                        None => self.text(text),
                    },
                }
            }
        }
    }
}

/// A cell as a number, NaN where there is none. `None`: it is not a number.
pub(crate) fn number(cell: &Cell<'_>) -> Option<f64> {
    Some(match cell {
        Cell::Null => f64::NAN,
        Cell::Boolean(b) => f64::from(u8::from(*b)),
        Cell::Integer(n) => *n as f64,
        Cell::Float(x) => *x,
        Cell::Text(_) => return None,
        Cell::Raw(text) => {
            let text = text.trim_ascii();
            if text.is_empty() {
                return Some(f64::NAN);
            }
            match cells::parse_float64(text.as_bytes()) {
                Some(x) => x,
                None => match cells::parse_boolean(text.as_bytes()) {
                    Some(b) => f64::from(u8::from(b)),
                    None => text.parse().ok()?,
                },
            }
        }
    })
}

fn shown(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Text(text) | Cell::Raw(text) => text.escape_debug().take(SHOWN).collect(),
        other => format!("{other:?}"),
    }
}

/// Names as a message lists them.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<String> = names.map(|n| format!("`{}`", n.escape_debug().take(SHOWN).collect::<String>())).collect();
    match all.len() {
        0..=20 => all.join(", "),
        n => format!("{} and {} more", all[..20].join(", "), n - 20),
    }
}

impl Plan {
    pub fn new(encoder: &Encoder) -> Self {
        let columns: Vec<Column> = encoder
            .features
            .iter()
            .map(|feature| Column {
                name: feature.column.clone(),
                indicator: feature.indicator,
                kind: match &feature.encoding {
                    Encoding::Numeric { scaling } => Kind::Numeric {
                        scaling: *scaling,
                        fill: match &feature.fill {
                            Some(Filling::Number(x)) => Some(*x),
                            Some(Filling::Text(text)) => text.parse().ok(),
                            None => None,
                        },
                    },
                    Encoding::OneHot { categories, unknown } => {
                        Kind::OneHot(Box::new(OneHot::new(feature, categories, *unknown)))
                    }
                },
            })
            .collect();
        let places = columns.iter().enumerate().map(|(n, c)| (c.name.clone(), n)).collect();
        let numeric = columns.iter().filter(|c| matches!(c.kind, Kind::Numeric { .. })).count();
        Self { one_hot: columns.len() - numeric, numeric, columns, places, layout: Layout::of(encoder) }
    }

    /// Of each feature the column of the table that has it.
    fn sources(&self, table: &Table<'_>) -> Result<Vec<usize>, Fault> {
        let wanted = || listed(self.columns.iter().map(|c| c.name.as_str()));
        let Some(names) = &table.names else {
            if table.width != self.columns.len() {
                return Err(Fault::Unfit(format!(
                    "the rows have {} columns and no names; the model takes {} in this order: {}",
                    table.width,
                    self.columns.len(),
                    wanted()
                )));
            }
            return Ok((0..table.width).collect());
        };
        let mut sources = vec![usize::MAX; self.columns.len()];
        for (n, name) in names.iter().enumerate() {
            if let Some(slot) = self.places.get(name.as_ref()).and_then(|place| sources.get_mut(*place)) {
                if *slot != usize::MAX {
                    return Err(Fault::Unfit(format!(
                        "the column {} is there twice",
                        listed([name.as_ref()].into_iter())
                    )));
                }
                *slot = n;
            }
        }
        let lacking = |(column, source): (&Column, &usize)| (*source == usize::MAX).then(|| column.name.clone());
        let lacking: Vec<String> = self.columns.iter().zip(&sources).filter_map(lacking).collect();
        if lacking.is_empty() {
            return Ok(sources);
        }
        Err(Fault::Unfit(format!(
            "columns that the model reads are missing: {}; the rows have {}",
            listed(lacking.iter().map(String::as_str)),
            listed(names.iter().map(AsRef::as_ref))
        )))
    }

    /// Encodes all rows, or says which is the first that cannot be. Columns that the model does not read are passed over.
    pub fn encode(&self, table: &Table<'_>) -> Result<Encoded, Fault> {
        let sources = self.sources(table)?;
        let rows = table.rows;
        let mut values = Vec::with_capacity(rows * self.layout.dense.len());
        let mut numbers = Vec::with_capacity(rows * self.numeric);
        let mut categories = Vec::with_capacity(rows * self.one_hot);
        let mut codes: Vec<Codes> = self
            .layout
            .codes
            .iter()
            .map(|(first, categories)| Codes {
                first: *first,
                categories: *categories,
                codes: Vec::with_capacity(rows),
            })
            .collect();
        for row in 0..rows {
            let cells = table.row(row);
            let mut code_columns = codes.iter_mut();
            for (column, source) in self.columns.iter().zip(&sources) {
                let cell = cells.get(*source).unwrap_or(&Cell::Null);
                let missing = match &column.kind {
                    Kind::Numeric { scaling, fill } => {
                        let x = number(cell).ok_or_else(|| {
                            Fault::Unfit(format!(
                                "row {}: column `{}` is a number, and `{}` is none",
                                row + 1,
                                column.name,
                                shown(cell)
                            ))
                        })?;
                        numbers.push(x);
                        if x.is_infinite() {
                            return Err(Fault::Row(format!("row {}: column `{}` is infinite", row + 1, column.name)));
                        }
                        let missing = x.is_nan();
                        let x = if missing { fill.ok_or_else(|| no_value(row, &column.name))? } else { x };
                        values.push(match scaling {
                            None => x,
                            Some(Scaling { mean, scale }) => (x - mean) / scale,
                        });
                        missing
                    }
                    Kind::OneHot(one_hot) => {
                        let seen = one_hot.code(cell);
                        categories.push(seen);
                        let code = match seen {
                            MISSING => one_hot.fill.ok_or_else(|| no_value(row, &column.name))?,
                            code => code,
                        };
                        if code == UNSEEN && one_hot.unknown == Unknown::Refuse {
                            return Err(Fault::Row(format!(
                                "row {}: `{}` is no category of `{}` that the model knows",
                                row + 1,
                                shown(cell),
                                column.name
                            )));
                        }
                        if let Some(codes) = code_columns.next() {
                            codes.codes.push(if code == UNSEEN { NO_CODE } else { code });
                        }
                        seen == MISSING
                    }
                };
                if column.indicator {
                    values.push(f64::from(u8::from(missing)));
                }
            }
        }
        let matrix = Matrix { rows, width: self.layout.width, dense: self.layout.dense.clone(), values, codes };
        Ok(Encoded { matrix, numbers, categories })
    }
}

fn no_value(row: usize, column: &str) -> Fault {
    Fault::Row(format!(
        "row {}: column `{column}` has no value, and the model learnt nothing to put in its place",
        row + 1
    ))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use shardmill_common::model::conformance::{Raw, cases};

    use super::*;

    /// The value as a dialect gives it, typed and as text.
    fn cells(raw: Raw) -> Vec<Cell<'static>> {
        match raw {
            Raw::Null => vec![Cell::Null, Cell::Raw(Cow::Borrowed(""))],
            Raw::Boolean(b) => vec![Cell::Boolean(b), Cell::Raw(b.to_string().into())],
            Raw::Int64(n) => vec![Cell::Integer(n), Cell::Raw(n.to_string().into())],
            Raw::Float64(x) => vec![Cell::Float(x), Cell::Raw(format!("{x:?}").into())],
            Raw::Text(text) => vec![Cell::Text(text.into()), Cell::Raw(text.into())],
        }
    }

    #[test]
    fn categories_that_are_decimals_are_known_however_they_are_written() {
        let dtype = DataType::Decimal { precision: 6, scale: 2 };
        let encoding = Encoding::OneHot { categories: vec!["-0.50".into(), "5.00".into()], unknown: Unknown::Ignore };
        let feature = Feature { column: "x".into(), dtype, encoding, fill: None, indicator: false };
        let plan = Plan::new(&Encoder { features: vec![feature] });
        let known = |cell: Cell<'static>| {
            let table = Table { names: Some(vec!["x".into()]), width: 1, rows: 1, cells: vec![cell] };
            let mut row = vec![0.0; 2];
            plan.encode(&table).ok().unwrap().matrix.expand(0, &mut row);
            row
        };
        for five in [
            Cell::Integer(5),
            Cell::Float(5.0),
            Cell::Raw("5".into()),
            Cell::Raw("5.0".into()),
            Cell::Text("5.00".into()),
        ] {
            assert_eq!(known(five), [0.0, 1.0]);
        }
        assert_eq!(known(Cell::Float(-0.5)), [1.0, 0.0]);
        for other in [Cell::Integer(6), Cell::Float(0.001), Cell::Raw("word".into())] {
            assert_eq!(known(other), [0.0, 0.0]);
        }
    }

    #[test]
    fn requests_are_encoded_as_shards_are() {
        for case in cases() {
            let plan = Plan::new(&case.encoder);
            for (raw, expected) in &case.rows {
                for cell in cells(*raw) {
                    let table = Table { names: Some(vec!["x".into()]), width: 1, rows: 1, cells: vec![cell.clone()] };
                    let row = plan.encode(&table).ok().map(|encoded| {
                        let mut row = vec![f64::NAN; case.encoder.width()];
                        encoded.matrix.expand(0, &mut row);
                        row
                    });
                    assert_eq!(row, *expected, "{}: {cell:?}", case.what);
                }
            }
        }
    }
}
