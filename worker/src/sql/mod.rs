//! Users' statements over the frames of tasks, what a whole job of them must keep to, and queries over whole datasets.

mod bridge;
mod job;
mod queries;

use arrow::array::RecordBatch;
use polars::prelude::{Column, DataFrame};
use shardmill_common::failure::Failure;
use shardmill_common::schema::Schema;

use crate::backend::{Bounds, Unmade, Work};
use crate::frame::polars_type;
use crate::tasks::Context;

pub use bridge::{to_batch, to_column, to_frame};
pub use job::{INPUT, check_job};
pub use queries::{Opening, Queries, Shards, failure_in};
pub use shardmill_sql::{SqlError, Statement, check, check_expression};

/// The result of a statement that [`check`] accepted, in stored types. It is computed by a process of its own, which holds no more
/// than the task's share of memory and ends when the attempt is to end.
pub fn run(context: &Context, statement: &str, tables: &[(&str, &DataFrame)]) -> Result<DataFrame, Failure> {
    let tables = tables.iter().map(|(name, frame)| Ok((*name, bridge::to_batch(frame)?)));
    let tables = tables.collect::<Result<Vec<_>, Failure>>()?;
    let made = compute(context, Work::Statement(statement.to_owned()), &tables)?;
    made.map_err(Failure::bad_input).and_then(|made| bridge::to_frame(&made))
}

/// What computes the expressions of rules for an attempt.
pub fn expressions(
    context: &Context,
) -> impl Fn(&str, &[&str], &DataFrame) -> Result<Result<Column, SqlError>, Failure> + '_ {
    |text, functions, frame| evaluate(context, text, functions, frame)
}

fn evaluate(
    context: &Context,
    text: &str,
    functions: &[&str],
    frame: &DataFrame,
) -> Result<Result<Column, SqlError>, Failure> {
    let rows = bridge::to_batch(&with_named_columns(text, functions, frame)?)?;
    let functions = functions.iter().map(|f| (*f).to_owned()).collect();
    let work = Work::Expression { text: text.to_owned(), functions };
    match compute(context, work, &[("rows", rows)])? {
        Ok(made) => made.columns().first().map_or_else(
            || Err(Failure::internal("an expression without a value")),
            |column| bridge::to_column("value", column).map(Ok),
        ),
        Err(e) => Ok(Err(e)),
    }
}

/// The columns that an expression needs. Where it names one that is not there, all of them: the message lists them.
fn with_named_columns(text: &str, functions: &[&str], frame: &DataFrame) -> Result<DataFrame, Failure> {
    let Ok(names) = shardmill_sql::named_columns(text, functions) else { return Ok(frame.clone()) };
    if names.iter().any(|name| frame.get_column_index(name).is_none()) {
        return Ok(frame.clone());
    }
    let named = frame.columns().iter().filter(|column| names.contains(column.name().as_str())).cloned().collect();
    DataFrame::new(frame.height(), named).map_err(Failure::internal)
}

/// What a process of its own makes of rows. An error of SQL is the user's.
fn compute(
    context: &Context,
    work: Work,
    tables: &[(&str, RecordBatch)],
) -> Result<Result<RecordBatch, SqlError>, Failure> {
    context.check()?;
    let wanted = || context.check().is_ok();
    let bounds = Bounds { memory: context.budget, wanted: &wanted };
    match context.backends.compute(work, tables, &bounds) {
        Ok(made) => Ok(Ok(made)),
        Err(Unmade::Stopped) => Err(Failure::Killed),
        Err(Unmade::Sql(SqlError::Disk(why))) => Err(context.fetch.store.incoming_failure(&std::io::Error::other(why))),
        Err(Unmade::Sql(e)) => Ok(Err(e)),
        Err(Unmade::Broken(why)) => Err(Failure::internal(why)),
    }
}

/// A table without rows.
pub fn empty(schema: &Schema) -> Result<DataFrame, Failure> {
    let columns =
        schema.fields.iter().map(|f| Column::new_empty(f.name.as_str().into(), &polars_type(f.dtype))).collect();
    DataFrame::new(0, columns).map_err(Failure::internal)
}
