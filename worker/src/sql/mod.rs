//! Users' statements over the frames of tasks, what a whole job of them must keep to, and queries over whole datasets.

mod bridge;
mod job;
mod queries;

use polars::prelude::{Column, DataFrame};
use shardmill_common::failure::Failure;
use shardmill_common::schema::Schema;
use shardmill_sql::Limits;

use crate::frame::polars_type;
use crate::tasks::Context;

pub use bridge::{to_batch, to_frame};
pub use job::{INPUT, check_job};
pub use queries::{Opening, Queries, Shards, failure_in};
pub use shardmill_sql::{SqlError, Statement, check, check_expression};

/// The result of a statement that [`check`] accepted, in stored types. Columns go to the engine and come back without being
/// copied. It holds no more than the task's share of memory, and ends where the attempt is to end.
pub fn run(context: &Context, statement: &str, tables: &[(&str, &DataFrame)]) -> Result<DataFrame, Failure> {
    context.check()?;
    let tables = tables.iter().map(|(name, frame)| Ok((*name, bridge::to_batch(frame)?)));
    let tables = tables.collect::<Result<Vec<_>, Failure>>()?;
    let stop = || context.check().is_err();
    match shardmill_sql::run(statement, &tables, Limits { memory: context.budget, stop: &stop }) {
        Ok(made) => bridge::to_frame(&made),
        Err(e) => {
            context.check()?;
            Err(Failure::bad_input(e))
        }
    }
}

/// The value of a rule's expression for every row. It calls none but these functions.
pub fn evaluate(text: &str, functions: &[&str], frame: &DataFrame) -> Result<Result<Column, SqlError>, Failure> {
    let rows = bridge::to_batch(frame)?;
    match shardmill_sql::evaluate(text, functions, &rows) {
        Ok(array) => bridge::to_column("value", &array).map(Ok),
        Err(e) => Ok(Err(e)),
    }
}

/// A table without rows.
pub fn empty(schema: &Schema) -> Result<DataFrame, Failure> {
    let columns =
        schema.fields.iter().map(|f| Column::new_empty(f.name.as_str().into(), &polars_type(f.dtype))).collect();
    DataFrame::new(0, columns).map_err(Failure::internal)
}
