//! A query on several workers: each reads the shards that it holds, and what they find goes from worker to worker. The engine for
//! that is datafusion-distributed; here is what it must know of shards.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::catalog::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err, plan_err};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::{
    ChannelResolver, DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedExt, DistributedLeafExec,
    LocalWorkerContext, RouteTasksEvent, RouteTasksEventResponse, ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse,
    SessionStateBuilderExt, Worker, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse, WorkerQueryContext,
    WorkerResolver,
};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serde::{Deserialize, Serialize};
use shardmill_common::ids::ObjectId;
use shardmill_common::manifest::ShardEntry;
use shardmill_common::schema::Schema;
use url::Url;

use super::read::ShardSource;
use super::scan::ShardScan;
use super::table::QueriedTable;
use crate::engine::Engine;
use crate::error::SqlError;
use crate::order::PlainWindow;

/// Bytes of rows that wait on the way from one worker.
const LEAST_WAITING: usize = 1 << 20;
const MOST_WAITING: usize = 64 << 20;

/// Makes sources of shards for queries that other workers lead.
pub trait Sources: fmt::Debug + Send + Sync {
    /// The source that is in this place, as [`ShardSource::place`] told.
    fn at(&self, place: &str) -> Option<Arc<dyn ShardSource>>;
}

/// The workers that a query may be spread over.
pub struct Team {
    /// Their doors.
    pub urls: Vec<Url>,
    /// Which of them hold a shard's file.
    pub holders: HashMap<ObjectId, Vec<usize>>,
    /// The ways to them.
    pub channels: Arc<dyn ChannelResolver + Send + Sync>,
    /// The one in this process.
    pub local: LocalWorkerContext,
    /// Tables of fewer bytes are read by one worker: the others would wait for it longer than they could help.
    pub small: u64,
}

/// What answers other workers' queries for their parts. All parts on this worker share the environment.
pub fn query_worker(
    environment: Arc<RuntimeEnv>,
    sources: Arc<dyn Sources>,
    channels: Arc<dyn ChannelResolver + Send + Sync>,
) -> Worker {
    let session = move |context: WorkerQueryContext| {
        let codec = ScanCodec { sources: Some(sources.clone()) };
        let state = Engine::get()
            .with_functions(context.builder)
            .with_distributed_user_codec(codec)
            .with_distributed_channel_resolver(channels.clone())
            .with_distributed_worker_plan_rewrite_handler(no_files)
            .build();
        async move { Ok::<_, DataFusionError>(state) }
    };
    Worker::from_session_builder(session).with_runtime_env(environment)
}

/// Refuses a plan that reads or writes files: queries do not.
fn no_files(event: WorkerPlanRewriteEvent<'_>) -> Result<WorkerPlanRewriteEventResponse> {
    event.plan.apply(|node| {
        let reads = node
            .downcast_ref::<DataSourceExec>()
            .is_some_and(|source| source.data_source().downcast_ref::<MemorySourceConfig>().is_none());
        match reads || node.is::<DataSinkExec>() {
            true => plan_err!("{} has no place in a query", node.name()),
            false => Ok(TreeNodeRecursion::Continue),
        }
    })?;
    Ok(WorkerPlanRewriteEventResponse::new(event.plan))
}

/// The shards that each of the first so many workers reads, in order: each shard one that holds it, and all about as many rows.
fn placed(shards: &[ShardEntry], holders: &HashMap<ObjectId, Vec<usize>>, workers: usize) -> Vec<Vec<usize>> {
    let mut rows = vec![0u64; workers];
    let mut places = vec![Vec::new(); workers];
    for (n, shard) in shards.iter().enumerate() {
        let known = holders.get(&shard.object.id).map_or(&[][..], Vec::as_slice);
        let here = |worker: &usize| known.contains(worker);
        let least = (0..workers).min_by_key(|worker| (!here(worker), rows.get(*worker).copied()));
        let Some(worker) = least else { continue };
        if let (Some(place), Some(sum)) = (places.get_mut(worker), rows.get_mut(worker)) {
            place.push(n);
            *sum += shard.rows();
        }
    }
    places
}

