//! Rows as lists of values in JSON, read straight into cells: the form of most requests, without a tree of values between.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use crate::table::{Cell, Table};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Instances {
    instances: Lists,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Split {
    dataframe_split: Frame,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    columns: Vec<String>,
    #[serde(default, rename = "index")]
    _index: Option<IgnoredAny>,
    data: Lists,
}

/// The table, where the body is `{"instances": [[...], ...]}` or a `dataframe_split` without a fault. `None` says nothing but
/// that another reader has to look at it.
pub fn read(body: &[u8]) -> Option<Table<'static>> {
    if let Ok(Instances { instances }) = serde_json::from_slice(body) {
        return instances.table(None);
    }
    let Split { dataframe_split: Frame { columns, data, .. } } = serde_json::from_slice(body).ok()?;
    data.table(Some(columns.into_iter().map(Cow::Owned).collect()))
}

/// Rows of the same length.
#[derive(Default)]
struct Lists {
    width: usize,
    rows: usize,
    cells: Vec<Cell<'static>>,
}

impl Lists {
    fn table(self, names: Option<Vec<Cow<'static, str>>>) -> Option<Table<'static>> {
        let Self { width, rows, cells } = self;
        let fits = rows > 0 && names.as_ref().is_none_or(|n| n.len() == width);
        fits.then_some(Table { names, width, rows, cells })
    }
}

impl<'de> Deserialize<'de> for Lists {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = Lists;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of rows")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Lists, A::Error> {
                let mut lists = Lists::default();
                while let Some(width) = rows.next_element_seed(Row(&mut lists.cells))? {
                    if lists.rows > 0 && width != lists.width {
                        return Err(A::Error::custom("rows of different lengths"));
                    }
                    (lists.rows, lists.width) = (lists.rows + 1, width);
                }
                Ok(lists)
            }
        }
        deserializer.deserialize_seq(Rows)
    }
}

/// One row, whose values are added to those before; gives their number.
struct Row<'a>(&'a mut Vec<Cell<'static>>);

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = usize;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = usize;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of values")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<usize, A::Error> {
        let before = self.0.len();
        while let Some(cell) = values.next_element_seed(Value)? {
            self.0.push(cell);
        }
        Ok(self.0.len() - before)
    }
}

struct Value;

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Cell<'static>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell<'static>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Value {
    type Value = Cell<'static>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text, true, false or null")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cell::Null)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Self::Value, E> {
        Ok(Cell::Boolean(b))
    }
    fn visit_i64<E>(self, n: i64) -> Result<Self::Value, E> {
        Ok(Cell::Integer(n))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(n).map_or(Cell::Float(n as f64), Cell::Integer))
    }
    fn visit_f64<E>(self, x: f64) -> Result<Self::Value, E> {
        Ok(Cell::Float(x))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_without_a_tree() {
        let table = read(br#"{"instances": [[1, -2, 1.5, true], ["a", null, 18446744073709551615, 1e3]]}"#).unwrap();
        assert_eq!((table.rows, table.width, table.names), (2, 4, None));
        let large = Cell::Float(18_446_744_073_709_551_615.0);
        assert_eq!(table.cells[..4], [Cell::Integer(1), Cell::Integer(-2), Cell::Float(1.5), Cell::Boolean(true)]);
        assert_eq!(table.cells[4..], [Cell::Text("a".into()), Cell::Null, large, Cell::Float(1000.0)]);
        let table = read(br#"{"dataframe_split": {"columns": ["a"], "index": [0], "data": [[1], [2]]}}"#).unwrap();
        assert_eq!((table.rows, table.names.unwrap()), (2, vec![Cow::Borrowed("a")]));
    }

    #[test]
    fn whatever_else_is_left_to_others() {
        for body in [
            "{}",
            "",
            "[[1]]",
            r#"{"instances": []}"#,
            r#"{"instances": [[1], [1, 2]]}"#,
            r#"{"instances": [[[1]]]}"#,
            r#"{"instances": [{"a": 1}]}"#,
            r#"{"instances": [[1]], "inputs": [[1]]}"#,
            r#"{"instances": [[1]]"#,
            r#"{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}"#,
        ] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
    }
}
