//! Parts of a plan that give their rows one after the other.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::{EachNode, only};

shown_by_name!(OneAfterAnother);

/// Parts of a plan that run beside each other, as the sides of a UNION do, give their rows one after the other.
pub const IN_ORDER: EachNode = EachNode {
    name: "in_order",
    rewrite: |node| match node.downcast_ref::<CoalescePartitionsExec>() {
        Some(all) => Ok(Transformed::yes(Arc::new(OneAfterAnother::new(all)))),
        None => Ok(Transformed::no(node)),
    },
};

/// The rows of all partitions of its input, those of the first one first.
#[derive(Debug)]
struct OneAfterAnother {
    input: Arc<dyn ExecutionPlan>,
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl OneAfterAnother {
    fn new(all: &CoalescePartitionsExec) -> Self {
        Self { input: all.input().clone(), fetch: all.fetch(), properties: all.properties().clone() }
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self { input, fetch: self.fetch, properties: self.properties.clone() })
    }
}

impl ExecutionPlan for OneAfterAnother {
    one_input!(OneAfterAnother);

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        debug_assert_eq!(partition, 0);
        let input = self.input.clone();
        debug_assert!(matches!(self.properties.output_partitioning(), Partitioning::UnknownPartitioning(1)));
        let count = input.properties().output_partitioning().partition_count();
        let parts = stream::iter(0..count).map(move |part| input.execute(part, context.clone())).try_flatten();
        let mut left = self.fetch.unwrap_or(usize::MAX);
        let rows = parts.map_ok(move |batch: RecordBatch| {
            let some = batch.slice(0, batch.num_rows().min(left));
            left -= some.num_rows();
            some
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), rows)))
    }
}
