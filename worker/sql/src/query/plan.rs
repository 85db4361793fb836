//! From a query's text to a plan over datasets.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType as ArrowType;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::{ExecutionPlan, displayable};
use shardmill_common::manifest::ShardEntry;
use shardmill_common::schema::Schema;

use super::bind::{numbered, parameters};
use super::names::name_tables;
use super::read::{ShardFile, ShardSource, SourceError};
use super::table::QueriedTable;
use crate::check::{Plan, parse_statement, plan_of};
use crate::engine::{Engine, Table};
use crate::error::SqlError;
use crate::guard::on_large_stack;
use crate::place::first_line;
use crate::reach::{Hiding, look_through};

/// What a query over tables of these schemas puts out, in stored types, or what is wrong with it and where.
pub fn check_query(statement: &str, tables: &[QueriedTable]) -> Result<Schema, SqlError> {
    on_large_stack(|| Ok(logical_plan(statement, tables, &nowhere(), &Engine::get().state)?.into_schema()))
}

/// How a query would be run by so many threads: the engine's plans, first as it understood the statement, then what is done.
pub fn explain_query(statement: &str, tables: &[QueriedTable], threads: usize) -> Result<String, SqlError> {
    on_large_stack(|| {
        let state = Engine::get().for_queries(threads, u64::MAX);
        let plan = logical_plan(statement, tables, &nowhere(), &state)?;
        let physical = physical_plan(&plan, &state)?;
        Ok(format!("{}\n\n{}", plan.logical.display_indent(), displayable(&*physical).indent(false)))
    })
}

/// The source of a plan that is not run.
#[derive(Debug)]
struct Nowhere;

fn nowhere() -> Arc<dyn ShardSource> {
    Arc::new(Nowhere)
}

#[derive(Debug, thiserror::Error)]
#[error("a plan that is only looked at reads no shards")]
struct NotRun;

impl ShardSource for Nowhere {
    fn open(&self, _: &ShardEntry) -> Result<ShardFile, SourceError> {
        Err(SourceError::new(NotRun))
    }

    fn place(&self, _: &[ShardEntry]) -> String {
        String::new()
    }

    fn widen(&self, _: RecordBatch, _: &Schema) -> Result<RecordBatch, SourceError> {
        Err(SourceError::new(NotRun))
    }
}

/// The types of a statement's parameters, where they follow from what stands beside them.
pub fn parameter_types(statement: &str, tables: &[QueriedTable]) -> Result<Vec<Option<ArrowType>>, SqlError> {
    on_large_stack(|| {
        let wanted = parameters(statement)?;
        let mut query = parse_statement(&numbered(statement)?)?;
        name_tables(&mut query);
        // What is wrong with a statement is told when it has its values.
        let plan = Engine::get().plan(query, &read_from(tables, &nowhere()));
        let known = plan.and_then(|plan| plan.get_parameter_types()).unwrap_or_default();
        let of = |n: usize| known.get(&format!("${}", n + 1)).cloned().flatten();
        Ok((0..wanted).map(of).collect())
    })
}

pub fn logical_plan(
    statement: &str,
    tables: &[QueriedTable],
    source: &Arc<dyn ShardSource>,
    state: &SessionState,
) -> Result<Plan, SqlError> {
    let mut query = parse_statement(statement)?;
    name_tables(&mut query);
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    look_through(&query, statement, &names, Hiding::Allowed)?;
    plan_of(query, statement, &read_from(tables, source), state)
}

/// The tables as the engine sees them, by their names.
fn read_from<'a>(tables: &'a [QueriedTable], source: &Arc<dyn ShardSource>) -> Vec<(&'a str, Table)> {
    tables.iter().map(|table| (table.name.as_str(), Table::of_dataset(table.clone(), source.clone()))).collect()
}

pub fn physical_plan(plan: &Plan, state: &SessionState) -> Result<Arc<dyn ExecutionPlan>, SqlError> {
    let planning = state.query_planner().create_physical_plan(&plan.logical, state);
    // Tables of ours wait for nothing.
    futures::executor::block_on(planning).map_err(|e| refused(&e))
}

/// Subqueries of one value that stand for themselves in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalars {
    None,
    /// Each has one row at most, whatever the data.
    OneRow,
    /// One may have several rows, which is an error that only a plan of its own finds.
    Unknown,
}

pub fn scalars(plan: &LogicalPlan) -> Result<Scalars, SqlError> {
    let mut found = Scalars::None;
    let looked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarSubquery(subquery) = part {
                    let one = subquery.subquery.max_rows().is_some_and(|rows| rows <= 1);
                    found = if one && found != Scalars::Unknown { Scalars::OneRow } else { Scalars::Unknown };
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    looked.map(|_| found).map_err(|e| refused(&e))
}

fn refused(error: &DataFusionError) -> SqlError {
    SqlError::Refused(first_line(&error.strip_backtrace()))
}
