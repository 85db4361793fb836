//! Applies rules, in order, to the rows of a shard, or of some that are read as one. Text rules are gathered per column and run in one pass.

use polars::prelude::{DataFrame, PlSmallStr, Series};
use shardmill_common::counters::Counters;
use shardmill_common::failure::Failure;
use shardmill_common::rules::{Fill, NullsIn, Op, Rule, RuleError, RuleStatistics, Scalar, Statistic};
use shardmill_common::schema::DataType;

use super::actions::{apply_cast, apply_check, column_type, derive, misfit, set_if, statistic};
use super::cells::{as_floats, clip, fill, map_f64, missing, null_out, scalar_at};
use super::parse::Parser;
use super::sql::{self, Expressions};
use super::state::{State, internal};
use super::text::Step;

/// Rows after the rules.
#[derive(Debug)]
pub struct Cleaned {
    pub frame: DataFrame,
    pub counters: Counters,
    /// In the order of their rows.
    pub rejected: Vec<RejectedRow>,
    /// Nothing changed at all: the shards can be reused as they are.
    pub unchanged: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// Index in the frame that was given.
    pub row: u32,
    pub reason: String,
}

/// Whether the rules hold together as far as only the engine can tell (SQL, time zones, formats); needs no data.
pub fn check(rules: &[Rule]) -> Result<(), RuleError> {
    for (index, rule) in rules.iter().enumerate() {
        Step::compile(rule, index)?;
        match &rule.op {
            Op::Cast(cast) => drop(Parser::compile(rule, cast)?),
            Op::Filter { sql } | Op::Derive { sql, .. } => sql::check(rule, sql)?,
            _ => {}
        }
    }
    Ok(())
}

/// Where the rows of a frame are in their dataset.
pub struct Place<'a> {
    /// The number of the (first) shard.
    pub ordinal: u32,
    /// How messages name a row of the frame, such as `row 17 of orders@1` or `orders.csv:18`.
    pub row_name: &'a dyn Fn(u32) -> String,
}

/// Applies `rules` to rows that are in this place. `statistics` has what each rule needs to know of the whole dataset, and
/// `expressions` computes what is SQL.
pub fn apply(
    frame: DataFrame,
    rules: &[Rule],
    statistics: &[Option<RuleStatistics>],
    place: &Place<'_>,
    expressions: &Expressions<'_>,
) -> Result<Cleaned, Failure> {
    let mut state = State::new(frame, rules, place, expressions)?;
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
        Op::Trim { .. }
        | Op::Collapse
        | Op::Case { .. }
        | Op::Normalize { .. }
        | Op::Replace { .. }
        | Op::NullIf { .. } => {
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
                let fit = |b: &Option<Scalar>| {
                    b.as_ref()
                        .map(|b| b.fit(dtype))
                        .transpose()
                        .map_err(|e| Failure::bad_input(misfit(rule, state, column, e)))
                };
                let (series, clipped) =
                    clip(&state.series(column), fit(min)?.as_ref(), fit(max)?.as_ref()).map_err(internal)?;
                set_if(state, index, column, series, clipped)?;
            }
        }
        Op::Range { on_error, .. }
        | Op::Pattern { on_error, .. }
        | Op::Zscore { on_error, .. }
        | Op::Iqr { on_error, .. } => {
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
            let column = sql::evaluate(state.expressions, rule, sql, &state.frame, "filter")?;
            let Ok(keep) = column.bool() else {
                let what = format!("`{sql}` gives {}, not true or false", column.dtype());
                return Err(Failure::bad_input(rule.error(what)));
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

/// `null_if` on a column that is not of strings.
fn null_values(state: &mut State<'_>, index: usize, rule: &Rule, column: usize) -> Result<(), Failure> {
    let Op::NullIf { values, .. } = &rule.op else { return Ok(()) };
    state.flush(column)?;
    let dtype = column_type(state, column)?;
    let fit = |v: &Scalar| v.fit(dtype).map_err(|e| Failure::bad_input(misfit(rule, state, column, e)));
    let values = values.iter().map(fit).collect::<Result<Vec<_>, _>>()?;
    let series = state.series(column);
    let mut bad = Vec::with_capacity(series.len());
    for row in 0..series.len() {
        bad.push(scalar_at(&series, row).map_err(internal)?.is_some_and(|cell| values.contains(&cell)));
    }
    let count = bad.iter().filter(|b| **b).count() as u64;
    set_if(state, index, column, null_out(&series, &bad).map_err(internal)?, count)
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
        if matches!(with, Fill::Mean | Fill::Median) && dtype != DataType::Float64 {
            series = as_floats(&series).map_err(internal)?;
            dtype = DataType::Float64;
            state.set(column, series.clone())?;
            state.reshaped = true;
        }
        let value = match (with, statistic(state, column, known)) {
            (Fill::Value(value), _) => Some(value.clone()),
            (Fill::Forward, Some(Statistic::Carry(carried))) => {
                carried.iter().find(|c| c.ordinal == state.place.ordinal).and_then(|c| c.value.clone())
            }
            (_, Some(Statistic::Value(value))) => value.clone(),
            _ => return Err(Failure::internal(rule.error(format!("nothing is known of column `{}`", series.name())))),
        };
        let value =
            value.map(|v| v.fit(dtype)).transpose().map_err(|e| Failure::bad_input(misfit(rule, state, column, e)))?;
        let (filled, count) = fill(&series, value.as_ref(), *with == Fill::Forward).map_err(internal)?;
        set_if(state, index, column, filled, count)?;
    }
    Ok(())
}

/// Takes the mean away and divides by the standard deviation; a column that does not vary is only centred.
fn standardise(
    state: &mut State<'_>,
    index: usize,
    column: usize,
    series: &Series,
    known: Option<&RuleStatistics>,
) -> Result<(), Failure> {
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
