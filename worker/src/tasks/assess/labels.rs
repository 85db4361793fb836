//! The labels of a shard, as the model knows them.

use std::borrow::Cow;

use hashbrown::HashMap;
use polars::prelude::{BooleanChunked, DataFrame, DataType as PolarsType, Float64Chunked, Int64Chunked, StringChunked};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::evaluate::AssessTask;
use shardmill_common::model::ClassValue;
use shardmill_common::model::Target;
use shardmill_common::schema::DataType;

use crate::frame::fit;
use crate::train::rows::as_classes;

enum Values {
    None,
    Numbers(Float64Chunked),
    Booleans(BooleanChunked),
    Integers(Int64Chunked),
    Strings(StringChunked),
}

pub struct Labels {
    values: Values,
    known: HashMap<ClassValue, u32>,
}

impl Labels {
    pub fn of(frame: &DataFrame, task: &AssessTask) -> Result<Self, Failure> {
        let Some(name) = &task.label else { return Ok(Self { values: Values::None, known: HashMap::new() }) };
        let column = frame.column(name).map_err(Failure::internal)?;
        let column = match &task.model.target {
            Target::Class { .. } => as_classes(column)?,
            Target::Number { .. } | Target::Cluster { .. } => Cow::Borrowed(column),
        };
        let values = match (&task.model.target, column.dtype()) {
            (Target::Number { .. }, _) => {
                let numbers = match fit(&column, DataType::Float64, true)? {
                    Some(fitted) => fitted.column,
                    None => column.cast(&PolarsType::Float64).map_err(Failure::internal)?,
                };
                Values::Numbers(numbers.f64().map_err(Failure::internal)?.clone())
            }
            (_, PolarsType::Boolean) => Values::Booleans(column.bool().map_err(Failure::internal)?.clone()),
            (_, PolarsType::Int64) => Values::Integers(column.i64().map_err(Failure::internal)?.clone()),
            (_, PolarsType::String) => Values::Strings(column.str().map_err(Failure::internal)?.clone()),
            (_, other) => {
                return Err(Failure::bad_input(format!("the label `{name}` is {other}, which cannot be a class")));
            }
        };
        let known = task.model.target.classes().iter().cloned().zip(0u32..).collect();
        Ok(Self { values, known })
    }

    /// The class of a row; `None` where it has none.
    pub fn class(&self, row: usize, task: &AssessTask) -> Result<Option<u32>, Failure> {
        let value = match &self.values {
            Values::Booleans(values) => values.get(row).map(ClassValue::Boolean),
            Values::Integers(values) => values.get(row).map(ClassValue::Int64),
            Values::Strings(values) => values.get(row).map(|s| ClassValue::String(s.to_owned())),
            Values::Numbers(_) | Values::None => return Err(Failure::internal("the labels are no classes")),
        };
        let Some(value) = value else { return Ok(None) };
        match self.known.get(&value) {
            Some(class) => Ok(Some(*class)),
            None => Err(bad_label(
                task,
                row,
                &format!("is `{value}`, which is none of the model's classes: {}", shown(task)),
            )),
        }
    }

    /// The number of a row; `None` where it has none.
    pub fn number(&self, row: usize, task: &AssessTask) -> Result<Option<f64>, Failure> {
        let Values::Numbers(values) = &self.values else { return Err(Failure::internal("the labels are no numbers")) };
        match values.get(row).filter(|x| !x.is_nan()) {
            Some(x) if x.is_infinite() => Err(bad_label(task, row, "is infinite")),
            other => Ok(other),
        }
    }
}

fn bad_label(task: &AssessTask, row: usize, what: &str) -> Failure {
    let label = task.label.as_deref().unwrap_or_default();
    let row = task.first_row + row as u64 + 1;
    Failure::bad_input(format!("{}, row {row}: the label `{label}` {what}", task.source_name))
}

/// The classes for a message: all of some, the first of many.
fn shown(task: &AssessTask) -> String {
    const SHOWN: usize = 20;
    let classes = task.model.target.classes();
    let mut text = classes.iter().take(SHOWN).map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ");
    if classes.len() > SHOWN {
        text.push_str(&format!(" and {} more", classes.len() - SHOWN));
    }
    text
}
