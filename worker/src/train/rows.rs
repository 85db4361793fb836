//! The rows of a shard that training uses: labels, weights, and the names of rows in messages.

use std::borrow::Cow;

use hashbrown::HashMap;
use polars::prelude::{AnyValue, BooleanChunked, Column, DataFrame, DataType as PolarsType, NewChunkedArray};
use shardmill_common::failure::Failure;
use shardmill_common::model::ClassValue;
use shardmill_common::schema::DataType;

use super::category::Distinct;
use super::numbers::{Numbers, gather};
use crate::frame::{fit, our_type, value_text};

/// The names without repetition, in order: a reader refuses to read a column twice.
pub fn each_once(names: Vec<String>) -> Vec<String> {
    let mut seen = hashbrown::HashSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

/// A column of a frame.
pub fn column<'a>(frame: &'a DataFrame, name: &str) -> Result<&'a Column, Failure> {
    frame.column(name).map_err(|_| {
        let names: Vec<&str> = frame.columns().iter().map(|c| c.name().as_str()).collect();
        Failure::bad_input(format!("there is no column `{name}`; the columns are {}", names.join(", ")))
    })
}

fn type_name(column: &Column) -> String {
    our_type(column.dtype()).map_or_else(|| column.dtype().to_string(), |t| t.to_string())
}

/// A column that has to be of numbers; `role` says what for.
pub fn numbers(frame: &DataFrame, name: &str, role: &str) -> Result<Numbers, Failure> {
    let column = column(frame, name)?;
    Numbers::of(column)?.ok_or_else(|| {
        Failure::bad_input(format!(
            "{role} `{name}` has the type {}; it must be int64, decimal, float64 or boolean: cast it with a cleaning rule",
            type_name(column)
        ))
    })
}

/// Marks the rows without a value: null, or NaN in a float column.
pub fn mark_missing(column: &Column, missing: &mut [bool]) -> Result<(), Failure> {
    if matches!(column.dtype(), PolarsType::Float64)
        && let Some(numbers) = Numbers::of(column)?
    {
        missing.iter_mut().zip(numbers.values()).for_each(|(m, x)| *m |= x.is_nan());
    } else if column.null_count() > 0 {
        let nulls = column.is_null();
        missing.iter_mut().zip(nulls.iter()).for_each(|(m, null)| *m |= null == Some(true));
    }
    Ok(())
}

/// The frame without these rows, and which rows it still has (`None`: all).
pub fn without(frame: DataFrame, left_out: &[bool]) -> Result<(DataFrame, Option<Vec<u32>>), Failure> {
    if !left_out.contains(&true) {
        return Ok((frame, None));
    }
    let keep: Vec<bool> = left_out.iter().map(|out| !out).collect();
    let rows = keep.iter().enumerate().filter(|(_, keep)| **keep).map(|(row, _)| row as u32).collect();
    let mask = BooleanChunked::from_slice("keep".into(), &keep);
    Ok((frame.filter(&mask).map_err(Failure::internal)?, Some(rows)))
}

/// The row of the shard behind a row of what `without` left.
pub fn original(rows: Option<&[u32]>, row: usize) -> u64 {
    rows.and_then(|rows| rows.get(row)).map_or(row as u64, |row| u64::from(*row))
}

/// A column of labels in a type that classes have: floats and decimals are whole numbers, or no classes.
pub fn as_classes(column: &Column) -> Result<Cow<'_, Column>, Failure> {
    let refuse = |what: String| {
        Failure::bad_input(format!(
            "label `{}` {what}; classes are boolean, whole numbers or string: cast it with a cleaning rule, or train `linear`",
            column.name()
        ))
    };
    match column.dtype() {
        PolarsType::Boolean | PolarsType::Int64 | PolarsType::String => Ok(Cow::Borrowed(column)),
        _ if column.null_count() == column.len() => {
            Ok(Cow::Owned(Column::full_null(column.name().clone(), column.len(), &PolarsType::Int64)))
        }
        PolarsType::Float64 | PolarsType::Decimal(..) => {
            let fitted = fit(column, DataType::Int64, false)?;
            let fitted = fitted.ok_or_else(|| Failure::internal("numbers that are none"))?;
            // A NaN is no label, as in every column.
            let is_nan = |row: usize| matches!(column.get(row), Ok(AnyValue::Float64(x)) if x.is_nan());
            match fitted.misfits.iter().find(|row| !is_nan(**row)) {
                Some(row) => Err(refuse(format!("has the value {}", value_text(column, *row)))),
                None => Ok(Cow::Owned(fitted.column)),
            }
        }
        _ => Err(refuse(format!("has the type {}", type_name(column)))),
    }
}

/// Distinct labels, and of each row the number of its own.
pub type Labels = (Vec<ClassValue>, Vec<u32>);

/// A label of classes: its distinct values in the order they came, and of each row which one it has (`MISSING`, beyond them all: none).
/// `None`: there are more than `limit`.
pub fn classes(column: &Column, limit: usize) -> Result<Option<Labels>, Failure> {
    let labels = as_classes(column)?;
    let Some(distinct) = Distinct::of(labels.as_ref(), limit)? else { return Ok(None) };
    Ok(Some((distinct.classes(), distinct.rows)))
}

/// The number of each row's class, of the rows that are kept (`None`: all). Each has a label; `fault` takes their places among
/// those that are kept.
pub fn class_numbers(
    column: &Column,
    known: &[ClassValue],
    kept: Option<&[u32]>,
    fault: impl Fn(usize, String) -> Failure,
) -> Result<Vec<u32>, Failure> {
    let Some((found, rows)) = classes(column, usize::MAX)? else {
        return Err(Failure::internal(format!("label `{}` has too many values", column.name())));
    };
    let mut rows = match kept {
        None => rows,
        Some(kept) => gather(&rows, kept),
    };
    let numbers: HashMap<&ClassValue, u32> = known.iter().enumerate().map(|(n, class)| (class, n as u32)).collect();
    let numbers: Vec<Option<u32>> = found.iter().map(|class| numbers.get(class).copied()).collect();
    for (row, number) in rows.iter_mut().enumerate() {
        *number = match numbers.get(*number as usize) {
            Some(Some(class)) => *class,
            Some(None) => {
                let value = found.get(*number as usize).map(ToString::to_string).unwrap_or_default();
                let known: Vec<String> = known.iter().map(ToString::to_string).collect();
                let known = known.join(", ");
                return Err(fault(row, format!("label `{}` is `{value}`; the classes are {known}", column.name())));
            }
            None => return Err(fault(row, format!("label `{}` has no value", column.name()))),
        };
    }
    Ok(rows)
}

/// Checks the weights of rows that are used.
pub fn check_weights(name: &str, weights: &[f64], fault: impl Fn(usize, String) -> Failure) -> Result<(), Failure> {
    match weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
        None => Ok(()),
        Some(row) => {
            let value = weights.get(row).copied().filter(|w| !w.is_nan());
            let value = value.map_or_else(|| "missing".to_owned(), |w| w.to_string());
            Err(fault(row, format!("weight `{name}` is {value}; weights are finite and not negative")))
        }
    }
}

/// Checks that numbers are finite, except for those that are missing.
pub fn check_finite(
    role: &str,
    name: &str,
    values: &[f64],
    fault: impl Fn(usize, String) -> Failure,
) -> Result<(), Failure> {
    match values.iter().position(|x| x.is_infinite()) {
        None => Ok(()),
        Some(row) => {
            let value = values.get(row).copied().unwrap_or_default();
            Err(fault(row, format!("{role} `{name}` is {value}: clean it with a rule, or leave the column out")))
        }
    }
}
