//! Running a query on threads of its own, until it is done or is to end.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::common::{DataFusionError, exec_err};
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::TrackConsumersPool;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::object_store::ObjectStore;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion_distributed::{
    DistributedExec, DistributedMetricsFormat, display_plan_ascii, rewrite_distributed_plan_with_metrics,
};
use futures::StreamExt;
use shardmill_common::schema::Schema;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

use super::memory::SharedMemory;
use super::plan::{Scalars, logical_plan, physical_plan, scalars};
use super::read::{ShardSource, SourceError};
use super::spread::Team;
use super::table::QueriedTable;
use super::threads::{panics, query_runtime};
use crate::check::Plan;
use crate::engine::Engine;
use crate::error::SqlError;
use crate::guard::on_large_stack;
use crate::run::told;
use crate::stored::to_stored;

/// How long the workers of a query may take to tell how it went.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// How long what runs in this process for a query that was broken off may take to hear of it.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
/// Results that wait for whoever takes them.
const AHEAD: usize = 2;
/// Users of memory that a message names where there is not enough.
const NAMED: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// How often a query that runs is asked whether it should.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const BROKE: &str = "the engine broke on this query";

/// What a query may use.
pub struct QueryLimits<'a> {
    /// Bytes that its sorts, groups and joins may hold together. What can goes to disk beyond it.
    pub memory: u64,
    /// Threads that compute.
    pub threads: usize,
    /// The folder for what does not fit in memory.
    pub scratch: PathBuf,
    /// Whether it is to end.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// Plans read shards, and no files: what a plan from elsewhere names is not there.
#[derive(Debug)]
struct NoFiles;

impl ObjectStoreRegistry for NoFiles {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, DataFusionError> {
        exec_err!("a query reads no files, and {url} is one")
    }
}

/// Memory for a query's parts, and a folder for what does not fit into it.
pub fn environment(memory: u64, scratch: PathBuf) -> Result<Arc<RuntimeEnv>, SqlError> {
    let pool = SharedMemory::new(usize::try_from(memory).unwrap_or(usize::MAX));
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![scratch]));
    RuntimeEnvBuilder::new()
        .with_object_store_registry(Arc::new(NoFiles))
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, NAMED)))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|e| no_engine(&e))
}

pub fn no_engine(why: &dyn std::fmt::Display) -> SqlError {
    SqlError::Engine(format!("the query cannot begin: {why}"))
}

/// Why a query did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// What the source of shards, or whoever takes the rows, said.
    #[error(transparent)]
    Around(SourceError),
    /// What another worker said, or the way to it.
    #[error("{0}")]
    Elsewhere(String),
    /// What did not fit in memory could not be written to disk.
    #[error("{0}")]
    Disk(std::io::Error),
}

/// How a query ran.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What it put out, in stored types.
    pub schema: Schema,
    /// Its plan, with what each part of it did.
    pub plan: String,
    /// Bytes it wrote to disk for want of memory.
    pub spilled: u64,
}

