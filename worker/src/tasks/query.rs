//! Running a query over whole datasets: this task plans and leads it, and puts its result into shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::sql::QueryTask;
use shardmill_common::task::TaskOutput;
use shardmill_sql::{QueriedTable, QueryError, QueryLimits, SourceError, SqlError, Team, run_query};

use super::{Context, Progress, ShardSink};
use crate::sql::{Opening, Shards, failure_in, to_frame};

pub fn run(context: &Context, task: &QueryTask) -> Result<TaskOutput, Failure> {
    let tables = task.tables.iter().map(|table| {
        let shards = table.shards.iter().map(|shard| context.entry(shard)).collect::<Result<Vec<_>, _>>()?;
        Ok(QueriedTable { name: table.name.clone(), schema: table.schema.clone(), shards: Arc::new(shards) })
    });
    let tables = tables.collect::<Result<Vec<_>, Failure>>()?;
    let shards = tables.iter().flat_map(|table| table.shards.iter());
    let team = match &context.queries {
        Some(queries) => queries.team(&context.place, shards).map_err(Failure::internal)?,
        None => None,
    };
    let together = team.is_some();
    match lead(context, task, &tables, team) {
        Ok(output) => Ok(output),
        Err(why) => {
            context.check()?;
            // A worker that was lost, or a plan that cannot be cut into parts: what the rows themselves forbid is found again.
            if !together || matches!(why, QueryError::Sql(SqlError::Memory { .. })) {
                return Err(failure(context, why));
            }
            tracing::warn!(attempt = %context.attempt, %why, "a query on several workers broke; it is run again on this one alone");
            context.discard();
            context.progress.rows.store(0, Ordering::Relaxed);
            context.progress.bytes.store(0, Ordering::Relaxed);
            lead(context, task, &tables, None).map_err(|why| failure(context, why))
        }
    }
}

/// What broke a query. Where the attempt was to end, that is why.
fn failure(context: &Context, error: QueryError) -> Failure {
    if let Err(killed) = context.check() {
        return killed;
    }
    match error {
        QueryError::Sql(why @ SqlError::Engine(_)) => Failure::internal(why),
        QueryError::Sql(why) => Failure::bad_input(why),
        QueryError::Disk(why) => context.fetch.store.incoming_failure(&why),
        QueryError::Around(why) => why.0.downcast_ref().cloned().unwrap_or_else(|| Failure::internal(why)),
        QueryError::Elsewhere(why) => failure_in(&why).unwrap_or_else(|| Failure::internal(why)),
    }
}

fn lead(
    context: &Context,
    task: &QueryTask,
    tables: &[QueriedTable],
    team: Option<Team>,
) -> Result<TaskOutput, QueryError> {
    let opening = opening(context.progress.clone(), context.cancelled.clone());
    let source = Shards { fetch: context.fetch.clone(), place: context.place.clone(), opening: Some(opening) };
    let around = |failure: Failure| QueryError::Around(SourceError::new(failure));
    let scratch = context.scratch().map_err(around)?;
    let stop = || context.is_cancelled();
    let limits = QueryLimits {
        memory: task.memory.unwrap_or(context.budget),
        threads: context.threads(),
        scratch: scratch.path().to_owned(),
        stop: &stop,
    };
    let mut sink = ShardSink::new(context);
    let mut take = |rows| to_frame(&rows).and_then(|frame| sink.push(frame)).map_err(SourceError::new);
    let ran = run_query(&task.statement, tables, Arc::new(source), &limits, team, &mut take)?;
    context.progress.set_log(ran.plan);
    let mut output = TaskOutput { spilled: ran.spilled, schema: Some(ran.schema), ..Default::default() };
    output.counters.add(Counter::RowsIn, tables.iter().map(QueriedTable::rows).sum());
    sink.finish(&mut output).map_err(around)?;
    Ok(output)
}

/// Counts a shard that is opened here, unless the attempt is to end.
fn opening(progress: Arc<Progress>, cancelled: Arc<AtomicBool>) -> Opening {
    Arc::new(move |shard| {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Failure::Killed);
        }
        progress.rows.fetch_add(shard.rows(), Ordering::Relaxed);
        progress.bytes.fetch_add(shard.object.bytes, Ordering::Relaxed);
        Ok(())
    })
}
