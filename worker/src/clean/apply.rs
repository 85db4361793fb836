//! Applies rules, in order, to one shard. Text rules are gathered per column and run in one pass.

use polars::prelude::{BooleanChunked, Column, DataFrame, PlSmallStr, Series};
use shardmill_common::counters::Counters;
use shardmill_common::failure::Failure;
use shardmill_common::rules::{Cast, CastError, CastTo, CheckError, Fill, NullsIn, Op, Rule, RuleStatistics, Scalar, Statistic};
use shardmill_common::schema::DataType;

use super::cast::cast_column;
use super::cells::{as_floats, clip, fill, map_f64, missing, null_out, scalar_at};
use super::checks::Check;
use super::parse::Parser;
use super::sql;
use super::state::{State, internal};
use super::text::Step;
use crate::frame::our_type;

/// A shard after the rules.
#[derive(Debug)]
pub struct Cleaned {
    pub frame: DataFrame,
    pub counters: Counters,
    /// In the order of their rows.
    pub rejected: Vec<RejectedRow>,
    /// Nothing changed at all: the shard can be reused as it is.
    pub unchanged: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// Index in the frame that was given.
    pub row: u32,
    pub reason: String,
}

/// Whether the rules hold together as far as only the engine can tell (SQL, time zones, formats); needs no data.
pub fn check(rules: &[Rule]) -> Result<(), String> {
    for (index, rule) in rules.iter().enumerate() {
        Step::compile(rule, index)?;
        match &rule.op {
            Op::Cast(cast) => drop(Parser::compile(rule, cast)?),
            Op::Filter { sql } | Op::Derive { sql, .. } => drop(sql::compile(rule, sql)?),
            _ => {}
        }
    }
    Ok(())
}

/// Applies `rules` to the shard with this ordinal. `statistics` has what each rule needs to know of the whole dataset.
pub fn apply(frame: DataFrame, rules: &[Rule], statistics: &[Option<RuleStatistics>], ordinal: u32) -> Result<Cleaned, Failure> {
    let mut state = State::new(frame, rules, ordinal)?;
    for (index, rule) in rules.iter().enumerate() {
        let known = match statistics.get(index).and_then(Option::as_ref) {
            None if rule.needs_statistics() => {
                return Err(Failure::internal(rule.error("its statistics are missing")));
            }
            known => known,
        };
        apply_rule(&mut state, index, rule, known)?;
    }
    state.finish()
}

