//! Raw columns to the numbers a model computes with.

use std::borrow::Cow;

use hashbrown::HashMap;
use polars::prelude::{Column, DataFrame};
use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::Failure;
use shardmill_common::model::{Encoder, Encoding, Feature, Filling, Scaling, Unknown};
use shardmill_common::rules::Scalar;
use shardmill_common::schema::DataType;
use shardmill_serving::model::{Codes, Matrix, NO_CODE, Reason, Unusable};

use shardmill_common::text::float_text;

use crate::frame::our_type;
use crate::train::{Distinct, MISSING, Numbers, gather, has_special};

/// Rows that are written at a time: they fit a near cache while every column adds its numbers to them.
const BLOCK: usize = 128;

#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    pub matrix: Matrix,
    /// The frame's rows that the matrix has, in order; `None`: all.
    pub kept: Option<Vec<u32>>,
    /// The others, in order.
    pub unusable: Vec<Unusable>,
    /// `unknown_categories/COLUMN`.
    pub counters: Counters,
}

struct Dense {
    place: u32,
    numbers: Numbers,
    scaling: Option<Scaling>,
}

/// Columns of all rows, before unusable rows are left out.
#[derive(Default)]
struct Columns {
    dense: Vec<Dense>,
    codes: Vec<Codes>,
    /// Row, feature and reason.
    blamed: Vec<(u32, u32, Reason)>,
    counters: Counters,
}

impl Columns {
    fn numeric(
        &mut self,
        column: &Column,
        n: u32,
        place: u32,
        feature: &Feature,
        scaling: Option<Scaling>,
    ) -> Result<(), Failure> {
        let mut numbers = Numbers::of(column)?.ok_or_else(|| {
            let found = our_type(column.dtype()).map_or_else(|| column.dtype().to_string(), |t| t.to_string());
            let name = &feature.column;
            Failure::bad_input(format!(
                "column `{name}` has the type {found}; the model was trained on {}",
                feature.dtype
            ))
        })?;
        let fill = match &feature.fill {
            Some(Filling::Number(x)) => Some(*x),
            Some(Filling::Text(text)) => text.parse().ok(),
            None => None,
        };
        let mut missing = feature.indicator.then(|| vec![0.0; numbers.values().len()]);
        if has_special(numbers.values()) {
            let mut values = numbers.values().to_vec();
            for (row, x) in values.iter_mut().enumerate().filter(|(_, x)| !x.is_finite()) {
                if x.is_infinite() {
                    self.blamed.push((row as u32, n, Reason::Infinite));
                    continue;
                }
                match fill {
                    Some(fill) => *x = fill,
                    None => self.blamed.push((row as u32, n, Reason::Missing)),
                }
                if let Some(slot) = missing.as_mut().and_then(|m| m.get_mut(row)) {
                    *slot = 1.0;
                }
            }
            numbers = Numbers::Owned(values);
        }
        self.dense.push(Dense { place, numbers, scaling });
        if let Some(missing) = missing {
            self.dense.push(Dense { place: place + 1, numbers: Numbers::Owned(missing), scaling: None });
        }
        Ok(())
    }

    fn one_hot(
        &mut self,
        column: &Column,
        n: u32,
        place: u32,
        feature: &Feature,
        categories: &[String],
        unknown: Unknown,
    ) -> Result<(), Failure> {
        let known: HashMap<Cow<'_, str>, u32> =
            categories.iter().zip(0u32..).map(|(c, n)| (as_written(c, feature.dtype), n)).collect();
        let fill = match &feature.fill {
            Some(Filling::Text(text)) => Some(text.clone()),
            Some(Filling::Number(x)) if feature.dtype == DataType::Int64 => Some((*x as i64).to_string()),
            Some(Filling::Number(x)) => Some(float_text(*x)),
            None => None,
        };
        let distinct = Distinct::of(column, usize::MAX)?
            .ok_or_else(|| Failure::internal(format!("column `{}` has too many values", feature.column)))?;
        let mut codes = distinct.rows.clone();
        let texts = distinct.category_texts(Some(feature.dtype))?;
        let of_text: Vec<u32> = texts.iter().map(|t| known.get(t.as_str()).copied().unwrap_or(NO_CODE)).collect();
        let filling = fill.as_deref().and_then(|t| known.get(t).copied());
        let mut missing = feature.indicator.then(|| vec![0.0; codes.len()]);
        let mut ignored = 0;
        for (row, code) in codes.iter_mut().enumerate() {
            let text = if *code == MISSING {
                if let Some(slot) = missing.as_mut().and_then(|m| m.get_mut(row)) {
                    *slot = 1.0;
                }
                *code = filling.unwrap_or(NO_CODE);
                fill.as_ref()
            } else {
                let text = texts.get(*code as usize);
                *code = of_text.get(*code as usize).copied().unwrap_or(NO_CODE);
                text
            };
            if *code != NO_CODE {
                continue;
            }
            match (text, unknown) {
                (None, _) => self.blamed.push((row as u32, n, Reason::Missing)),
                (Some(_), Unknown::Ignore) => ignored += 1,
                (Some(text), Unknown::Refuse) => self.blamed.push((row as u32, n, Reason::Unknown(text.clone()))),
            }
        }
        if ignored > 0 {
            self.counters.add(Counter::UnknownCategories(feature.column.clone()), ignored);
        }
        let width = categories.len() as u32;
        self.codes.push(Codes { first: place, categories: width, codes });
        if let Some(missing) = missing {
            self.dense.push(Dense { place: place + width, numbers: Numbers::Owned(missing), scaling: None });
        }
        Ok(())
    }
}

