//! In which order rows come: physical rules that make it follow from the rows and the statement alone.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, internal_err};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::{ExecutionPlan, PlanProperties};

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

pub use joins::LeftFirst;
pub use parts::InOrder;
pub use sorts::{Spilling, StableSorts};
pub use windows::{PlainWindow, PlainWindows};

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
