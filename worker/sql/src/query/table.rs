//! A dataset as a table of the engine's.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, Statistics};
use datafusion::datasource::TableType;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use shardmill_common::manifest::ShardEntry;
use shardmill_common::schema::Schema;

use super::read::ShardSource;
use super::scan::{ShardScan, shared_out};
use crate::stored::arrow_schema;

/// A version of a dataset that a query reads, by the name it has in the statement.
#[derive(Clone, Debug)]
pub struct QueriedTable {
    pub name: String,
    pub schema: Schema,
    pub shards: Arc<Vec<ShardEntry>>,
}

impl QueriedTable {
    pub fn rows(&self) -> u64 {
        self.shards.iter().map(ShardEntry::rows).sum()
    }
}

/// How many rows there are in so many columns, of which nothing else is known.
pub fn statistics(rows: u64, bytes: u64, columns: usize) -> Statistics {
    Statistics {
        num_rows: Precision::Exact(rows as usize),
        total_byte_size: Precision::Inexact(bytes as usize),
        column_statistics: vec![ColumnStatistics::new_unknown(); columns],
    }
}

#[derive(Debug)]
pub struct DatasetTable {
    table: QueriedTable,
    source: Arc<dyn ShardSource>,
    schema: SchemaRef,
}

impl DatasetTable {
    pub fn new(table: QueriedTable, source: Arc<dyn ShardSource>) -> Self {
        Self { schema: arrow_schema(&table.schema), table, source }
    }
}

#[async_trait]
impl TableProvider for DatasetTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = || (0..self.table.schema.len()).collect();
        let columns = projection.cloned().unwrap_or_else(all);
        let shares = shared_out(&self.table.shards, state.config().target_partitions());
        Ok(Arc::new(ShardScan::new(self.table.clone(), self.source.clone(), columns, limit, shares)))
    }
}