/// Runs a query; `take` is given its rows in stored types, in their order.
pub fn run_query(
    statement: &str,
    tables: &[QueriedTable],
    source: Arc<dyn ShardSource>,
    limits: &QueryLimits<'_>,
    team: Option<Team>,
    take: &mut dyn FnMut(RecordBatch) -> Result<(), SourceError>,
) -> Result<Ran, QueryError> {
    let panics = panics();
    let (plan, physical, state) = on_large_stack(|| planned(statement, tables, &source, limits, team))?;
    let environment = environment(limits.memory, limits.scratch.clone())?;
    let context = Arc::new(TaskContext::from(&state).with_runtime(environment));
    let runtime = query_runtime(limits.threads)?;
    // Clocks of a runtime stand still while all its threads compute.
    let front = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|e| no_engine(&e))?;
    let stored = plan.stored.clone();
    let (mut batches, work) = rows_of(physical.clone(), context, &runtime);
    let aborting = work.abort_handle();
    let end = front.block_on(async {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                biased;
                _ = look.tick() => if (limits.stop)() {
                    return Err(SqlError::Stopped.into());
                },
                batch = batches.recv() => match batch {
                    // Whether that was the end, or a panic of the engine's.
                    None => return Ok(work.await.map_err(|_| SqlError::Engine(BROKE.to_owned()))?),
                    Some(Err(e)) => return Err(around(&e, limits.memory)),
                    Some(Ok(batch)) => {
                        let batch = to_stored(&batch, &stored).map_err(|e| SqlError::Rows(e.to_string()))?;
                        take(batch).map_err(QueryError::Around)?;
                    }
                },
            }
        }
    });
    let ran = end.and_then(|()| {
        // A panic of a thread that did a part may look like the end of its rows.
        if self::panics() != panics {
            return Err(SqlError::Engine(BROKE.to_owned()).into());
        }
        let told = front.block_on(async {
            // Workers tell what they did when they are done; one that does not is not waited for.
            let told = rewrite_distributed_plan_with_metrics(physical.clone(), DistributedMetricsFormat::Aggregated);
            tokio::time::timeout(TOLD_WITHIN, told).await
        });
        let told = told.ok().and_then(Result::ok).unwrap_or(physical);
        let spread = told.is::<DistributedExec>();
        let shown = if spread {
            display_plan_ascii(&*told, true)
        } else {
            DisplayableExecutionPlan::with_metrics(&*told).indent(false).to_string()
        };
        Ok(Ran { schema: plan.into_schema(), plan: shown, spilled: spilled(&*told) })
    });
    drop(batches);
    match &ran {
        Ok(_) => runtime.shutdown_background(),
        // Parts that ran in this process are told of the end, and let go of what they hold, by this runtime.
        Err(_) => {
            aborting.abort();
            let later = std::thread::Builder::new().name("query end".into());
            let waiting = later.spawn(move || {
                std::thread::sleep(ENDS_WITHIN);
                runtime.shutdown_background();
            });
            if let Err(e) = waiting {
                tracing::warn!("no thread to end a query: {e}");
            }
        }
    }
    ran
}

/// The plans of a query: spread over the team, if there is one and that means the same.
fn planned(
    statement: &str,
    tables: &[QueriedTable],
    source: &Arc<dyn ShardSource>,
    limits: &QueryLimits<'_>,
    team: Option<Team>,
) -> Result<(Plan, Arc<dyn ExecutionPlan>, SessionState), SqlError> {
    let alone = Engine::get().for_queries(limits.threads, limits.memory);
    let plan = logical_plan(statement, tables, source, &alone)?;
    let team = team.map(|team| Ok((scalars(&plan.logical)?, team))).transpose()?;
    let (plan, state) = match team {
        None | Some((Scalars::Unknown, _)) => (plan, alone),
        Some((found, team)) => {
            // With one partition, a plan has nothing in it at which it could be cut into parts.
            let state = team.spread(Engine::get().for_queries(limits.threads.max(2), limits.memory), limits.memory)?;
            match found {
                // Joined to the rows, as the engine for several workers needs them.
                Scalars::OneRow => (logical_plan(statement, tables, source, &state)?, state),
                _ => (plan, state),
            }
        }
    };
    let physical = physical_plan(&plan, &state)?;
    Ok((plan, physical, state))
}

/// The rows as they are made, by threads of the runtime: whoever takes them can look up meanwhile.
fn rows_of(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    runtime: &Runtime,
) -> (mpsc::Receiver<Result<RecordBatch, DataFusionError>>, JoinHandle<()>) {
    let (send, receive) = mpsc::channel(AHEAD);
    let work = runtime.spawn(async move {
        let mut rows = match execute_stream(plan, context) {
            Ok(rows) => rows,
            // Where this and what follows fails, nobody listens any more.
            Err(e) => {
                let _ = send.send(Err(e)).await;
                return;
            }
        };
        while let Some(batch) = rows.next().await {
            if send.send(batch).await.is_err() {
                return;
            }
        }
    });
    (receive, work)
}

/// What broke a query: the source's own error as it was, or the engine's in a user's words.
fn around(error: &DataFusionError, memory: u64) -> QueryError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(source) = error.downcast_ref::<SourceError>() {
            return QueryError::Around(source.clone());
        }
        cause = error.source();
    }
    match error.find_root() {
        DataFusionError::IoError(why) => QueryError::Disk(std::io::Error::new(why.kind(), why.to_string())),
        DataFusionError::External(why) => QueryError::Elsewhere(why.to_string()),
        _ => QueryError::Sql(told(error, memory)),
    }
}

fn spilled(plan: &dyn ExecutionPlan) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or(0) as u64;
    own + plan.children().into_iter().map(|child| spilled(&**child)).sum::<u64>()
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
