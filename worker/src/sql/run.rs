//! Running a statement. The engine may give rows in any order where SQL promises none, and may add in any order where it
//! works in parallel; here its plan is told to keep order everywhere, so that every attempt gives the same rows.

use std::sync::Arc;

use polars::prelude::{DataFrame, IntoLazy, LazyFrame, MaintainOrderJoin, PolarsResult, UniqueKeepStrategy};
use polars_expr::state::ExecutionState;
use polars_mem_engine::create_physical_plan;
use polars_plan::prelude::{AExpr, Arena, FunctionIR, IR, IRFunctionExpr, Node};
use polars_sql::SQLContext;

use super::check::prepared;
use super::functions::restore_ours;
use super::guard::on_large_stack;
use super::sums::guard_sum;
use crate::frame::to_stored;

/// The result of a statement that [`super::check`] accepted, in stored types; rows come in the order of first appearance
/// where the statement does not order them. The error is the engine's, in one line.
pub fn run(statement: &str, tables: &[(&str, &DataFrame)]) -> Result<DataFrame, String> {
    on_large_stack(|| {
        let frame = execute(&prepared(statement)?, tables).map_err(|e| first_line(&e.to_string()))?;
        stored(frame)
    })
}

pub(super) fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

fn execute(statement: &str, tables: &[(&str, &DataFrame)]) -> PolarsResult<DataFrame> {
    let mut context = SQLContext::new();
    for (name, frame) in tables {
        let mut frame = (*frame).clone();
        // How rows are cut into pieces must not show in sums.
        frame.rechunk_mut();
        context.register(name, frame.lazy());
    }
    // Leaving out a sort whose order seems not to matter would change which rows come first.
    collect(context.execute(statement)?.with_check_order(false))
}

fn collect(frame: LazyFrame) -> PolarsResult<DataFrame> {
    let mut plan = frame.to_alp_optimized()?;
    keep_order(&mut plan.lp_arena, &mut plan.expr_arena);
    // Without the streaming engine, which groups in no order.
    let mut physical = create_physical_plan(plan.lp_top, &mut plan.lp_arena, &mut plan.expr_arena, None)?;
    physical.execute(&mut ExecutionState::new())
}

/// Lets every node keep the order of its input.
fn keep_order(plans: &mut Arena<IR>, expressions: &mut Arena<AExpr>) {
    for n in 0..plans.len() {
        let node = Node(n);
        match plans.get_mut(node) {
            IR::GroupBy { maintain_order, .. } => *maintain_order = true,
            IR::Distinct { options, .. } => {
                options.maintain_order = true;
                if options.keep_strategy == UniqueKeepStrategy::Any {
                    options.keep_strategy = UniqueKeepStrategy::First;
                }
            }
            IR::Join { options, .. } => {
                let options = Arc::make_mut(options);
                if options.args.maintain_order == MaintainOrderJoin::None {
                    options.args.maintain_order = MaintainOrderJoin::LeftRight;
                }
            }
            IR::Sort { sort_options, .. } => sort_options.maintain_order = true,
            IR::Union { options, .. } => options.maintain_order = true,
            // A filter works on as many pieces as there are threads.
            IR::Filter { .. } => {
                let filter = plans.get(node).clone();
                let input = plans.add(filter);
                plans.replace(node, IR::MapFunction { input, function: FunctionIR::Rechunk });
            }
            _ => {}
        }
    }
    for n in 0..expressions.len() {
        restore_ours(Node(n), expressions);
        guard_sum(Node(n), expressions);
        match expressions.get_mut(Node(n)) {
            AExpr::Sort { options, .. } => options.maintain_order = true,
            AExpr::SortBy { sort_options, .. } => sort_options.maintain_order = true,
            AExpr::Over { order_by: Some((_, options)), .. } => options.maintain_order = true,
            AExpr::Function { function: IRFunctionExpr::Unique(stable), .. } => *stable = true,
            _ => {}
        }
    }
}

/// Every column in a stored type, or which one cannot be.
fn stored(frame: DataFrame) -> Result<DataFrame, String> {
    let height = frame.height();
    let columns = frame
        .columns()
        .iter()
        .map(|column| to_stored(column).ok_or_else(|| unstored(column.name(), &column.dtype().to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    let mut frame = DataFrame::new(height, columns).map_err(|e| first_line(&e.to_string()))?;
    frame.rechunk_mut();
    Ok(frame)
}

/// Why a column cannot be part of a result.
pub(super) fn unstored(name: &str, dtype: &str) -> String {
    let advice = match dtype {
        text if text.starts_with("list") || text.starts_with("array") => {
            "unfold it with UNNEST, or join it with ARRAY_TO_STRING(…, ',')"
        }
        text if text.starts_with("u64") => "it has values beyond 64 bits with a sign: CAST it to DOUBLE or VARCHAR",
        _ => "CAST it to BIGINT, DOUBLE, BOOLEAN, DATE, TIMESTAMP or VARCHAR",
    };
    format!("the column `{name}` is of type {dtype}, which is not stored; {advice}")
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
