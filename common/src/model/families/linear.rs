//! Linear regression: least squares, ridge, lasso and elastic net.

use serde::{Deserialize, Serialize};

use super::penalty::Penalty;

/// Minimises scikit-learn's objectives of LinearRegression, Ridge, Lasso and ElasticNet (docs/training.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearOptions {
    pub penalty: Penalty,
    pub alpha: f64,
    pub fit_intercept: bool,
    pub tol: f64,
    pub max_iter: u32,
}

/// The prediction is `coefficients . x + intercept`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearParameters {
    pub coefficients: Vec<f64>,
    pub intercept: f64,
}
