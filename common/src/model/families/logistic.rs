//! Logistic regression.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::penalty::Penalty;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeight {
    #[default]
    None,
    /// `W / (k W_c)`: the sum of row weights over that of the class times the number of classes, as scikit-learn does.
    Balanced,
    /// By class, as text. A class not named weighs 1.
    Of(BTreeMap<String, f64>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// Newton while Hessians are small: up to 500 parameters, or up to 2,000 if those of all shards take at most 128 MiB.
    /// Beyond, L-BFGS, or OWL-QN with an L1 penalty.
    #[default]
    Auto,
    /// Newton steps; with an L1 penalty coordinate descent on each quadratic model.
    Newton,
    Lbfgs,
    Owlqn,
    /// linfa-logistic on one worker: L2 only, no weights.
    Linfa,
}

/// Minimises `C * sum s_i loss_i + penalty(w)`, scikit-learn's objective (docs/training.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogisticOptions {
    pub penalty: Penalty,
    pub c: f64,
    pub class_weight: ClassWeight,
    pub fit_intercept: bool,
    /// The intercept is penalised as the coefficients are (liblinear's objective).
    pub penalise_intercept: bool,
    pub solver: Solver,
    /// On the largest component of the gradient of the mean objective, features scaled to unit variance.
    pub tol: f64,
    pub max_iter: u32,
}

/// `z = coefficients . x + intercept`, a row a class; for two classes one row, of the second class. The probability is the
/// logistic function of `z` for two classes, softmax for more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogisticParameters {
    pub coefficients: Vec<Vec<f64>>,
    pub intercept: Vec<f64>,
}
