//! Merged rows, written in pieces: however often rows of a shard meet partners, only a bounded part of the result is in memory.

use polars::prelude::{Column, DataFrame, IdxCa, NamedFrom, Series};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::compare::MergedColumn;
use shardmill_common::task::TaskOutput;

use super::deliver::delivered_name;
use super::{Context, ShardSink};
use crate::frame::{polars_type, widen};

/// The most bytes that a piece is to take.
const PIECE_BYTES: u64 = 32 << 20;

/// In the place of a partner's row: there is none.
pub const NONE: u32 = u32::MAX;

/// Gathers merged rows of the driving side's shards.
pub struct MergedRows<'a> {
    columns: &'a [MergedColumn],
    driver: &'a DataFrame,
    /// What the column `_merge` says of rows without a partner, where it is wanted.
    indicator: Option<&'a str>,
    sink: ShardSink<'a>,
    piece_bytes: u64,
    piece_rows: usize,
    rows: Vec<u32>,
    places: Vec<u32>,
    /// Rows with a partner and without, so far.
    pub both: u64,
    pub driver_only: u64,
}

impl<'a> MergedRows<'a> {
    pub fn new(
        context: &'a Context,
        columns: &'a [MergedColumn],
        driver: &'a DataFrame,
        indicator: Option<&'a str>,
    ) -> Self {
        Self {
            columns,
            driver,
            indicator,
            sink: ShardSink::new(context),
            piece_bytes: PIECE_BYTES.min((context.budget / 8).max(1 << 20)),
            piece_rows: 1,
            rows: Vec::new(),
            places: Vec::new(),
            both: 0,
            driver_only: 0,
        }
    }

    /// Says how many bytes a row of the other side takes, before any of them is pushed.
    pub fn set_other_size(&mut self, bytes: usize, rows: usize) {
        let own = self.driver.estimated_size().div_ceil(self.driver.height().max(1));
        let a_row = (own + bytes.div_ceil(rows.max(1)) + 16) as u64;
        self.piece_rows = (self.piece_bytes / a_row).clamp(1, 1 << 20) as usize;
    }

    /// Adds a row as often as it has partners, which lie at these places of `other`; [`NONE`] is no partner.
    pub fn push(
        &mut self,
        row: u32,
        places: impl IntoIterator<Item = u32>,
        other: Option<&DataFrame>,
    ) -> Result<(), Failure> {
        for place in places {
            self.rows.push(row);
            self.places.push(place);
            if place == NONE {
                self.driver_only += 1;
            } else {
                self.both += 1;
            }
            if self.rows.len() >= self.piece_rows {
                self.flush(other)?;
            }
        }
        Ok(())
    }

    /// Hands on what was pushed. To be called before `other` changes.
    pub fn flush(&mut self, other: Option<&DataFrame>) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let (rows, places) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.places));
        let height = rows.len();
        // Rows that follow one another are the common case: nothing has to be gathered.
        let first = rows[0];
        let run = rows.iter().zip(first..).all(|(row, n)| *row == n);
        let rows = IdxCa::from_vec("i".into(), rows);
        let both: Vec<bool> = match self.indicator {
            Some(_) => places.iter().map(|place| *place != NONE).collect(),
            None => Vec::new(),
        };
        let places = if places.contains(&NONE) {
            IdxCa::new("i".into(), places.iter().map(|p| Some(*p).filter(|p| *p != NONE)).collect::<Vec<_>>())
        } else {
            IdxCa::from_vec("i".into(), places)
        };
        let mut columns = Vec::with_capacity(self.columns.len() + 1);
        for merged in self.columns {
            columns.push(match (&merged.driver, &merged.other, other) {
                (Some(name), _, _) => {
                    let column = self.driver.column(name).map_err(Failure::internal)?;
                    let taken = if run { column.slice(i64::from(first), height) } else { take(column, &rows)? };
                    named(taken, merged)?
                }
                (None, Some(name), Some(other)) => {
                    let column = other.column(&delivered_name(name)).map_err(Failure::internal)?;
                    named(take(column, &places)?, merged)?
                }
                _ => null(merged, height),
            });
        }
        if let Some(only) = self.indicator {
            let words: Vec<&str> = both.iter().map(|b| if *b { "both" } else { only }).collect();
            columns.push(Series::new("_merge".into(), words).into());
        }
        self.sink.push(DataFrame::new(height, columns).map_err(Failure::internal)?)
    }

    /// Writes what is left.
    pub fn finish(mut self, other: Option<&DataFrame>, output: &mut TaskOutput) -> Result<(), Failure> {
        self.flush(other)?;
        self.sink.finish(output)
    }
}

pub fn take(column: &Column, rows: &IdxCa) -> Result<Column, Failure> {
    column.take(rows).map_err(Failure::internal)
}

/// A column with the name and type it has in the result.
pub fn named(column: Column, merged: &MergedColumn) -> Result<Column, Failure> {
    let column = if *column.dtype() == polars_type(merged.dtype) { column } else { widen(&column, merged.dtype)? };
    Ok(column.with_name(merged.name.as_str().into()))
}

pub fn null(merged: &MergedColumn, height: usize) -> Column {
    Column::full_null(merged.name.as_str().into(), height, &polars_type(merged.dtype))
}
