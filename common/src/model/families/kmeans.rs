//! Clusters by k-means.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KMeansOptions {
    pub clusters: u32,
    pub max_iter: u32,
    /// On the sum of squared moves of the centres, as a share of the mean variance of the features.
    pub tol: f64,
    /// Rounds of k-means||.
    pub seeding_rounds: u32,
}

/// The cluster is the nearest centre, by squared distance, the first of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KMeansParameters {
    pub centers: Vec<Vec<f64>>,
    pub inertia: f64,
    pub sizes: Vec<u64>,
}
