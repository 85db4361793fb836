//! Running a statement that was checked.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use futures::TryStreamExt;

use crate::check::{Plan, planned};
use crate::engine::{Engine, Table, spill_reserve};
use crate::error::SqlError;
use crate::guard::on_large_stack;
use crate::order::Spilling;
use crate::place::first_line;
use crate::stored::to_stored;

/// What a statement may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that its sorts, groups and joins may hold together.
    pub memory: u64,
    /// Whether its sorts may put what they cannot hold into the process's folder for temporary files (`TMPDIR`).
    pub spills: bool,
}

/// Takes the rows that a statement puts out, in their order.
pub type Out<'a> = dyn FnMut(RecordBatch) -> Result<(), SqlError> + Send + 'a;

/// Gives the rows of a statement that [`crate::check`] accepted to `out`, in stored types: at least one batch, maybe without rows.
/// The rows of a table come as one batch.
pub fn run(statement: &str, tables: &[(&str, RecordBatch)], limits: Limits, out: &mut Out<'_>) -> Result<(), SqlError> {
    on_large_stack(|| {
        let tables = tables.iter().map(|(name, rows)| Ok((*name, Table::of(rows)?)));
        let tables = tables.collect::<Result<Vec<_>, DataFusionError>>().map_err(|e| told(&e, limits.memory))?;
        execute_on_this_thread(planned(statement, &tables)?, limits, out)
    })
}

/// One thread does all of it: a task has one slot.
pub(crate) fn execute_on_this_thread(plan: Plan, limits: Limits, out: &mut Out<'_>) -> Result<(), SqlError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|e| SqlError::Engine(format!("no runtime for the statement: {e}")))?;
    runtime.block_on(execute(plan, limits, out))
}

async fn execute(plan: Plan, limits: Limits, out: &mut Out<'_>) -> Result<(), SqlError> {
    let told = |e: DataFusionError| told(&e, limits.memory);
    let engine = Engine::get();
    let physical =
        engine.state.query_planner().create_physical_plan(&plan.logical, &engine.state).await.map_err(told)?;
    let context = context(engine, limits).map_err(told)?;
    let mut given = false;
    // One after the other: their order is that of the rows.
    for partition in 0..physical.properties().output_partitioning().partition_count() {
        let mut rows = physical.execute(partition, context.clone()).map_err(told)?;
        while let Some(batch) = rows.try_next().await.map_err(told)? {
            if batch.num_rows() > 0 {
                out(to_stored(&batch, &plan.stored).map_err(|e| told(e.into()))?)?;
                given = true;
            }
        }
    }
    if !given {
        out(RecordBatch::new_empty(plan.stored))?;
    }
    Ok(())
}

/// What a plan runs with. Only its sorts are given the disk: groups that went there would come in another order, and their sums
/// of fractions would be added up in another one.
fn context(engine: &Engine, limits: Limits) -> Result<Arc<TaskContext>, DataFusionError> {
    let memory: Arc<dyn MemoryPool> =
        Arc::new(FairSpillPool::new(usize::try_from(limits.memory).unwrap_or(usize::MAX)));
    let with = |disk: DiskManagerMode| -> Result<Arc<RuntimeEnv>, DataFusionError> {
        let disk = DiskManagerBuilder::default().with_mode(disk);
        RuntimeEnvBuilder::new().with_memory_pool(memory.clone()).with_disk_manager_builder(disk).build_arc()
    };
    let without = with(DiskManagerMode::Disabled)?;
    let context = TaskContext::from(&engine.state);
    let mut config = context.session_config().clone();
    config.options_mut().execution.sort_spill_reservation_bytes = spill_reserve(limits.memory);
    if limits.spills {
        let disk = with(DiskManagerMode::OsTmpDirectory)?;
        config = config.with_extension(Arc::new(Spilling { disk, without: without.clone() }));
    }
    Ok(Arc::new(context.with_session_config(config).with_runtime(without)))
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
        DataFusionError::IoError(why) => SqlError::Disk(first_line(&why.to_string())),
        other => SqlError::Rows(first_line(&other.to_string())),
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
