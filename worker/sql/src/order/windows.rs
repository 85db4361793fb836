//! What is known of the order of what windows compute: nothing.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};

use super::{EachNode, only, orders_of};

shown_by_name!(PlainWindow);

/// Of what windows compute no order is known: the engine takes a count over a few rows, which begins anew with every partition, for
/// sorted, and then groups by it as if it were.
pub const PLAIN_WINDOWS: EachNode = EachNode {
    name: "plain_windows",
    rewrite: |node| match window_input(&node) {
        Some(_) => Ok(Transformed::yes(Arc::new(PlainWindow::new(node)?))),
        None => Ok(Transformed::no(node)),
    },
};

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

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Self::new(input)
    }
}

impl ExecutionPlan for PlainWindow {
    one_input!(PlainWindow);

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
