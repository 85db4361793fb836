//! In which order rows come: physical rules that make it follow from the rows and the statement alone.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};

/// Joins hold the table behind JOIN and stream the one before it, whose order the result then has.
#[derive(Debug)]
pub struct LeftFirst;

impl PhysicalOptimizerRule for LeftFirst {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let swapped = if let Some(join) = node.downcast_ref::<HashJoinExec>() {
                // What NOT IN is planned as looks at nulls of the held side, and gives that side's rows in their order.
                if join.null_aware {
                    return Ok(Transformed::no(node));
                }
                join.swap_inputs(PartitionMode::CollectLeft)?
            } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
                join.swap_inputs()?
            } else if let Some(join) = node.downcast_ref::<CrossJoinExec>() {
                join.swap_inputs()?
            } else {
                return Ok(Transformed::no(node));
            };
            // What it gives now holds the join, which must not be swapped again.
            Ok(Transformed::yes(swapped))
        })
        .data()
    }

    fn name(&self) -> &str {
        "left_first"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Rows that a sort finds equal keep their order: the engine's own would be that of its algorithm, and of how many rows there are.
#[derive(Debug)]
pub struct StableSorts;

impl PhysicalOptimizerRule for StableSorts {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| match node.downcast_ref::<SortExec>() {
            Some(sort) if !is_stable(sort) => Ok(Transformed::yes(stable(sort)?)),
            _ => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "stable_sorts"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

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
    let sorted = SortExec::new(order, numbered)
        .with_fetch(sort.fetch())
        .with_preserve_partitioning(sort.preserve_partitioning());
    let schema = sort.input().schema();
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
        (column, field.name().clone())
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), Arc::new(sorted))?))
}

/// What plans of one input, which have no expressions, answer alike.
macro_rules! one_input {
    ($name:literal) => {
        fn name(&self) -> &str {
            $name
        }

        fn properties(&self) -> &Arc<PlanProperties> {
            &self.properties
        }

        fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
            vec![&self.input]
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
        ) -> Result<TreeNodeRecursion> {
            Ok(TreeNodeRecursion::Continue)
        }

        fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
            self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
        }
    };
}

macro_rules! shown_by_name {
    ($($plan:ty),*) => {
        $(impl DisplayAs for $plan {
            fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        })*
    };
}

shown_by_name!(Numbered, OneAfterAnother, PlainWindow);

fn only(mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    match (children.pop(), children.pop()) {
        (Some(input), None) => Ok(input),
        _ => internal_err!("a plan of one input was given others"),
    }
}

/// What is known of the order of a plan's rows, for a plan whose first columns are that one's.
fn orders_of(before: &PlanProperties, schema: SchemaRef) -> Result<EquivalenceProperties> {
    let mut known = EquivalenceProperties::new(schema);
    known.add_orderings(before.equivalence_properties().oeq_class().clone());
    known.add_equivalence_group(before.equivalence_properties().eq_group().clone())?;
    Ok(known)
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
}

impl ExecutionPlan for Numbered {
    one_input!("Numbered");

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(only(children)?)?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema.clone();
        let mut next = 0u64;
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

/// Of what windows compute no order is known: the engine takes a count over a few rows, which begins anew with every partition, for
/// sorted, and then groups by it as if it were.
#[derive(Debug)]
pub struct PlainWindows;

impl PhysicalOptimizerRule for PlainWindows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| match window_input(&node) {
            Some(_) => Ok(Transformed::yes(Arc::new(PlainWindow::new(node)?) as Arc<dyn ExecutionPlan>)),
            None => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "plain_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What a window looks at, if this is one.
fn window_input(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    let is_window = plan.is::<BoundedWindowAggExec>() || plan.is::<WindowAggExec>();
    plan.children().into_iter().next().filter(|_| is_window)
}

/// A window's rows, of whose order only that of its input is told.
#[derive(Debug)]
pub struct PlainWindow {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl PlainWindow {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let before = window_input(&input).unwrap_or(&input).properties();
        let known = orders_of(before, input.schema())?;
        let own = input.properties();
        let properties =
            PlanProperties::new(known, own.output_partitioning().clone(), own.emission_type, own.boundedness);
        Ok(Self { input, properties: Arc::new(properties) })
    }
}

impl ExecutionPlan for PlainWindow {
    one_input!("PlainWindow");

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(only(children)?)?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}

/// Parts of a plan that run beside each other, as the sides of a UNION do, give their rows one after the other.
#[derive(Debug)]
pub struct InOrder;

impl PhysicalOptimizerRule for InOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| match node.downcast_ref::<CoalescePartitionsExec>() {
            Some(all) => Ok(Transformed::yes(Arc::new(OneAfterAnother::new(all)) as Arc<dyn ExecutionPlan>)),
            None => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "in_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

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
}

impl ExecutionPlan for OneAfterAnother {
    one_input!("OneAfterAnother");

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let properties = self.properties.clone();
        Ok(Arc::new(Self { input: only(children)?, fetch: self.fetch, properties }))
    }

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
