//! Encoded rows to predictions. Sums are made in the order of the encoded columns (dense ones first) and exponentials by
//! libm, so that a model predicts the same bits on every machine.

mod bayes;
mod centers;
mod linear;
mod terms;

pub use bayes::naive_bayes;
pub use centers::kmeans;
pub use linear::{linear, logistic};

use super::matrix::Matrix;

/// Predictions for the rows of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub enum Scores {
    /// Probabilities row by row, `rows x classes`; each row sums to 1.
    Classes {
        classes: usize,
        probabilities: Vec<f64>,
    },
    Numbers(Vec<f64>),
    /// The nearest centre, and the squared distance to it.
    Clusters {
        clusters: Vec<u32>,
        distances: Vec<f64>,
    },
}

impl Scores {
    /// The most probable class of each row, the first of several; of clusters the nearest. Numbers have none.
    pub fn classes(&self) -> Vec<u32> {
        match self {
            Scores::Classes { classes, probabilities } => {
                probabilities.chunks_exact((*classes).max(1)).map(largest).collect()
            }
            Scores::Numbers(_) => Vec::new(),
            Scores::Clusters { clusters, .. } => clusters.clone(),
        }
    }
}

/// The place of the largest number, the first of several.
fn largest(numbers: &[f64]) -> u32 {
    let mut best = (0, f64::NEG_INFINITY);
    for (n, x) in (0u32..).zip(numbers) {
        if *x > best.1 {
            best = (n, *x);
        }
    }
    best.0
}

/// A model's parameters laid out for the rows of one layout. Made once, it scores any number of matrices.
pub trait Kernel: Send + Sync {
    /// Predictions for the rows of a matrix of the kernel's layout.
    fn score(&self, matrix: &Matrix) -> Scores;
}

#[cfg(test)]
mod tests;
