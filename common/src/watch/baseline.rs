//! How a model's features were distributed in the data it was trained on.

use serde::{Deserialize, Serialize};

/// The training data's distribution of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FeatureBaseline {
    /// Bin `n` holds the values of at least `edges[n - 1]` and less than `edges[n]`; there is one bin more than edges.
    Numeric { edges: Vec<f64>, counts: Vec<u64>, missing: u64 },
    /// In the order of the encoder's categories.
    Categories { counts: Vec<u64>, missing: u64 },
}

impl FeatureBaseline {
    pub fn counts(&self) -> &[u64] {
        match self {
            FeatureBaseline::Numeric { counts, .. } | FeatureBaseline::Categories { counts, .. } => counts,
        }
    }

    pub fn missing(&self) -> u64 {
        match self {
            FeatureBaseline::Numeric { missing, .. } | FeatureBaseline::Categories { missing, .. } => *missing,
        }
    }
}

/// The training data's distributions, or those of an even sample of its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Rows that the counts are of.
    pub rows: u64,
    /// In the order of the encoder's features.
    pub features: Vec<FeatureBaseline>,
    /// For models of a number: the label's deciles, by which predictions are counted.
    #[serde(default)]
    pub label_edges: Vec<f64>,
}
