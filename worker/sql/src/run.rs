//! Running a statement that was checked.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use futures::TryStreamExt;
use std::sync::Arc;
use std::time::Duration;

use crate::check::{Plan, planned};
use crate::engine::{Engine, Table};
use crate::error::SqlError;
use crate::guard::on_large_stack;
use crate::place::first_line;
use crate::stored::to_stored;

/// How often a statement that runs is asked whether it should.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a statement may use.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// Bytes that its sorts, groups, joins and its result may hold together.
    pub memory: u64,
    /// Whether it is to end.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// The result of a statement that [`crate::check`] accepted, in stored types; the rows of a table come as one batch.
pub fn run(statement: &str, tables: &[(&str, RecordBatch)], limits: Limits<'_>) -> Result<RecordBatch, SqlError> {
    on_large_stack(|| {
        let tables = tables.iter().map(|(name, rows)| Ok((*name, Table::of(rows)?)));
        let tables = tables.collect::<Result<Vec<_>, DataFusionError>>().map_err(|e| told(&e, limits.memory))?;
        execute_on_this_thread(planned(statement, &tables)?, limits)
    })
}

/// One thread does all of it: a task has one slot.
pub(crate) fn execute_on_this_thread(plan: Plan, limits: Limits<'_>) -> Result<RecordBatch, SqlError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|e| SqlError::Engine(format!("no runtime for the statement: {e}")))?;
    runtime.block_on(async {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let work = execute(plan, limits);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                made = &mut work => return made.map_err(|e| told(&e, limits.memory)),
                _ = look.tick() => if (limits.stop)() {
                    return Err(SqlError::Stopped);
                }
            }
        }
    })
}

async fn execute(plan: Plan, limits: Limits<'_>) -> Result<RecordBatch, DataFusionError> {
    let engine = Engine::get();
    let physical = engine.state.query_planner().create_physical_plan(&plan.logical, &engine.state).await?;
    let memory: Arc<dyn MemoryPool> =
        Arc::new(GreedyMemoryPool::new(usize::try_from(limits.memory).unwrap_or(usize::MAX)));
    let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let result = MemoryConsumer::new("the result").register(&memory);
    let environment =
        RuntimeEnvBuilder::new().with_memory_pool(memory).with_disk_manager_builder(no_disk).build_arc()?;
    let context = Arc::new(TaskContext::from(&engine.state).with_runtime(environment));
    let mut batches = Vec::new();
    // One after the other: their order is that of the rows.
    for partition in 0..physical.properties().output_partitioning().partition_count() {
        let mut rows = physical.execute(partition, context.clone())?;
        while let Some(batch) = rows.try_next().await? {
            if batch.num_rows() > 0 {
                result.try_grow(least_bytes(&batch))?;
                // Lets the caller look whether it should go on.
                tokio::task::yield_now().await;
                batches.push(to_stored(&batch, &plan.stored)?);
            }
        }
    }
    Ok(concat_batches(&plan.stored, &batches)?)
}

/// Bytes that rows take at least. What texts share is not counted: a batch would count the texts of all others, too.
fn least_bytes(batch: &RecordBatch) -> usize {
    const VIEW: usize = 16;
    let width: usize = batch.columns().iter().map(|c| c.data_type().primitive_width().unwrap_or(VIEW)).sum();
    width * batch.num_rows()
}

/// The engine's error in a user's words.
pub fn told(error: &DataFusionError, memory: u64) -> SqlError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(why) => SqlError::Memory { limit: memory, why: first_line(why) },
        // What an engine's function said, before the engine wrapped it.
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::ComputeError(why) => SqlError::Rows(first_line(why.trim_start_matches("Execution error: "))),
            other => SqlError::Rows(first_line(&other.to_string())),
        },
        DataFusionError::Execution(why) => SqlError::Rows(first_line(why)),
        other => SqlError::Rows(first_line(&other.to_string())),
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
