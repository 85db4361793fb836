//! Which side of a join is held.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};

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