impl Team {
    /// The state of a query that this team computes.
    pub fn spread(self, state: SessionState, memory: u64) -> Result<SessionState, SqlError> {
        let (team, small) = (self.urls.len(), self.small);
        let threads = state.config().target_partitions();
        let holders = Arc::new(self.holders);
        let wanted = move |event: DesiredTaskCountEvent<'_>| {
            let scan = event.plan.downcast_ref::<ShardScan>()?;
            // What one partition reads is not brought together above it: each of several tasks would take its rows for all.
            Some(Ok(match scan.partitions().len() {
                0 | 1 => DesiredTaskCountEventResponse::maximum(1),
                _ if scan.bytes() < small => DesiredTaskCountEventResponse::desired(1),
                _ => DesiredTaskCountEventResponse::desired(team),
            }))
        };
        let parts = move |event: ScaleUpLeafNodeEvent<'_>| {
            let scan = event.plan.downcast_ref::<ShardScan>()?;
            if event.task_count < 2 {
                return None;
            }
            let places = placed(&scan.table().shards, &holders, event.task_count);
            let parts = places.iter().map(|place| Arc::new(scan.of_shards(place, threads)) as Arc<dyn ExecutionPlan>);
            let leaf = DistributedLeafExec::try_new(event.plan.clone(), parts);
            Some(leaf.map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf))))
        };
        let urls = self.urls.clone();
        let routes =
            move |event: RouteTasksEvent<'_>| reads_shards(&event).then(|| Ok(routed(&urls, event.task_count)));
        // What waits on the ways to the others must leave memory for work.
        let waiting =
            usize::try_from(memory / (8 * team as u64)).unwrap_or(usize::MAX).clamp(LEAST_WAITING, MOST_WAITING);
        let state = SessionStateBuilder::new_from_existing(state)
            .with_distributed_worker_resolver(Urls(self.urls))
            .with_distributed_channel_resolver(self.channels)
            .with_distributed_local_worker_context(self.local)
            .with_distributed_user_codec(ScanCodec { sources: None })
            .with_distributed_desired_task_count_handler(wanted)
            .with_distributed_scale_up_leaf_node_handler(parts)
            .with_distributed_route_tasks_handler(routes)
            .with_distributed_worker_connection_buffer_budget_bytes(waiting)
            .map_err(|e| SqlError::Engine(e.to_string()))?
            .with_distributed_planner()
            .build();
        Ok(state)
    }
}

/// Whether tasks read shards, each those of one worker.
fn reads_shards(event: &RouteTasksEvent<'_>) -> bool {
    let mut found = false;
    let looked = event.plan.apply(|node| {
        found |= node.downcast_ref::<DistributedLeafExec>().is_some_and(|leaf| leaf.original().is::<ShardScan>());
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    looked.is_ok() && found
}

fn routed(urls: &[Url], tasks: usize) -> RouteTasksEventResponse {
    RouteTasksEventResponse::new(urls.iter().cycle().take(tasks).cloned().collect())
}

struct Urls(Vec<Url>);

impl WorkerResolver for Urls {
    fn get_urls(&self) -> Result<Vec<Url>> {
        Ok(self.0.clone())
    }
}

/// A part of a plan that is not the engine's, on its way to another worker.
#[derive(Serialize, Deserialize)]
enum Message {
    Scan(Box<ScanMessage>),
    PlainWindow,
}

#[derive(Serialize, Deserialize)]
struct ScanMessage {
    name: String,
    schema: Schema,
    shards: Vec<ShardEntry>,
    columns: Vec<usize>,
    limit: Option<usize>,
    partitions: Vec<Vec<usize>>,
    /// Where the shards are, in the source's words.
    place: String,
}

impl ScanMessage {
    fn of(scan: &ShardScan) -> Self {
        let table = scan.table();
        Self {
            name: table.name.clone(),
            schema: table.schema.clone(),
            shards: table.shards.to_vec(),
            columns: scan.columns().to_vec(),
            limit: scan.limit(),
            partitions: scan.partitions().to_vec(),
            place: scan.source().place(&table.shards),
        }
    }
}

/// Writes and reads scans. Who leads a query only writes them.
struct ScanCodec {
    sources: Option<Arc<dyn Sources>>,
}

impl fmt::Debug for ScanCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScanCodec")
    }
}

