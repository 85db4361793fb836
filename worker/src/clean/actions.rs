//! Rules whose effect is decided cell by cell or row by row: casts, checks and derived columns, applied to a shard on its way.

use polars::prelude::{BooleanChunked, ChunkCompareEq, Column, Series};
use shardmill_common::failure::Failure;
use shardmill_common::rules::{
    Cast, CastError, CastTo, CheckError, Rule, RuleError, RuleFault, RuleStatistics, Scalar, Statistic, ValueError,
};
use shardmill_common::schema::DataType;

use super::cast::cast_column;
use super::cells::{null_out, scalar_at};
use super::checks::Check;
use super::parse::Parser;
use super::sql;
use super::state::{State, internal};
use crate::frame::our_type;

pub fn column_type(state: &State<'_>, column: usize) -> Result<DataType, Failure> {
    let dtype = state.frame.columns()[column].dtype();
    our_type(dtype).ok_or_else(|| Failure::internal(format!("a column of type {dtype} among the rules")))
}

/// A value of the rule that the column cannot hold.
pub fn misfit(rule: &Rule, state: &State<'_>, column: usize, why: ValueError) -> RuleError {
    let column = state.shape.columns[column].name.clone();
    rule.error(RuleFault::Unsuited { column, why: why.into() })
}

/// Sets a column if cells of it changed.
pub fn set_if(state: &mut State<'_>, rule: usize, column: usize, series: Series, changed: u64) -> Result<(), Failure> {
    state.changed[rule] += changed;
    if changed > 0 { state.set(column, series) } else { Ok(()) }
}

/// What is known of a column.
pub fn statistic<'k>(state: &State<'_>, column: usize, known: Option<&'k RuleStatistics>) -> Option<&'k Statistic> {
    known.and_then(|k| k.get(&state.shape.columns[column].name))
}

pub fn apply_cast(
    state: &mut State<'_>,
    index: usize,
    rule: &Rule,
    cast: &Cast,
    targets: &[usize],
) -> Result<(), Failure> {
    let can_wait = cast.on_error == CastError::Null;
    if cast.on_error == CastError::Reject {
        // Rows are about to go: rules before must have counted them.
        for column in (0..state.shape.columns.len()).filter(|c| !targets.contains(c)) {
            state.flush(column)?;
        }
    }
    let mut wrong = Vec::new();
    for &column in targets {
        let errors = if state.shape.columns[column].dtype == Some(DataType::String) {
            let Some(parser) = Parser::compile(rule, cast).map_err(Failure::bad_input)? else { continue };
            state.push_cast(column, index, parser);
            if can_wait {
                continue;
            }
            let quote = |(row, text)| (row, format!("\"{text}\""));
            state.flush(column)?.into_iter().map(quote).collect()
        } else {
            state.flush(column)?;
            let from = column_type(state, column)?;
            let made =
                cast_column(&state.series(column), from, rule, cast).map_err(Failure::bad_input)?.map_err(internal)?;
            let refused = if can_wait { 0 } else { made.wrong.len() as u64 };
            state.changed[index] += made.nulled.saturating_sub(refused);
            state.reshaped |= from != cast.result();
            state.set(column, made.series)?;
            made.wrong
        };
        let name = &state.shape.columns[column].name;
        let complain = |value: &str| format!("column `{name}`: {value} cannot be read as {}", target_name(cast));
        if let (CastError::Fail, Some((row, value))) = (cast.on_error, errors.first()) {
            let row = (state.place.row_name)(state.original(*row));
            return Err(Failure::bad_input(rule.error(format!("{} ({row})", complain(value)))));
        }
        wrong.extend(errors.into_iter().map(|(row, value)| (row, complain(&value))));
    }
    if cast.on_error == CastError::Reject { state.reject_rows(index, wrong) } else { Ok(()) }
}

/// `datetime (%Y-%m-%d or %d.%m.%Y)`
fn target_name(cast: &Cast) -> String {
    let name = match cast.to {
        CastTo::Integer => "an integer",
        CastTo::Float => "a float",
        CastTo::Boolean => "a boolean",
        CastTo::Date => "a date",
        CastTo::Datetime => "a datetime",
        CastTo::String => "a string",
        CastTo::Decimal { .. } | CastTo::Time | CastTo::Duration | CastTo::Binary => "",
    };
    let mut name = if name.is_empty() { cast.result().with_article() } else { name.to_owned() };
    if !cast.formats.is_empty() {
        name.push_str(&format!(" ({})", cast.formats.join(" or ")));
    }
    if let Some(zone) = &cast.timezone {
        name.push_str(&format!(" in {zone}"));
    }
    name
}

pub fn apply_check(
    state: &mut State<'_>,
    index: usize,
    rule: &Rule,
    on_error: CheckError,
    known: Option<&RuleStatistics>,
    targets: &[usize],
) -> Result<(), Failure> {
    if on_error == CheckError::Null {
        for column in targets {
            state.flush(*column)?;
        }
    } else {
        state.flush_all()?;
    }
    let mut gone = vec![false; state.frame.height()];
    let mut wrong = Vec::new();
    for &column in targets {
        let dtype = column_type(state, column)?;
        let fit = |bound: &Scalar| bound.fit(dtype).map_err(|e| misfit(rule, state, column, e));
        let compiled = Check::compile(rule, statistic(state, column, known), fit);
        let Some(check) = compiled.map_err(Failure::bad_input)? else { continue };
        let series = state.series(column);
        let bad = check.failing(&series).map_err(internal)?;
        match on_error {
            CheckError::Null => {
                let count = bad.iter().filter(|b| **b).count() as u64;
                if count > 0 {
                    set_if(state, index, column, null_out(&series, &bad).map_err(internal)?, count)?;
                }
            }
            CheckError::Drop => gone.iter_mut().zip(bad).for_each(|(gone, bad)| *gone |= bad),
            CheckError::Reject => {
                for (row, _) in bad.iter().enumerate().filter(|(_, bad)| **bad) {
                    let value = scalar_at(&series, row).map_err(internal)?.map(|v| v.to_string()).unwrap_or_default();
                    wrong.push((row, format!("column `{}`: {}", series.name(), check.complaint(&value))));
                }
            }
        }
    }
    match on_error {
        CheckError::Null => Ok(()),
        CheckError::Drop => state.drop_rows(index, &gone),
        CheckError::Reject => state.reject_rows(index, wrong),
    }
}

pub fn derive(state: &mut State<'_>, index: usize, rule: &Rule, name: &str, sql: &str) -> Result<(), Failure> {
    let made = sql::evaluate(state.expressions, rule, sql, &state.frame, name)?;
    let old = state.frame.get_column_index(name);
    let changed = match old {
        None => made.len() - made.null_count(),
        Some(at) => differing(&state.frame.columns()[at], &made)?,
    };
    state.changed[index] += changed as u64;
    let same_type = old.is_some_and(|at| state.frame.columns()[at].dtype() == made.dtype());
    if changed == 0 && same_type {
        return Ok(());
    }
    let mut frame = state.frame.clone();
    frame.with_column(made).map_err(internal)?;
    state.reshape(frame)
}

/// Cells that differ, nulls being equal to each other; all of them if the type differs.
fn differing(old: &Column, new: &Column) -> Result<usize, Failure> {
    if old.dtype() != new.dtype() {
        return Ok(old.len());
    }
    let (old, new) = (old.as_materialized_series(), new.as_materialized_series());
    let same: BooleanChunked = old.equal_missing(new).map_err(internal)?;
    Ok(same.iter().filter(|same| *same != Some(true)).count())
}
