//! Sorts whose result does not depend on their algorithm, and which may use the disk while nothing else may.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;

use super::{EachNode, only, orders_of};

shown_by_name!(Numbered);
shown_by_name!(OnDisk);

/// Of more rows than these, all are sorted where the first are wanted.
const FEW: usize = 10_000;

/// Rows that a sort finds equal keep their order: the engine's own would be that of its algorithm, and of how many rows there are.
pub const STABLE_SORTS: EachNode = EachNode {
    name: "stable_sorts",
    rewrite: |node| match node.downcast_ref::<SortExec>() {
        Some(sort) if !is_stable(sort) => Ok(Transformed::yes(stable(sort)?)),
        _ => Ok(Transformed::no(node)),
    },
};

fn is_stable(sort: &SortExec) -> bool {
    sort.input().downcast_ref::<Numbered>().is_some()
}

/// Sorts by the rows' numbers, too, and leaves those out behind it.
fn stable(sort: &SortExec) -> Result<Arc<dyn ExecutionPlan>> {
    let numbered = Arc::new(Numbered::new(sort.input().clone())?);
    let width = sort.input().schema().fields().len();
    let number = PhysicalSortExpr::new(Arc::new(Column::new(NUMBER, width)), SortOptions::default());
    let Some(order) = LexOrdering::new(sort.expr().iter().cloned().chain([number])) else {
        return internal_err!("a sort by nothing");
    };
    // The first few are kept while the rows go by, but in memory alone.
    let few = sort.fetch().filter(|n| *n <= FEW);
    let sorted =
        SortExec::new(order, numbered).with_fetch(few).with_preserve_partitioning(sort.preserve_partitioning());
    let schema = sort.input().schema();
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
        (column, field.name().clone())
    });
    let mut sorted: Arc<dyn ExecutionPlan> = Arc::new(OnDisk::new(Arc::new(sorted)));
    if let (Some(fetch), None) = (sort.fetch(), few) {
        sorted = Arc::new(LocalLimitExec::new(sorted, fetch));
    }
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), sorted)?))
}

/// In the settings of a plan whose sorts may use the disk while nothing else may.
#[derive(Debug)]
pub struct Spilling {
    pub disk: Arc<RuntimeEnv>,
    pub without: Arc<RuntimeEnv>,
}

/// The same context with one of the two runtimes, where there are two.
fn switched(context: Arc<TaskContext>, runtime: fn(&Spilling) -> &Arc<RuntimeEnv>) -> Arc<TaskContext> {
    match context.session_config().get_extension::<Spilling>() {
        None => context,
        Some(both) => Arc::new(TaskContext::new(
            context.task_id(),
            context.session_id(),
            context.session_config().clone(),
            context.scalar_functions().clone(),
            context.higher_order_functions().clone(),
            context.aggregate_functions().clone(),
            context.window_functions().clone(),
            runtime(&both).clone(),
        )),
    }
}

/// A sort of [`Numbered`] rows, which may put on the disk what it cannot hold.
#[derive(Debug)]
struct OnDisk {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl OnDisk {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = input.properties().clone();
        Self { input, properties }
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input))
    }
}

impl ExecutionPlan for OnDisk {
    one_input!(OnDisk);

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, switched(context, |both| &both.disk))
    }
}

/// The column of the rows' numbers. No statement can write its name.
const NUMBER: &str = "\u{1}row";

/// Its input with a number for each row, counted within the partition.
#[derive(Debug)]
struct Numbered {
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl Numbered {
    fn new(input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let mut fields = input.schema().fields().to_vec();
        fields.push(Arc::new(ArrowField::new(NUMBER, ArrowType::UInt64, false)));
        let schema = Arc::new(ArrowSchema::new_with_metadata(fields, input.schema().metadata().clone()));
        let before = input.properties();
        let known = orders_of(before, schema.clone())?;
        let properties =
            PlanProperties::new(known, before.output_partitioning().clone(), before.emission_type, before.boundedness);
        Ok(Self { input, schema, properties: Arc::new(properties) })
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Self::new(input)
    }
}

impl ExecutionPlan for Numbered {
    one_input!(Numbered);

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema.clone();
        let mut next = 0u64;
        // What is below the sort is none.
        let context = switched(context, |both| &both.without);
        let rows = self.input.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            let end = next + batch.num_rows() as u64;
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(UInt64Array::from_iter_values(next..end)));
            next = end;
            Ok(RecordBatch::try_new(schema.clone(), columns)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }
}
