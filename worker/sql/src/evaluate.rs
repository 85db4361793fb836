//! The expressions of rules: their values for the rows of a table.

use arrow::array::{ArrayRef, RecordBatch};
use sqlparser::ast::{Ident, SelectItem, SetExpr};

use crate::check::{parse, plan_of};
use crate::engine::{Engine, Table};
use crate::error::SqlError;
use crate::guard::on_large_stack;
use crate::rowwise::expression;
use crate::run::{Limits, execute_on_this_thread};

/// The one table that an expression sees; it is not named in messages.
pub const ROWS: &str = "rows";
const VALUE: &str = "value";

/// The value of an expression for every row, as a stored type. It calls none but these functions.
pub fn evaluate(text: &str, functions: &[&str], rows: &RecordBatch) -> Result<ArrayRef, SqlError> {
    on_large_stack(|| {
        let expr = expression(text, functions)?;
        let mut query = parse("SELECT 0 FROM rows")?;
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.projection = vec![SelectItem::ExprWithAlias { expr, alias: Ident::new(VALUE) }];
        }
        let table = Table::of(rows).map_err(|e| SqlError::Engine(e.to_string()))?;
        let plan = plan_of(query, text, &[(ROWS, table)], &Engine::get().state)?;
        let made = execute_on_this_thread(plan, Limits { memory: u64::MAX, stop: &|| false })?;
        match made.columns().first() {
            Some(column) if column.len() == rows.num_rows() => Ok(column.clone()),
            _ => Err(SqlError::Engine("an expression must have a value for each row".to_owned())),
        }
    })
}