/// A point in time as columns write it, however the model has it.
fn as_written(category: &str, dtype: DataType) -> Cow<'_, str> {
    if !dtype.is_calendar() {
        return category.into();
    }
    Scalar::Text(category.to_owned()).fit(dtype).map_or(category.into(), |moment| moment.text().into())
}

/// Encodes a frame that has the encoder's columns, whatever their order.
pub fn encode(frame: &DataFrame, encoder: &Encoder) -> Result<Encoded, Failure> {
    let mut columns = Columns::default();
    let mut place = 0;
    for (n, feature) in encoder.features.iter().enumerate() {
        let column = frame.column(&feature.column).map_err(|_| {
            Failure::bad_input(format!("there is no column `{}`, which the model needs", feature.column))
        })?;
        match &feature.encoding {
            Encoding::Numeric { scaling } => columns.numeric(column, n as u32, place, feature, *scaling)?,
            Encoding::OneHot { categories, unknown } => {
                columns.one_hot(column, n as u32, place, feature, categories, *unknown)?;
            }
        }
        place += feature.width() as u32;
    }
    let Columns { dense, mut codes, mut blamed, counters } = columns;
    blamed.sort_by_key(|(row, feature, reason)| (*row, *reason != Reason::Missing, *feature));
    blamed.dedup_by_key(|(row, _, _)| *row);
    let height = frame.height();
    let kept = (!blamed.is_empty()).then(|| {
        let mut kept = Vec::with_capacity(height - blamed.len());
        let mut dropped = blamed.iter().map(|(row, _, _)| *row).peekable();
        kept.extend((0..height as u32).filter(|row| dropped.next_if_eq(row).is_none()));
        kept
    });
    if let Some(kept) = &kept {
        for column in &mut codes {
            column.codes = gather(&column.codes, kept);
        }
    }
    let rows = kept.as_ref().map_or(height, Vec::len);
    let values = row_by_row(&dense, kept.as_deref(), rows);
    let dense = dense.iter().map(|d| d.place).collect();
    let name = |feature: u32| encoder.features.get(feature as usize).map(|f| f.column.clone()).unwrap_or_default();
    let unusable =
        blamed.into_iter().map(|(row, feature, reason)| Unusable { row, column: name(feature), reason }).collect();
    Ok(Encoded { matrix: Matrix { rows, width: place as usize, dense, values, codes }, kept, unusable, counters })
}

fn row_by_row(columns: &[Dense], kept: Option<&[u32]>, rows: usize) -> Vec<f64> {
    let width = columns.len();
    let mut values = vec![0.0; rows * width];
    let mut gathered: Vec<f64> = Vec::with_capacity(BLOCK);
    for (n, block) in values.chunks_mut((BLOCK * width).max(1)).enumerate() {
        let at = n * BLOCK;
        let count = block.len() / width;
        for (j, column) in columns.iter().enumerate() {
            let all = column.numbers.values();
            let source = match kept {
                None => all.get(at..at + count).unwrap_or_default(),
                Some(kept) => {
                    gathered.clear();
                    let rows = kept.get(at..at + count).unwrap_or_default();
                    gathered.extend(rows.iter().filter_map(|row| all.get(*row as usize)));
                    &gathered
                }
            };
            let slots = block.iter_mut().skip(j).step_by(width).zip(source);
            match column.scaling {
                None => slots.for_each(|(slot, x)| *slot = *x),
                Some(Scaling { mean, scale }) => slots.for_each(|(slot, x)| *slot = (x - mean) / scale),
            }
        }
    }
    values
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
