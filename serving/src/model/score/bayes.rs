//! Classes by Gaussian naive Bayes.

use std::f64::consts::PI;

use shardmill_common::model::NaiveBayesParameters;

use super::terms::{Term, Terms, at, one_hot, softmax};
use super::{Kernel, Scores};
use crate::model::matrix::{Layout, Matrix};

/// `(x - mean)^2 / divisor`.
struct Deviation {
    mean: f64,
    divisor: f64,
}

impl Term for Deviation {
    #[inline(always)]
    fn of(&self, x: f64) -> f64 {
        let difference = x - self.mean;
        difference * difference / self.divisor
    }
}

struct Bayes(Vec<Terms<Deviation>>);

pub fn naive_bayes(parameters: &NaiveBayesParameters, layout: &Layout) -> Box<dyn Kernel> {
    Box::new(Bayes(terms(parameters, layout)))
}

impl Kernel for Bayes {
    fn score(&self, matrix: &Matrix) -> Scores {
        softmax(&self.0, matrix)
    }
}

/// As scikit-learn's `GaussianNB._joint_log_likelihood`; the factor -1/2 of the deviations is in their divisor.
fn terms(parameters: &NaiveBayesParameters, layout: &Layout) -> Vec<Terms<Deviation>> {
    let NaiveBayesParameters { weights, priors, means, squares, epsilon } = parameters;
    (0..priors.len())
        .map(|class| {
            let of = |parameters: &[Vec<f64>], column| parameters.get(class).map_or(0.0, |p| at(p, column));
            let weight = weights.get(class).copied().unwrap_or(0.0);
            let variance = |column| if weight > 0.0 { of(squares, column) / weight + epsilon } else { *epsilon };
            let deviation = |column| Deviation { mean: of(means, column), divisor: -2.0 * variance(column) };
            let logs: f64 = (0..layout.width as u32).map(|column| libm::log(2.0 * PI * variance(column))).sum();
            Terms {
                start: libm::log(priors.get(class).copied().unwrap_or(0.0)) - 0.5 * logs,
                dense: layout.dense.iter().map(|column| deviation(*column)).collect(),
                codes: layout.codes.iter().map(|c| one_hot(*c, &deviation)).collect(),
            }
        })
        .collect()
}
