//! Functions that statements have besides the engine's own, and those they may not have.

mod bounded;
mod extremes;
mod kernel;
pub mod numbers;
mod sum;
pub mod text;
mod times;

use std::sync::Arc;

pub use bounded::bounded;

use arrow::array::{Array, BooleanArray};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

/// Functions that give something else at every try: a task that is run again must give the same rows.
const VOLATILE: [&str; 19] = [
    "random",
    "rand",
    "randn",
    "uuid",
    "newid",
    "gen_random_uuid",
    "uuid_generate_v4",
    "now",
    "today",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "getdate",
    "sysdate",
    "statement_timestamp",
    "transaction_timestamp",
    "clock_timestamp",
];

/// Whether a function's result depends on more than its arguments.
pub fn is_volatile(name: &str) -> bool {
    VOLATILE.contains(&name.to_lowercase().trim_matches('"'))
}

/// Functions of one row. They take the place of the engine's of the same name.
pub fn scalars() -> Vec<Arc<ScalarUDF>> {
    [text::functions(), numbers::functions(), times::functions()].into_iter().flatten().map(Arc::new).collect()
}

/// Functions of many rows.
pub fn aggregates() -> Vec<Arc<AggregateUDF>> {
    extremes::functions().into_iter().chain([sum::function()]).map(Arc::new).collect()
}

/// Whether an aggregate's FILTER lets a row through.
fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|f| f.is_valid(row) && f.value(row))
}