fn apply_rule(state: &mut State<'_>, index: usize, rule: &Rule, known: Option<&RuleStatistics>) -> Result<(), Failure> {
    let targets = rule.targets(&state.shape).map_err(Failure::bad_input)?;
    let mut after = state.shape.clone();
    rule.advance(&mut after).map_err(Failure::bad_input)?;
    match &rule.op {
        Op::Trim { .. } | Op::Collapse | Op::Case { .. } | Op::Normalize { .. } | Op::Replace { .. } | Op::NullIf { .. } => {
            for column in targets {
                if state.shape.columns[column].dtype == Some(DataType::String) {
                    if let Some(step) = Step::compile(rule, index).map_err(Failure::bad_input)? {
                        state.push_step(column, step);
                    }
                } else {
                    null_values(state, index, rule, column)?;
                }
            }
        }
        Op::Cast(cast) => {
            apply_cast(state, index, rule, cast, &targets)?;
            state.shape = after;
        }
        Op::Fill { with } => {
            apply_fill(state, index, rule, with, known, &targets)?;
            state.shape = after;
        }
        Op::Clip { min, max } => {
            for column in targets {
                state.flush(column)?;
                let dtype = column_type(state, column)?;
                let fit = |b: &Option<Scalar>| b.as_ref().map(|b| b.fit(dtype)).transpose().map_err(|e| misfit(rule, state, column, &e));
                let (series, clipped) = clip(&state.series(column), fit(min)?.as_ref(), fit(max)?.as_ref()).map_err(internal)?;
                set_if(state, index, column, series, clipped)?;
            }
        }
        Op::Range { on_error, .. } | Op::Pattern { on_error, .. } | Op::Zscore { on_error, .. } | Op::Iqr { on_error, .. } => {
            apply_check(state, index, rule, *on_error, known, &targets)?;
        }
        Op::Standardise => {
            for column in targets {
                state.flush(column)?;
                let series = as_floats(&state.series(column)).map_err(internal)?;
                standardise(state, index, column, &series, known)?;
            }
            state.shape = after;
        }
        Op::Rename { .. } => {
            let names: Vec<PlSmallStr> = after.columns.iter().map(|c| PlSmallStr::from_str(&c.name)).collect();
            state.rename(&names)?;
            state.shape = after;
        }
        Op::Keep | Op::Drop => {
            if after.columns.len() < state.shape.columns.len() {
                state.flush_all()?;
                let kept = state.frame.select(after.columns.iter().map(|c| c.name.as_str())).map_err(internal)?;
                state.reshape(kept)?;
            }
        }
        Op::DropNulls { how } => {
            state.flush_all()?;
            let mut gone = vec![*how == NullsIn::All && !targets.is_empty(); state.frame.height()];
            for column in targets {
                for (gone, missing) in gone.iter_mut().zip(missing(&state.series(column)).map_err(internal)?) {
                    *gone = if *how == NullsIn::All { *gone && missing } else { *gone || missing };
                }
            }
            state.drop_rows(index, &gone)?;
        }
        Op::Filter { sql } => {
            state.flush_all()?;
            let column = sql::evaluate(rule, sql, &state.frame, "filter")?;
            let Ok(keep) = column.bool() else {
                let what = format!("`{sql}` gives {}, not true or false", column.dtype());
                return Err(Failure::bad_input(rule.error(&what)));
            };
            let gone: Vec<bool> = keep.iter().map(|keep| keep != Some(true)).collect();
            state.drop_rows(index, &gone)?;
        }
        Op::Derive { column, sql } => {
            state.flush_all()?;
            derive(state, index, rule, column, sql)?;
        }
    }
    Ok(())
}

fn column_type(state: &State<'_>, column: usize) -> Result<DataType, Failure> {
    let dtype = state.frame.columns()[column].dtype();
    our_type(dtype).ok_or_else(|| Failure::internal(format!("a column of type {dtype} among the rules")))
}

fn misfit(rule: &Rule, state: &State<'_>, column: usize, what: &str) -> Failure {
    Failure::bad_input(rule.error(&format!("column `{}`: {what}", state.shape.columns[column].name)))
}

/// Sets a column if cells of it changed.
fn set_if(state: &mut State<'_>, rule: usize, column: usize, series: Series, changed: u64) -> Result<(), Failure> {
    state.changed[rule] += changed;
    if changed > 0 { state.set(column, series) } else { Ok(()) }
}

/// `null_if` on a column that is not of strings.
fn null_values(state: &mut State<'_>, index: usize, rule: &Rule, column: usize) -> Result<(), Failure> {
    let Op::NullIf { values, .. } = &rule.op else { return Ok(()) };
    state.flush(column)?;
    let dtype = column_type(state, column)?;
    let fit = |v: &Scalar| v.fit(dtype).map_err(|e| misfit(rule, state, column, &e));
    let values = values.iter().map(fit).collect::<Result<Vec<_>, _>>()?;
    let series = state.series(column);
    let mut bad = Vec::with_capacity(series.len());
    for row in 0..series.len() {
        bad.push(scalar_at(&series, row).map_err(internal)?.is_some_and(|cell| values.contains(&cell)));
    }
    let count = bad.iter().filter(|b| **b).count() as u64;
    set_if(state, index, column, null_out(&series, &bad).map_err(internal)?, count)
}

