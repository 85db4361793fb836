//! Which side of a join is held.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};

use super::{EachNode, Rewritten};

/// Joins hold the table behind JOIN and stream the one before it, whose order the result then has.
pub const LEFT_FIRST: EachNode = EachNode { name: "left_first", rewrite: left_first };

fn left_first(node: Arc<dyn ExecutionPlan>) -> Rewritten {
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
}
