//! Grouping without SQL: what is computed of each group, and the partial and final steps of it.

use serde::{Deserialize, Serialize};

use crate::name::{DatasetName, DatasetRef};
use crate::schema::Schema;
use crate::task::{ShardInput, TaskRange};

/// What is computed of the values of a group. Nulls are left out, except by `count()`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Rows (without a column), or values that are not null.
    Count,
    Sum,
    Mean,
    Min,
    Max,
    /// Of a sample: divided by n - 1.
    Variance,
    StdDev,
    /// Different values, exactly.
    Distinct,
    /// Different values by HyperLogLog.
    ApproxDistinct,
    /// The value at this share of the sorted values, interpolated linearly as pandas and NumPy do; 0.5 is the median.
    Quantile(f64),
}

/// One column of the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    pub name: String,
    pub function: Function,
    /// `None` for `count()`.
    pub column: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateSpec {
    pub input: DatasetRef,
    pub output: DatasetName,
    /// Empty: one row over everything.
    pub by: Vec<String>,
    pub aggregates: Vec<Aggregate>,
    pub replicas: Option<u32>,
}

/// The partial aggregates of a shard, into the shuffle by the hash of the keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateTask {
    pub input: ShardInput,
    pub schema: Schema,
    pub by: Vec<String>,
    pub aggregates: Vec<Aggregate>,
    pub partitions: u32,
    /// For messages: the dataset's name.
    pub source_name: String,
}

/// The final aggregates of partitions `from..to`, sorted by key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergeGroupsTask {
    pub runs: TaskRange,
    pub partitions: (u32, u32),
    /// Of the input dataset.
    pub schema: Schema,
    pub by: Vec<String>,
    pub aggregates: Vec<Aggregate>,
    /// Partitions of the map side in all.
    pub of: u32,
    pub source_name: String,
}
