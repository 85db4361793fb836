//! Mapping a shard by a user's statement or program, into shards or into the shuffle.

use polars::prelude::{BooleanChunked, DataFrame, NewChunkedArray};
use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::mapreduce::step::{Program, Step};
use shardmill_common::kinds::mapreduce::{MapOutput, MapTask};
use shardmill_common::task::TaskOutput;

use super::Context;
use super::bisect::{Offender, first_offender, offenders};
use super::map_output::Mapped;
use super::parse::{Reject, write_rejects};
use super::raw::row_as_json;
use crate::origin::Origin;
use crate::program::{Role, Run};
use crate::sql;

/// A program is handed so many rows at a time.
const PIECE_ROWS: usize = 32_768;

pub fn run(context: &Context, task: &MapTask) -> Result<TaskOutput, Failure> {
    let frame = context.open(&task.input, &task.schema)?;
    let rows = frame.height() as u64;
    let mut output = TaskOutput::default();
    output.counters.add(Counter::RowsIn, rows);
    let (mapped, skipped) = match task.step.as_deref() {
        None => (Made::of(context, task, &frame)?, Vec::new()),
        Some(Step::Sql(statement)) => by_statement(context, task, statement, &frame)?,
        Some(Step::Program(program)) => by_program(context, task, program, &frame)?,
    };
    let rejects: Vec<Reject> = skipped
        .iter()
        .map(|bad| Reject {
            line: task.first_row + bad.unit as u64 + 1,
            raw: row_as_json(&frame, bad.unit),
            reason: bad.reason.clone(),
        })
        .collect();
    drop(frame);
    if !rejects.is_empty() {
        output.counters.add(Counter::Skipped, rejects.len() as u64);
    }
    output.counters.merge(&mapped.counters);
    mapped.rows.finish(&mut output)?;
    output.rejects = write_rejects(context, &task.source_name, &rejects)?;
    Ok(output)
}

/// What the step made of the rows.
struct Made<'a> {
    rows: Mapped<'a>,
    counters: Counters,
}

impl<'a> Made<'a> {
    fn of(context: &'a Context, task: &'a MapTask, frame: &DataFrame) -> Result<Self, Failure> {
        let mut rows = Mapped::new(context, task);
        rows.push(frame.clone())?;
        Ok(Self { rows, counters: Counters::default() })
    }
}

fn by_statement<'a>(
    context: &'a Context,
    task: &'a MapTask,
    statement: &str,
    frame: &DataFrame,
) -> Result<(Made<'a>, Vec<Offender>), Failure> {
    let map = |frame: &DataFrame| sql::run(context, statement, &[(sql::INPUT, frame)]);
    let why = match map(frame) {
        Ok(mapped) => return Ok((Made::of(context, task, &mapped)?, Vec::new())),
        Err(why) => why,
    };
    let mut part =
        |range: std::ops::Range<usize>| map(&frame.slice(range.start as i64, range.len())).map(|_: DataFrame| ());
    if task.work.skip_bad == 0 {
        let Failure::BadInput { message } = why else { return Err(why) };
        let first = first_offender(frame.height(), &mut part)?;
        return Err(Failure::bad_input(match first {
            Some(bad) => format!("the map fails on {}: {}", row_named(task, frame, bad.unit), bad.reason),
            None => format!("the map of {} fails on {}: {message}", task.source_name, shard_named(task, frame)),
        }));
    }
    let bad = offenders(frame.height(), task.work.skip_bad, why, &mut part)?;
    few_enough(task, frame, &bad)?;
    let mapped = map(&without(frame, &bad)?)?;
    Ok((Made::of(context, task, &mapped)?, bad))
}

fn by_program<'a>(
    context: &'a Context,
    task: &'a MapTask,
    program: &Program,
    frame: &DataFrame,
) -> Result<(Made<'a>, Vec<Offender>), Failure> {
    let reduced = matches!(*task.output, MapOutput::Shuffle { .. });
    let keys: Vec<String> = match &*task.output {
        MapOutput::Shuffle { keys, .. } => keys.iter().map(|k| k.name.clone()).collect(),
        MapOutput::Shards => Vec::new(),
    };
    let run = Run {
        context,
        program,
        work: &task.work,
        keys: &keys,
        role: Role::Map { reduced },
        what: format!("the map of {}, {}", task.source_name, shard_named(task, frame)),
    };
    let whole = |frame: &DataFrame| -> Result<Made<'a>, Failure> {
        let mut rows = Mapped::new(context, task);
        let counters = run.over(&mut pieces(frame), &mut |made| rows.push(made))?;
        Ok(Made { rows, counters })
    };
    let why = match whole(frame) {
        Ok(made) => return Ok((made, Vec::new())),
        Err(why @ Failure::ProgramFailed { .. }) if task.work.skip_bad > 0 && context.last_try => why,
        Err(why) => return Err(why),
    };
    let mut part = |range: std::ops::Range<usize>| {
        let some = frame.slice(range.start as i64, range.len());
        run.over(&mut pieces(&some), &mut |_| Ok(())).map(|_| ())
    };
    let bad = offenders(frame.height(), task.work.skip_bad, why, &mut part)?;
    few_enough(task, frame, &bad)?;
    Ok((whole(&without(frame, &bad)?)?, bad))
}

/// A frame a few rows at a time, at least once.
fn pieces(frame: &DataFrame) -> impl Iterator<Item = Result<DataFrame, Failure>> + '_ {
    (0..frame.height().max(1)).step_by(PIECE_ROWS).map(|at| Ok(frame.slice(at as i64, PIECE_ROWS)))
}

fn without(frame: &DataFrame, bad: &[Offender]) -> Result<DataFrame, Failure> {
    let mut keep = vec![true; frame.height()];
    for offender in bad {
        if let Some(slot) = keep.get_mut(offender.unit) {
            *slot = false;
        }
    }
    frame.filter(&BooleanChunked::from_slice("keep".into(), &keep)).map_err(Failure::internal)
}

fn few_enough(task: &MapTask, frame: &DataFrame, bad: &[Offender]) -> Result<(), Failure> {
    match bad.first() {
        Some(first) if bad.len() as u64 > task.work.skip_bad => Err(Failure::bad_input(format!(
            "the map fails on more rows than --skip-bad {} allows, such as {}: {}",
            task.work.skip_bad,
            row_named(task, frame, first.unit),
            first.reason
        ))),
        _ => Ok(()),
    }
}

fn row_named(task: &MapTask, frame: &DataFrame, row: usize) -> String {
    let origin = Origin { source: &task.source_name, first_row: task.first_row };
    format!("{}, {}", origin.name(row as u64), row_as_json(frame, row))
}

fn shard_named(task: &MapTask, frame: &DataFrame) -> String {
    format!("rows {} to {}", task.first_row + 1, task.first_row + frame.height() as u64)
}
