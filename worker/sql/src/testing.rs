//! Small tables for tests.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;

use crate::{Limits, SqlError};

/// What makes a column of a test.
pub trait IntoColumn {
    fn column(self) -> ArrayRef;
}

macro_rules! columns {
    ($($item:ty => $array:ident),*) => {
        $(
            impl IntoColumn for Vec<$item> {
                fn column(self) -> ArrayRef {
                    Arc::new(self.into_iter().map(Some).collect::<$array>())
                }
            }

            impl IntoColumn for Vec<Option<$item>> {
                fn column(self) -> ArrayRef {
                    Arc::new(self.into_iter().collect::<$array>())
                }
            }

            impl<const N: usize> IntoColumn for [$item; N] {
                fn column(self) -> ArrayRef {
                    self.to_vec().column()
                }
            }

            impl<const N: usize> IntoColumn for [Option<$item>; N] {
                fn column(self) -> ArrayRef {
                    self.to_vec().column()
                }
            }
        )*
    };
}

columns!(&str => StringViewArray, String => StringViewArray, i64 => Int64Array, f64 => Float64Array, bool => BooleanArray);

pub fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

/// A table of named columns.
macro_rules! df {
    ($($name:literal => $values:expr),* $(,)?) => {
        $crate::testing::batch([$(($name, $crate::testing::IntoColumn::column($values))),*])
    };
}

pub(crate) use df;

pub fn texts(rows: &RecordBatch, column: &str) -> Vec<Option<String>> {
    rows.column_by_name(column).unwrap().as_string_view().iter().map(|t| t.map(str::to_owned)).collect()
}

pub fn ints(rows: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    rows.column_by_name(column).unwrap().as_primitive::<Int64Type>().iter().collect()
}

/// What a statement puts out, in one piece.
pub fn run(statement: &str, tables: &[(&str, RecordBatch)], memory: u64) -> Result<RecordBatch, SqlError> {
    whole(|out| crate::run(statement, tables, Limits { memory, spills: false }, out))
}

/// What is put out, in one piece.
pub fn whole(work: impl FnOnce(&mut crate::Out<'_>) -> Result<(), SqlError>) -> Result<RecordBatch, SqlError> {
    let mut made = Vec::new();
    work(&mut |batch| {
        made.push(batch);
        Ok(())
    })?;
    Ok(concat_batches(&made[0].schema(), &made).unwrap())
}
