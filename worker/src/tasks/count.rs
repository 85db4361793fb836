//! Counts a shard's rows by the values of a column.

use std::borrow::Cow;

use hashbrown::HashMap;
use polars::prelude::{Column, DataFrame, DataType as PolarsType};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::split::{CountTask, Counts};
use shardmill_common::task::TaskOutput;

use super::Context;
use crate::frame::texts_of;

pub fn run(context: &Context, task: &CountTask) -> Result<TaskOutput, Failure> {
    let frame = context.open_columns(&task.input, &task.schema, Some(std::slice::from_ref(&task.column)))?;
    let counts = count(&*texts(&frame, &task.column)?, task.limit)?;
    TaskOutput::reporting::<CountTask>(&counts)
}

/// A column's values as text, the way exports write them: two columns of different types are never mixed up here.
pub fn texts<'a>(frame: &'a DataFrame, name: &str) -> Result<Cow<'a, Column>, Failure> {
    let column = frame.column(name).map_err(Failure::internal)?;
    Ok(match column.dtype() {
        PolarsType::String => Cow::Borrowed(column),
        _ => Cow::Owned(texts_of(column).map_err(Failure::internal)?),
    })
}

fn count(texts: &Column, limit: u64) -> Result<Counts, Failure> {
    let mut counts: HashMap<Option<&str>, u64> = HashMap::new();
    let mut too_many = false;
    for value in texts.str().map_err(Failure::internal)?.iter() {
        if let Some(n) = counts.get_mut(&value) {
            *n += 1;
        } else if counts.len() as u64 >= limit {
            too_many = true;
            break;
        } else {
            counts.insert(value, 1);
        }
    }
    let mut values: Vec<(Option<String>, u64)> =
        counts.into_iter().map(|(value, n)| (value.map(str::to_owned), n)).collect();
    values.sort_unstable();
    Ok(Counts { values, too_many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::{NamedFrom, Series};

    fn counted(column: Series, limit: u64) -> Counts {
        let frame = DataFrame::new(column.len(), vec![column.into()]).unwrap();
        count(&texts(&frame, "v").unwrap(), limit).unwrap()
    }

    #[test]
    fn values_of_any_type_are_counted_as_text() {
        let of = |values: &[(Option<&str>, u64)]| -> Vec<(Option<String>, u64)> {
            values.iter().map(|(v, n)| (v.map(str::to_owned), *n)).collect()
        };
        let strings = counted(Series::new("v".into(), [Some("b"), None, Some("a"), Some("b"), Some("")]), 10);
        assert_eq!(strings.values, of(&[(None, 1), (Some(""), 1), (Some("a"), 1), (Some("b"), 2)]));
        assert!(!strings.too_many);
        let booleans = counted(Series::new("v".into(), [Some(true), Some(false), None, Some(true)]), 10);
        assert_eq!(booleans.values, of(&[(None, 1), (Some("false"), 1), (Some("true"), 2)]));
        let integers = counted(Series::new("v".into(), [3i64, -1, 3]), 10);
        assert_eq!(integers.values, of(&[(Some("-1"), 1), (Some("3"), 2)]));
    }

    #[test]
    fn the_limit_is_on_different_values() {
        let values = Series::new("v".into(), [1i64, 2, 1, 2, 1]);
        assert!(!counted(values.clone(), 2).too_many);
        assert!(counted(values, 1).too_many);
    }
}
