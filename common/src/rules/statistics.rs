//! What a rule needs to know of the whole dataset before it can be applied to one shard.

use serde::{Deserialize, Serialize};

use super::scalar::{Scalar, exact};

/// The statistics of one rule: an entry for each column it acts on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleStatistics {
    pub columns: Vec<ColumnStatistics>,
}

impl RuleStatistics {
    pub fn get(&self, column: &str) -> Option<&Statistic> {
        self.columns.iter().find(|c| c.column == column).map(|c| &c.statistic)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    pub column: String,
    pub statistic: Statistic,
}

/// What is known of one column. Nulls, and NaN in a column of floats, are left out of every statistic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Values, their mean, and their population standard deviation (ddof 0).
    Moments {
        count: u64,
        #[serde(with = "exact")]
        mean: f64,
        #[serde(with = "exact")]
        std: f64,
    },
    /// The value that fills: a mean, a median or a mode. `None` where the column has no value at all.
    Value(Option<Scalar>),
    /// The first and third quartile; `None` where the column has no value at all.
    Quartiles(Option<Quartiles>),
    /// For each shard ordinal, the last value of the shards before it.
    Carry(Vec<Carried>),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quartiles {
    #[serde(with = "exact")]
    pub first: f64,
    #[serde(with = "exact")]
    pub third: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    pub ordinal: u32,
    pub value: Option<Scalar>,
}
