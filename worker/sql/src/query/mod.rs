//! Queries over whole datasets: their shards are read where they lie as Parquet, by as many threads as the caller allows, and
//! what does not fit in memory goes to disk. Unlike a statement of a map, a query promises no order of rows but that of its
//! ORDER BY.

mod bind;
mod memory;
mod names;
mod plan;
mod read;
mod run;
mod scan;
mod semi;
mod split;
mod spread;
mod table;
mod threads;

pub use bind::{bind, bind_nulls, parameters};
pub use names::{CATALOG, SCHEMA, TableName, table_names};
pub use plan::{check_query, explain_query, parameter_types};
pub use read::{ShardFile, ShardSource, SourceError};
pub use run::{QueryError, QueryLimits, Ran, environment, run_query};
pub(crate) use semi::HOLD_SUBQUERY;
pub use split::split;
pub use spread::{Sources, Team, query_worker};
pub(crate) use table::DatasetTable;
pub use table::QueriedTable;
pub use threads::{panics, query_runtime};
