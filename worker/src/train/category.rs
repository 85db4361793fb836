//! A categorical column as its distinct values, as text, and of each row which one it has.

use hashbrown::HashMap;
use polars::prelude::{Column, DataType as PolarsType, IntoColumn, NamedFrom, Series};
use shardmill_common::failure::Failure;
use shardmill_common::model::ClassValue;
use shardmill_common::schema::DataType;

use shardmill_common::text::float_text;

use crate::frame::{of_physical, our_type, texts_of, widen};

/// A row without a value.
pub const MISSING: u32 = u32::MAX;

/// Distinct values in the order they came.
enum Values {
    Texts(Vec<String>),
    /// Floats (never NaN, and zero without a sign).
    Floats(Vec<f64>),
    /// Everything else: booleans, integers, dates and datetimes as the integers that they are.
    Integers(Vec<i64>, PolarsType),
}

pub struct Distinct {
    values: Values,
    /// Of each row the number of its value, or `MISSING`.
    pub rows: Vec<u32>,
}

/// Numbers values by the order in which they come.
struct Numbering<K> {
    numbers: HashMap<K, u32>,
}

impl<K: std::hash::Hash + Eq> Numbering<K> {
    fn of<V>(cells: impl Iterator<Item = Option<(K, V)>>, limit: usize) -> (Vec<u32>, Option<Vec<V>>) {
        let mut numbering = Self { numbers: HashMap::new() };
        let mut values: Vec<V> = Vec::new();
        let mut rows = Vec::with_capacity(cells.size_hint().0);
        for cell in cells {
            let Some((key, value)) = cell else {
                rows.push(MISSING);
                continue;
            };
            let next = values.len() as u32;
            let number = *numbering.numbers.entry(key).or_insert(next);
            if number == next {
                if values.len() == limit {
                    return (rows, None);
                }
                values.push(value);
            }
            rows.push(number);
        }
        (rows, Some(values))
    }
}

impl Distinct {
    /// `None`: there are more than `limit` values.
    pub fn of(column: &Column, limit: usize) -> Result<Option<Self>, Failure> {
        let texts;
        // Decimals and bytes are categories by their text.
        let column = if matches!(column.dtype(), PolarsType::Decimal(..) | PolarsType::Binary) {
            texts = texts_of(column).map_err(Failure::internal)?;
            &texts
        } else {
            column
        };
        let series = column.as_materialized_series().rechunk();
        let physical = series.to_physical_repr();
        let dtype = series.dtype().clone();
        if series.null_count() == series.len() {
            return Ok(Some(Self { values: Values::Texts(Vec::new()), rows: vec![MISSING; series.len()] }));
        }
        let (rows, values) = match physical.dtype() {
            PolarsType::String => {
                let cells = physical.str().map_err(Failure::internal)?;
                let (rows, values) = Numbering::of(cells.iter().map(|c| c.map(|s| (s, s))), limit);
                (rows, values.map(|v| Values::Texts(v.into_iter().map(str::to_owned).collect())))
            }
            PolarsType::Float64 => {
                let cells = physical.f64().map_err(Failure::internal)?;
                let cell = |c: Option<f64>| {
                    let x = c.filter(|x| !x.is_nan())? + 0.0;
                    Some((x.to_bits(), x))
                };
                let (rows, values) = Numbering::of(cells.iter().map(cell), limit);
                (rows, values.map(Values::Floats))
            }
            PolarsType::Boolean => {
                let cells = physical.bool().map_err(Failure::internal)?;
                let (rows, values) = integers(cells.iter().map(|c| c.map(i64::from)), limit);
                (rows, values.map(|v| Values::Integers(v, dtype)))
            }
            PolarsType::Int32 => {
                let cells = physical.i32().map_err(Failure::internal)?;
                let (rows, values) = integers(cells.iter().map(|c| c.map(i64::from)), limit);
                (rows, values.map(|v| Values::Integers(v, dtype)))
            }
            PolarsType::Int64 => {
                let cells = physical.i64().map_err(Failure::internal)?;
                let (rows, values) = integers(cells.iter(), limit);
                (rows, values.map(|v| Values::Integers(v, dtype)))
            }
            other => return Err(Failure::internal(format!("column `{}` has the type {other}", series.name()))),
        };
        Ok(values.map(|values| Self { values, rows }))
    }

    pub fn len(&self) -> usize {
        match &self.values {
            Values::Texts(v) => v.len(),
            Values::Floats(v) => v.len(),
            Values::Integers(v, _) => v.len(),
        }
    }

