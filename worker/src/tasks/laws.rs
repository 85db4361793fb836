//! What must hold of combiners and reduces whatever the rows, tried on some of them.

use polars::prelude::{AnyValue, BooleanChunked, DataFrame, NewChunkedArray};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::{HashColumn, HashPlan};
use shardmill_common::kinds::sort::{SortKey, SortOrder};
use shardmill_common::schema::{DataType, Schema};

use super::Context;
use super::raw::row_as_json;
use crate::frame::our_type;
use crate::hash::{hash_frame, partition_of};
use crate::shard::conform;
use crate::spill::{concat, sort_frame};
use crate::sql::{INPUT, run};

/// Numbers with a fraction are the same up to this share of them: sums in another order differ in their last bits.
const CLOSE: f64 = 1e-9;

/// A law that does not hold, with a row of each side that tells.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("combining again what was combined changes it: {wanted} becomes {got}; {COMBINER}")]
    Again { wanted: String, got: String },
    #[error("combining in two parts gives something else than all at once: {got} instead of {wanted}; {COMBINER}")]
    InParts { wanted: String, got: String },
    #[error(
        "the reduce looks beyond one key: with half of the keys it gives {alone}, with all of them {together}. A reduce sees some keys \
         at a time, so group and join by the key columns ({}), and use PARTITION BY them in windows; for one group of all rows give \
         --key ''",
        .keys.join(", ")
    )]
    BeyondKey { alone: String, together: String, keys: Vec<String> },
}

const COMBINER: &str = "a combiner must be able to run any number of times: a COUNT(*) must become the SUM of a column in which the \
                        map puts a 1 for every row, a mean a sum and a count";

/// Whether a combiner may run over any rows, and over its own results: whatever it is given in whatever pieces, combining
/// the pieces' results must be as combining all at once. `rows` are of the map. The error shows a row that tells.
pub fn combiner_holds(
    context: &Context,
    statement: &str,
    schema: &Schema,
    rows: &DataFrame,
) -> Result<Result<(), Broken>, Failure> {
    let rows = conform(rows.clone(), schema, None)?;
    let combine = |parts: [&DataFrame; 2]| -> Result<Option<DataFrame>, Failure> {
        let Some(frame) = concat(parts.into_iter().cloned())? else { return Ok(None) };
        // A statement that cannot digest a row says so where it meets it.
        run(context, statement, &[(INPUT, &frame)]).ok().map(|made| conform(made, schema, None)).transpose()
    };
    let half = rows.height() / 2;
    let nothing = rows.slice(0, 0);
    let halves = (rows.slice(0, half), rows.slice(half as i64, rows.height() - half));
    for (a, b) in [&halves, &(rows.clone(), rows.clone())] {
        let (Some(whole), Some(first), Some(second)) =
            (combine([a, b])?, combine([a, &nothing])?, combine([b, &nothing])?)
        else {
            return Ok(Ok(()));
        };
        let (Some(parts), Some(twice)) = (combine([&first, &second])?, combine([&whole, &nothing])?) else {
            return Ok(Ok(()));
        };
        if let Some((wanted, got)) = difference(&whole, &twice)? {
            return Ok(Err(Broken::Again { wanted, got }));
        }
        if let Some((wanted, got)) = difference(&whole, &parts)? {
            return Ok(Err(Broken::InParts { wanted, got }));
        }
    }
    Ok(Ok(()))
}

/// Whether a reduce looks at every key by itself: what it gives for some keys must not depend on the rows of others, since
/// those may be in another partition.
pub fn reduce_holds(
    context: &Context,
    statement: &str,
    sides: &[(&str, &DataFrame)],
    keys: &[HashColumn],
) -> Result<Result<(), Broken>, Failure> {
    let part = |wanted: usize| -> Result<Option<DataFrame>, Failure> {
        let parts = sides.iter().map(|(_, rows)| half(rows, keys, wanted)).collect::<Result<Vec<_>, _>>()?;
        if parts.iter().all(|p| p.height() == 0) {
            return Ok(None);
        }
        let tables: Vec<(&str, &DataFrame)> = sides.iter().map(|(name, _)| *name).zip(&parts).collect();
        Ok(run(context, statement, &tables).ok())
    };
    let (Some(whole), Some(first), Some(second)) = (run(context, statement, sides).ok(), part(0)?, part(1)?) else {
        return Ok(Ok(()));
    };
    let Some(parts) = concat([first, second])? else { return Ok(Ok(())) };
    Ok(match difference(&parts, &whole)? {
        None => Ok(()),
        Some((alone, together)) => {
            Err(Broken::BeyondKey { alone, together, keys: keys.iter().map(|k| k.name.clone()).collect() })
        }
    })
}

/// The rows of one half of the keys.
fn half(rows: &DataFrame, keys: &[HashColumn], wanted: usize) -> Result<DataFrame, Failure> {
    let plan = HashPlan { columns: Some(keys.to_vec()), with_row_hash: false, partitions: 2 };
    let mask: Vec<bool> = hash_frame(rows, &plan)?.keys.into_iter().map(|h| partition_of(h, 2) == wanted).collect();
    rows.filter(&BooleanChunked::from_slice("half".into(), &mask)).map_err(Failure::internal)
}

/// A row of each where two frames, whose order says nothing, differ.
fn difference(a: &DataFrame, b: &DataFrame) -> Result<Option<(String, String)>, Failure> {
    let (a, b) = (in_order(a)?, in_order(b)?);
    let shown = |frame: &DataFrame, row: usize| {
        if row < frame.height() { row_as_json(frame, row) } else { "no such row".to_owned() }
    };
    for row in 0..a.height().max(b.height()) {
        let same = row < a.height()
            && row < b.height()
            && a.columns().iter().all(|column| {
                let other = b.column(column.name()).and_then(|c| c.get(row));
                matches!((column.get(row), other), (Ok(x), Ok(y)) if close(&x, &y))
            });
        if !same {
            return Ok(Some((shown(&a, row), shown(&b, row))));
        }
    }
    Ok(None)
}

fn close(x: &AnyValue<'_>, y: &AnyValue<'_>) -> bool {
    match (x, y) {
        (AnyValue::Null, AnyValue::Null) => true,
        (AnyValue::Float64(x), AnyValue::Float64(y)) => {
            x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= CLOSE * x.abs().max(y.abs())
        }
        _ => x == y,
    }
}

/// Rows by everything that is exact first.
fn in_order(frame: &DataFrame) -> Result<DataFrame, Failure> {
    let (floats, exact): (Vec<_>, Vec<_>) =
        frame.columns().iter().partition(|c| our_type(c.dtype()) == Some(DataType::Float64));
    let by =
        exact.into_iter().chain(floats).map(|c| SortKey { column: c.name().to_string(), descending: false }).collect();
    sort_frame(frame, &SortOrder { by, nulls_last: false })
}

#[cfg(test)]
#[path = "laws_tests.rs"]
mod tests;
