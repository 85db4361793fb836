//! The expressions of rules: their values for the rows of a table.

use arrow::array::RecordBatch;
use sqlparser::ast::{Ident, SelectItem, SetExpr};

use crate::check::{parse, plan_of};
use crate::engine::{Engine, Table};
use crate::error::SqlError;
use crate::guard::on_large_stack;
use crate::rowwise::expression;
use crate::run::{Limits, Out, execute_on_this_thread};

/// The one table that an expression sees; it is not named in messages.
pub const ROWS: &str = "rows";
const VALUE: &str = "value";

/// Gives the value of an expression for every row to `out`, as a column of a stored type. It calls none but these functions.
pub fn evaluate(
    text: &str,
    functions: &[&str],
    rows: &RecordBatch,
    limits: Limits,
    out: &mut Out<'_>,
) -> Result<(), SqlError> {
    on_large_stack(|| {
        let expr = expression(text, functions)?;
        let mut query = parse("SELECT 0 FROM rows")?;
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.projection = vec![SelectItem::ExprWithAlias { expr, alias: Ident::new(VALUE) }];
        }
        let table = Table::of(rows).map_err(|e| SqlError::Engine(e.to_string()))?;
        let plan = plan_of(query, text, &[(ROWS, table)], &Engine::get().state)?;
        let mut values = 0;
        execute_on_this_thread(plan, limits, &mut |batch| {
            values += batch.num_rows();
            out(batch)
        })?;
        match values == rows.num_rows() {
            true => Ok(()),
            false => Err(SqlError::Engine("an expression must have a value for each row".to_owned())),
        }
    })
}
