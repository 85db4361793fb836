//! Which side of a semi or anti join is held in memory, where sizes do not tell: the subquery's.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{JoinType, Result};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

use crate::order::EachNode;

/// Takes up where the engine's choice by sizes gives up, and holds the side before the join whatever comes behind it. A subquery that
/// groups, or joins, is of unknown size to the engine, and mostly the smaller one.
pub const HOLD_SUBQUERY: EachNode = EachNode {
    name: "hold_subquery",
    rewrite: |node| match node.downcast_ref::<HashJoinExec>() {
        Some(join) if is_open(join)? => Ok(Transformed::yes(join.swap_inputs(*join.partition_mode())?)),
        _ => Ok(Transformed::no(node)),
    },
};

/// Whether a join holds what it keeps rows of, and nothing is known of the other side: a subquery that only reads a table is known, and
/// may be large. What NOT IN is planned as must hold what it does.
fn is_open(join: &HashJoinExec) -> Result<bool> {
    let held_by_default = matches!(join.join_type(), JoinType::LeftSemi | JoinType::LeftAnti) && !join.null_aware;
    Ok(held_by_default && !is_measured(join.right())?)
}

#[expect(deprecated, reason = "the successor needs a context that rules are not given")]
fn is_measured(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let known = plan.partition_statistics(None)?;
    Ok(known.num_rows.get_value().is_some())
}
