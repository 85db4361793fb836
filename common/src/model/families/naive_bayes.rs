//! Gaussian naive Bayes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NaiveBayesOptions {
    /// Share of the largest variance of all features that is added to variances.
    pub var_smoothing: f64,
    /// Class priors, by class; `None`: as frequent as in the data.
    pub priors: Option<BTreeMap<String, f64>>,
}

/// Of each class: the weight of its rows, and of each feature mean and sum of squared deviations. The variance is
/// `squares / weight + epsilon`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NaiveBayesParameters {
    pub weights: Vec<f64>,
    pub priors: Vec<f64>,
    pub means: Vec<Vec<f64>>,
    pub squares: Vec<Vec<f64>>,
    pub epsilon: f64,
}

impl NaiveBayesParameters {
    /// `squares / weight + epsilon` of each class and feature.
    pub fn variances(&self) -> Vec<Vec<f64>> {
        let of = |(weight, row): (&f64, &Vec<f64>)| row.iter().map(|s| s / weight + self.epsilon).collect();
        self.weights.iter().zip(&self.squares).map(of).collect()
    }
}
