//! Filters that stay where they are: a rule around one of the engine's.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Pushes filters towards the rows, but for those that look at no column: below an aggregate of all rows they would say which rows are
/// counted, where they were to say whether the count is wanted.
#[derive(Debug)]
pub struct CarefulPushDown {
    engines: Arc<dyn OptimizerRule + Send + Sync>,
}

impl CarefulPushDown {
    pub fn new(engines: Arc<dyn OptimizerRule + Send + Sync>) -> Self {
        Self { engines }
    }
}

impl OptimizerRule for CarefulPushDown {
    fn name(&self) -> &str {
        self.engines.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.engines.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if let LogicalPlan::Filter(filter) = &plan
            && split_conjunction(&filter.predicate).iter().any(|part| part.column_refs().is_empty())
        {
            return Ok(Transformed::no(plan));
        }
        self.engines.rewrite(plan, config)
    }
}