    /// The values' numbers in the order of the column: text by bytes, everything else by value.
    pub fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        match &self.values {
            Values::Texts(v) => order.sort_by(|a, b| v[*a as usize].cmp(&v[*b as usize])),
            Values::Floats(v) => order.sort_by(|a, b| v[*a as usize].total_cmp(&v[*b as usize])),
            Values::Integers(v, _) => order.sort_by_key(|n| v[*n as usize]),
        }
        order
    }

    /// The values as classes of a label; floats are none.
    pub fn classes(&self) -> Vec<ClassValue> {
        match &self.values {
            Values::Texts(texts) => texts.iter().cloned().map(ClassValue::String).collect(),
            Values::Integers(values, PolarsType::Boolean) => {
                values.iter().map(|b| ClassValue::Boolean(*b != 0)).collect()
            }
            Values::Integers(values, _) => values.iter().copied().map(ClassValue::Int64).collect(),
            Values::Floats(_) => Vec::new(),
        }
    }

    /// The values as text. Where the column was trained with another type that a value also fits, its text is that type's:
    /// 3 is `3.0` among floats, and 3.0 is `3` among integers.
    pub fn category_texts(self, trained: Option<DataType>) -> Result<Vec<String>, Failure> {
        let integer = |n: i64| if trained == Some(DataType::Float64) { float_text(n as f64) } else { n.to_string() };
        Ok(match self.values {
            Values::Texts(texts) => texts,
            Values::Floats(values) => {
                let float = |x: f64| {
                    let whole = trained == Some(DataType::Int64) && x == x.trunc() && x.abs() < 9.0e15;
                    if whole { (x as i64).to_string() } else { float_text(x) }
                };
                values.into_iter().map(float).collect()
            }
            Values::Integers(values, dtype) => match our_type(&dtype) {
                Some(DataType::Boolean) => {
                    values.into_iter().map(|b| (if b == 0 { "false" } else { "true" }).to_owned()).collect()
                }
                Some(DataType::Int64) => values.into_iter().map(integer).collect(),
                // Dates and times: the text that exports write, from the same code.
                Some(found) => {
                    let failed = Failure::internal;
                    let physical = Series::new("category".into(), values);
                    let mut column = of_physical(&physical, found).map_err(failed)?.into_column();
                    if let (DataType::Date, Some(trained @ DataType::Datetime(_))) = (found, trained) {
                        column = widen(&column, trained)?;
                    }
                    let texts = texts_of(&column).map_err(failed)?;
                    let texts = texts.str().map_err(failed)?;
                    texts.iter().map(|t| t.unwrap_or_default().to_owned()).collect()
                }
                None => return Err(Failure::internal(format!("a category of type {dtype}"))),
            },
        })
    }
}

fn integers(cells: impl Iterator<Item = Option<i64>>, limit: usize) -> (Vec<u32>, Option<Vec<i64>>) {
    Numbering::of(cells.map(|c| c.map(|n| (n, n))), limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::df;

    fn texts(frame: &polars::prelude::DataFrame, trained: Option<DataType>) -> (Vec<u32>, Vec<String>) {
        let distinct = Distinct::of(&frame.columns()[0], 100).unwrap().unwrap();
        let (rows, order) = (distinct.rows.clone(), distinct.order());
        let texts = distinct.category_texts(trained).unwrap();
        (rows, order.into_iter().map(|n| texts[n as usize].clone()).collect())
    }

    #[test]
    fn values_of_every_type_have_text_and_order() {
        let ints = df!("x" => [Some(10i64), None, Some(9), Some(10)]).unwrap();
        assert_eq!(texts(&ints, None), (vec![0, MISSING, 1, 0], vec!["9".into(), "10".into()]));
        assert_eq!(texts(&ints, Some(DataType::Float64)).1, ["9.0", "10.0"]);
        let floats = df!("x" => [0.5, f64::NAN, -0.0, 0.0, -2.0]).unwrap();
        assert_eq!(texts(&floats, None), (vec![0, MISSING, 1, 1, 2], vec!["-2.0".into(), "0.0".into(), "0.5".into()]));
        assert_eq!(texts(&floats, Some(DataType::Int64)).1, ["-2", "0", "0.5"]);
        let flags = df!("x" => [true, false]).unwrap();
        assert_eq!(texts(&flags, None).1, ["false", "true"]);
        let words = df!("x" => ["b", "é", "a"]).unwrap();
        assert_eq!(texts(&words, None).1, ["a", "b", "é"]);
        let days = Series::new("x".into(), [19_000i32, 0]).cast(&PolarsType::Date).unwrap().into_column();
        let days = polars::prelude::DataFrame::new(2, vec![days]).unwrap();
        assert_eq!(texts(&days, None).1, ["1970-01-01", "2022-01-08"]);
        let nothing = df!("x" => [None::<&str>, None]).unwrap();
        assert_eq!(texts(&nothing, None), (vec![MISSING; 2], vec![]));
    }

    #[test]
    fn too_many_values_are_told() {
        let ints = df!("x" => [1i64, 2, 1, 3]).unwrap();
        assert!(Distinct::of(&ints.columns()[0], 2).unwrap().is_none());
        assert_eq!(Distinct::of(&ints.columns()[0], 3).unwrap().unwrap().len(), 3);
    }
}
