//! Checking a user's job before it runs: its statements, its programs, and what must hold of them on a sample of rows.

use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::mapreduce::step::{Program, Step};
use shardmill_common::kinds::mapreduce::{CheckTask, Checked, MapInput, side_schema};
use shardmill_common::task::TaskOutput;

use super::Context;
use super::laws::{combiner_holds, reduce_holds};
use crate::program::{self, Role, Run};
use crate::shard::conform;
use crate::spill::concat;
use crate::sql;

/// Rows of an input that laws are tried on.
const SAMPLE: usize = 2_000;

pub fn run(context: &Context, task: &CheckTask) -> Result<TaskOutput, Failure> {
    let spec = &task.spec;
    let checked = sql::check_job(spec, &task.schemas).map_err(Failure::bad_input)?;
    for (what, step) in spec.steps() {
        if let Step::Program(program) = step {
            program::check(program, &spec.work).map_err(|e| e.within(&what))?;
        }
    }
    try_laws(context, task, &checked)?;
    TaskOutput::reporting::<CheckTask>(&checked)
}

/// Where a sample cannot be mapped, its maps will tell why.
fn try_laws(context: &Context, task: &CheckTask, checked: &Checked) -> Result<(), Failure> {
    let spec = &task.spec;
    let statement = match &spec.reduce {
        Some(Step::Sql(statement)) if !spec.keys.is_empty() => Some(statement),
        _ => None,
    };
    if spec.combine.is_none() && statement.is_none() {
        return Ok(());
    }
    let mut sides = Vec::with_capacity(spec.inputs.len());
    for (n, input) in spec.inputs.iter().enumerate() {
        let (Some(schema), Some(Some(made))) = (task.schemas.get(n), checked.maps.get(n)) else { return Ok(()) };
        let rows = match task.samples.get(n).and_then(Option::as_ref) {
            Some(shard) => context.open(shard, schema)?.slice(0, SAMPLE),
            None => sql::empty(schema)?,
        };
        context.check()?;
        let Some(mapped) = mapped(context, task, input, &rows) else { return Ok(()) };
        if let Some(combine) = &spec.combine {
            combiner_holds(context, combine, made, &mapped)?
                .map_err(|e| Failure::bad_input(format!("the combiner cannot be used: {e}")))?;
        }
        sides.push((input.name.as_str(), conform(mapped, &side_schema(made, &checked.keys), None)?));
    }
    if let Some(statement) = statement {
        let sides: Vec<(&str, &DataFrame)> = sides.iter().map(|(name, rows)| (*name, rows)).collect();
        reduce_holds(context, statement, &sides, &checked.keys)?.map_err(Failure::bad_input)?;
    }
    Ok(())
}

fn mapped(context: &Context, task: &CheckTask, input: &MapInput, rows: &DataFrame) -> Option<DataFrame> {
    match &input.map {
        None => Some(rows.clone()),
        Some(Step::Sql(statement)) => sql::run(context, statement, &[(sql::INPUT, rows)]).ok(),
        Some(Step::Program(program)) => by_program(context, task, input, program, rows),
    }
}

fn by_program(
    context: &Context,
    task: &CheckTask,
    input: &MapInput,
    program: &Program,
    rows: &DataFrame,
) -> Option<DataFrame> {
    let run = Run {
        context,
        program,
        work: &task.spec.work,
        keys: &task.spec.keys,
        role: Role::Map { reduced: true },
        what: format!("the map of {}, tried on a sample", input.name),
    };
    let mut made = Vec::new();
    run.over(&mut std::iter::once(Ok(rows.clone())), &mut |frame| {
        made.push(frame);
        Ok(())
    })
    .ok()?;
    concat(made).ok().flatten()
}
