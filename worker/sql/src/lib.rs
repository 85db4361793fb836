//! Users' statements: one query over the tables it is given, checked before anything runs, and run so that the same rows
//! give the same result in the same order every time. Also the expressions of rules, which see one row at a time.
//!
//! The engine is DataFusion. What differs from it is in [`dialect`] (what a statement means), [`functions`] (what it may call
//! besides) and [`order`] (in which order rows come); what it may reach for, in `reach`.

mod check;
mod dialect;
mod engine;
mod error;
mod evaluate;
mod filters;
mod functions;
mod guard;
mod order;
mod place;
mod query;
mod reach;
mod rowwise;
mod run;
mod stored;
#[cfg(test)]
mod testing;
mod using;

pub use check::{Statement, check};
pub use datafusion::common::DataFusionError as EngineError;
pub use engine::warm_up;
pub use error::SqlError;
pub use evaluate::evaluate;
pub use guard::STACK;
pub use query::{
    CATALOG, QueriedTable, QueryError, QueryLimits, Ran, SCHEMA, ShardFile, ShardSource, SourceError, Sources,
    TableName, Team, bind, bind_nulls, check_query, environment, explain_query, panics, parameter_types, parameters,
    query_runtime, query_worker, run_query, split, table_names,
};
pub use rowwise::{check_expression, named_columns, one_row_at_a_time};
pub use run::{Limits, Out, run};
pub use stored::{arrow_schema, arrow_type};