impl PhysicalExtensionCodec for ScanCodec {
    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        to: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let message = if node.is::<PlainWindow>() {
            Message::PlainWindow
        } else if let Some(scan) = node.downcast_ref::<ShardScan>() {
            Message::Scan(Box::new(ScanMessage::of(scan)))
        } else {
            return internal_err!("{} cannot be sent to another worker", node.name());
        };
        serde_json::to_writer(to, &message).map_err(|e| DataFusionError::External(Box::new(e)))
    }

    fn try_decode(
        &self,
        from: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let message = serde_json::from_slice(from).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let message: ScanMessage = match (message, inputs) {
            (Message::Scan(scan), []) => *scan,
            (Message::PlainWindow, [input]) => return Ok(Arc::new(PlainWindow::new(input.clone())?)),
            _ => return internal_err!("a part of a plan has other inputs than it was sent with"),
        };
        let Some(source) = self.sources.as_ref().and_then(|sources| sources.at(&message.place)) else {
            return internal_err!("there is no source of shards here");
        };
        let table = QueriedTable { name: message.name, schema: message.schema, shards: Arc::new(message.shards) };
        Ok(Arc::new(ShardScan::new(table, source, message.columns, message.limit, message.partitions)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, RecordBatch};
    use datafusion::catalog::{MemTable, TableProvider};
    use datafusion::datasource::physical_plan::{CsvSource, FileScanConfigBuilder};
    use datafusion::execution::object_store::ObjectStoreUrl;
    use datafusion::logical_expr::dml::InsertOp;
    use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
    use datafusion::prelude::SessionConfig;
    use shardmill_common::manifest::ObjectRef;

    #[test]
    fn plans_that_read_or_write_files_are_refused() {
        let key: arrow::array::ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let rows = RecordBatch::try_from_iter([("k", key)]).unwrap();
        let schema = rows.schema();
        let memory = MemorySourceConfig::try_new_exec(&[vec![rows]], schema.clone(), None).unwrap();
        let source = Arc::new(CsvSource::new(schema.clone()));
        let files = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source).build();
        let table = MemTable::try_new(schema, vec![Vec::new()]).unwrap();
        let writing = table.insert_into(&Engine::get().state, memory.clone(), InsertOp::Append);
        let writing = futures::executor::block_on(writing).unwrap();
        assert!(writing.is::<DataSinkExec>());
        let refused = |plan: Arc<dyn ExecutionPlan>| {
            let config = SessionConfig::new();
            let above: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(plan));
            no_files(WorkerPlanRewriteEvent { plan: above, session_config: &config }).err().map(|e| e.to_string())
        };
        assert_eq!(refused(memory), None);
        let said = refused(DataSourceExec::from_data_source(files)).unwrap();
        assert!(said.contains("DataSourceExec has no place in a query"), "{said}");
        let said = refused(writing).unwrap();
        assert!(said.contains("DataSinkExec has no place in a query"), "{said}");
    }

    #[test]
    fn shards_go_to_workers_that_hold_them_and_evenly() {
        let shard = |rows: u64| {
            let object = ObjectRef { id: ObjectId::fresh(), bytes: 10, checksum: String::new() };
            ShardEntry { object, stored_rows: rows, deletions: None }
        };
        let shards: Vec<ShardEntry> = [5, 5, 5, 5, 1].map(shard).to_vec();
        let held = |of: &[&[usize]]| shards.iter().map(|s| s.object.id).zip(of.iter().map(|h| h.to_vec())).collect();
        // All have all.
        assert_eq!(placed(&shards, &held(&[&[0, 1, 2][..]; 5]), 3), [vec![0, 3], vec![1, 4], vec![2]]);
        // One copy each.
        assert_eq!(placed(&shards, &held(&[&[2], &[2], &[0], &[1], &[0]]), 3), [vec![2, 4], vec![3], vec![0, 1]]);
        // What nobody of them holds is read by one all the same.
        assert_eq!(placed(&shards, &held(&[&[2], &[1], &[0], &[0], &[1]]), 2), [vec![0, 2, 3], vec![1, 4]]);
        assert_eq!(placed(&[], &held(&[]), 2), [vec![], Vec::<usize>::new()]);
    }
}
