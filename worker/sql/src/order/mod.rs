//! In which order rows come: physical rules that make it follow from the rows and the statement alone.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::{ExecutionPlan, PlanProperties};

/// What plans of one input, which have no expressions, answer alike; `over` makes the same of another input.
macro_rules! one_input {
    ($plan:ident) => {
        fn name(&self) -> &str {
            stringify!($plan)
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

        fn replace_children(
            self: Arc<Self>,
            children: Vec<Arc<dyn ExecutionPlan>>,
            _: ReplaceChildrenOptions,
        ) -> Result<Arc<dyn ExecutionPlan>> {
            Ok(Arc::new(self.over(only(children)?)?))
        }

        fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
            self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
        }
    };
}

macro_rules! shown_by_name {
    ($plan:ty) => {
        impl DisplayAs for $plan {
            fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

mod joins;
mod parts;
mod sorts;
mod windows;

pub use joins::LEFT_FIRST;
pub use parts::IN_ORDER;
pub use sorts::{STABLE_SORTS, Spilling};
pub use windows::{PLAIN_WINDOWS, PlainWindow};

/// A node of a plan, or what stands in its place.
pub type Rewritten = Result<Transformed<Arc<dyn ExecutionPlan>>>;

/// A rule that looks at every node of a plan by itself, those below first.
#[derive(Debug)]
pub struct EachNode {
    pub name: &'static str,
    pub rewrite: fn(Arc<dyn ExecutionPlan>) -> Rewritten,
}

impl PhysicalOptimizerRule for EachNode {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(self.rewrite).data()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}

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
