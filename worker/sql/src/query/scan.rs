//! The leaf of a query's plan: shards of a table, read by several partitions at once.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};
use shardmill_common::manifest::ShardEntry;
use shardmill_common::schema::Schema;

use super::read::{ShardRows, ShardSource, SourceError};
use super::table::{QueriedTable, statistics};
use crate::stored::arrow_schema;

/// Some columns of a table's shards.
#[derive(Debug)]
pub struct ShardScan {
    table: QueriedTable,
    source: Arc<dyn ShardSource>,
    /// Places of the columns in the table's schema.
    columns: Vec<usize>,
    /// The columns, in their types.
    schema: Schema,
    made: SchemaRef,
    /// No more rows are wanted of any partition.
    limit: Option<usize>,
    /// Which shards each partition reads.
    partitions: Vec<Vec<usize>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// Neighbouring shards for each of up to so many partitions, of about equal numbers of rows.
pub fn shared_out(shards: &[ShardEntry], partitions: usize) -> Vec<Vec<usize>> {
    let all: u64 = shards.iter().map(ShardEntry::rows).sum();
    let partitions = partitions.clamp(1, shards.len().max(1));
    let mut shares = vec![Vec::new(); partitions];
    let mut before = 0;
    for (n, shard) in shards.iter().enumerate() {
        // By where its middle lies.
        let middle = before + shard.rows() / 2;
        let share = (u128::from(middle) * partitions as u128 / u128::from(all.max(1))) as usize;
        if let Some(share) = shares.get_mut(share.min(partitions - 1)) {
            share.push(n);
        }
        before += shard.rows();
    }
    shares.retain(|share| !share.is_empty());
    if shares.is_empty() {
        shares.push(Vec::new());
    }
    shares
}

impl ShardScan {
    pub fn new(
        table: QueriedTable,
        source: Arc<dyn ShardSource>,
        columns: Vec<usize>,
        limit: Option<usize>,
        partitions: Vec<Vec<usize>>,
    ) -> Self {
        let fields = columns.iter().filter_map(|n| table.schema.fields.get(*n).cloned());
        let schema = Schema::new(fields.collect());
        let made = arrow_schema(&schema);
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(made.clone()),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        let metrics = ExecutionPlanMetricsSet::new();
        Self { table, source, columns, schema, made, limit, partitions, properties, metrics }
    }

    /// The same columns of some of its shards only, read by exactly so many partitions.
    pub fn of_shards(&self, places: &[usize], partitions: usize) -> Self {
        let shards: Vec<ShardEntry> = places.iter().filter_map(|n| self.table.shards.get(*n).cloned()).collect();
        let mut shares = shared_out(&shards, partitions);
        shares.resize(partitions, Vec::new());
        let table = QueriedTable { shards: Arc::new(shards), ..self.table.clone() };
        Self::new(table, self.source.clone(), self.columns.clone(), self.limit, shares)
    }

    pub fn table(&self) -> &QueriedTable {
        &self.table
    }

    pub fn source(&self) -> &Arc<dyn ShardSource> {
        &self.source
    }

    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    pub const fn limit(&self) -> Option<usize> {
        self.limit
    }

    pub fn partitions(&self) -> &[Vec<usize>] {
        &self.partitions
    }

    /// Bytes of the files that it reads, whole.
    pub fn bytes(&self) -> u64 {
        self.table.shards.iter().map(|shard| shard.object.bytes).sum()
    }

    fn shards_of(&self, partition: usize) -> impl Iterator<Item = &ShardEntry> {
        let shards = self.partitions.get(partition).into_iter().flatten();
        shards.filter_map(|n| self.table.shards.get(*n))
    }
}

impl DisplayAs for ShardScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shards = self.partitions.iter().map(Vec::len).sum::<usize>();
        write!(f, "ShardScan: {}, {shards} shards in {} partitions", self.table.name, self.partitions.len())?;
        write!(f, ", columns=[{}]", self.schema.names_joined())?;
        match self.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

fn external(error: SourceError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl ExecutionPlan for ShardScan {
    fn name(&self) -> &str {
        "ShardScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let partitions = match partition {
            Some(one) => one..one + 1,
            None => 0..self.partitions.len(),
        };
        let (mut rows, mut bytes) = (0, 0);
        for shard in partitions.flat_map(|n| self.shards_of(n)) {
            rows += shard.rows();
            bytes += shard.object.bytes;
        }
        Ok(Arc::new(statistics(rows, bytes, self.columns.len())))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let source = self.source.clone();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let shards: Vec<ShardEntry> = self.shards_of(partition).cloned().collect();
        let schema = self.schema.clone();
        let opened = stream::iter(shards).map(move |shard| {
            let (source, schema) = (source.clone(), schema.clone());
            // Opening may wait for a disk or for another worker.
            let opening = tokio::task::spawn_blocking(move || ShardRows::open(source, &shard, schema));
            async move {
                match opening.await {
                    Ok(opened) => opened.map_err(external),
                    Err(broke) => Err(external(SourceError::new(broke))),
                }
            }
        });
        let decoding = metrics.elapsed_compute().clone();
        let timed = move |mut rows: ShardRows| {
            let decoding = decoding.clone();
            std::iter::from_fn(move || {
                let _timer = decoding.timer();
                rows.next()
            })
        };
        let rows = opened
            .buffered(2)
            .map_ok(move |rows| stream::iter(timed(rows).map(|batch| batch.map_err(external))))
            .try_flatten();
        let rows = rows.scan(self.limit.unwrap_or(usize::MAX), |left, batch: Result<RecordBatch>| {
            let wanted = *left > 0;
            let some = batch.map(|batch| batch.slice(0, batch.num_rows().min(*left)));
            *left -= some.as_ref().map_or(0, RecordBatch::num_rows);
            futures::future::ready(wanted.then_some(some))
        });
        let rows = rows.inspect_ok(move |batch| metrics.output_rows().add(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.made.clone(), rows)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_common::ids::ObjectId;
    use shardmill_common::manifest::ObjectRef;

    fn shards(rows: &[u64]) -> Vec<ShardEntry> {
        let shard = |rows: &u64| {
            let object = ObjectRef { id: ObjectId::fresh(), bytes: 10, checksum: String::new() };
            ShardEntry { object, stored_rows: *rows, deletions: None }
        };
        rows.iter().map(shard).collect()
    }

    #[test]
    fn shards_are_shared_out_evenly_and_each_once() {
        assert_eq!(shared_out(&shards(&[5, 5, 5, 5]), 2), [vec![0, 1], vec![2, 3]]);
        assert_eq!(shared_out(&shards(&[1, 1, 1, 30]), 2), [vec![0, 1, 2], vec![3]]);
        assert_eq!(shared_out(&shards(&[3]), 8), [vec![0]]);
        assert_eq!(shared_out(&shards(&[0, 0]), 2), [vec![0, 1]]);
        assert_eq!(shared_out(&[], 2), [Vec::<usize>::new()]);
    }
}