fn apply_cast(state: &mut State<'_>, index: usize, rule: &Rule, cast: &Cast, targets: &[usize]) -> Result<(), Failure> {
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
            let made = cast_column(&state.series(column), from, rule, cast).map_err(Failure::bad_input)?.map_err(internal)?;
            state.changed[index] += made.nulled;
            state.reshaped |= from != cast.result();
            state.set(column, made.series)?;
            made.wrong
        };
        let name = &state.shape.columns[column].name;
        let complain = |value: &str| format!("column `{name}`: {value} cannot be read as {}", target_name(cast));
        if let (CastError::Fail, Some((row, value))) = (cast.on_error, errors.first()) {
            let row = u64::from(state.original(*row)) + 1;
            return Err(Failure::bad_input(rule.error(&format!("{} (row {row} of shard {})", complain(value), state.ordinal))));
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
    };
    let mut name = name.to_owned();
    if !cast.formats.is_empty() {
        name.push_str(&format!(" ({})", cast.formats.join(" or ")));
    }
    if let Some(zone) = &cast.timezone {
        name.push_str(&format!(" in {zone}"));
    }
    name
}

fn statistic<'k>(state: &State<'_>, column: usize, known: Option<&'k RuleStatistics>) -> Option<&'k Statistic> {
    known.and_then(|k| k.get(&state.shape.columns[column].name))
}

fn apply_fill(
    state: &mut State<'_>,
    index: usize,
    rule: &Rule,
    with: &Fill,
    known: Option<&RuleStatistics>,
    targets: &[usize],
) -> Result<(), Failure> {
    for &column in targets {
        state.flush(column)?;
        let mut series = state.series(column);
        let mut dtype = column_type(state, column)?;
        if matches!(with, Fill::Mean | Fill::Median) && dtype == DataType::Int64 {
            series = as_floats(&series).map_err(internal)?;
            dtype = DataType::Float64;
            state.set(column, series.clone())?;
            state.reshaped = true;
        }
        let value = match (with, statistic(state, column, known)) {
            (Fill::Value(value), _) => Some(value.clone()),
            (Fill::Forward, Some(Statistic::Carry(carried))) => {
                carried.iter().find(|c| c.ordinal == state.ordinal).and_then(|c| c.value.clone())
            }
            (_, Some(Statistic::Value(value))) => value.clone(),
            _ => return Err(Failure::internal(rule.error(&format!("nothing is known of column `{}`", series.name())))),
        };
        let value = value.map(|v| v.fit(dtype)).transpose().map_err(|e| misfit(rule, state, column, &e))?;
        let (filled, count) = fill(&series, value.as_ref(), *with == Fill::Forward).map_err(internal)?;
        set_if(state, index, column, filled, count)?;
    }
    Ok(())
}

fn apply_check(
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
        let fit = |bound: &Scalar| bound.fit(dtype);
        let compiled = Check::compile(rule, statistic(state, column, known), fit);
        let Some(check) = compiled.map_err(|e| misfit(rule, state, column, &e))? else { continue };
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

/// Takes the mean away and divides by the standard deviation; a column that does not vary is only centred.
fn standardise(state: &mut State<'_>, index: usize, column: usize, series: &Series, known: Option<&RuleStatistics>) -> Result<(), Failure> {
    let was_float = column_type(state, column)? == DataType::Float64;
    state.reshaped |= !was_float;
    let mut changed = 0u64;
    let series = match statistic(state, column, known) {
        Some(Statistic::Moments { mean, std, .. }) => {
            let scale = if *std == 0.0 { 1.0 } else { *std };
            let standard = |cell: Option<f64>| {
                let made = cell.map(|x| (x - mean) / scale);
                changed += u64::from(made != cell && !cell.is_some_and(f64::is_nan));
                made
            };
            map_f64(series, standard).map_err(internal)?
        }
        _ => series.clone(),
    };
    state.changed[index] += changed;
    if changed > 0 || !was_float { state.set(column, series) } else { Ok(()) }
}

fn derive(state: &mut State<'_>, index: usize, rule: &Rule, name: &str, sql: &str) -> Result<(), Failure> {
    let made = sql::evaluate(rule, sql, &state.frame, name)?;
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
    let same: BooleanChunked = old.equal_missing(new).map_err(internal)?;
    Ok(same.iter().filter(|same| *same != Some(true)).count())
}
