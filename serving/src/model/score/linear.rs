//! Classes and numbers by sums of products.

use shardmill_common::model::{LinearParameters, LogisticParameters};

use super::terms::{Term, Terms, at, rows, softmax};
use super::{Kernel, Scores};
use crate::model::matrix::{Layout, Matrix};

/// `coefficient * x`.
struct Product(f64);

impl Term for Product {
    #[inline(always)]
    fn of(&self, x: f64) -> f64 {
        self.0 * x
    }
}

struct TwoClasses(Vec<Terms<Product>>);
struct Softmax(Vec<Terms<Product>>);
struct Numbers(Vec<Terms<Product>>);

pub fn logistic(parameters: &LogisticParameters, layout: &Layout) -> Box<dyn Kernel> {
    let terms = linear_terms(&parameters.coefficients, &parameters.intercept, layout);
    if terms.len() <= 1 { Box::new(TwoClasses(terms)) } else { Box::new(Softmax(terms)) }
}

pub fn linear(parameters: &LinearParameters, layout: &Layout) -> Box<dyn Kernel> {
    let coefficients = std::slice::from_ref(&parameters.coefficients);
    Box::new(Numbers(linear_terms(coefficients, &[parameters.intercept], layout)))
}

impl Kernel for TwoClasses {
    fn score(&self, matrix: &Matrix) -> Scores {
        let probabilities = one_per_row(&self.0, matrix).into_iter().flat_map(sigmoids).collect();
        Scores::Classes { classes: 2, probabilities }
    }
}

impl Kernel for Softmax {
    fn score(&self, matrix: &Matrix) -> Scores {
        softmax(&self.0, matrix)
    }
}

impl Kernel for Numbers {
    fn score(&self, matrix: &Matrix) -> Scores {
        Scores::Numbers(one_per_row(&self.0, matrix))
    }
}

fn linear_terms(coefficients: &[Vec<f64>], intercept: &[f64], layout: &Layout) -> Vec<Terms<Product>> {
    let terms = |(class, coefficients): (usize, &Vec<f64>)| Terms {
        start: intercept.get(class).copied().unwrap_or(0.0),
        dense: layout.dense.iter().map(|column| Product(at(coefficients, *column))).collect(),
        codes: layout
            .codes
            .iter()
            .map(|(first, categories)| (0..*categories).map(|k| at(coefficients, first + k)).chain([0.0]).collect())
            .collect(),
    };
    coefficients.iter().enumerate().map(terms).collect()
}

fn one_per_row<T: Term>(terms: &[Terms<T>], matrix: &Matrix) -> Vec<f64> {
    let Some(terms) = terms.first() else { return vec![0.0; matrix.rows] };
    let mut sums = Vec::with_capacity(matrix.rows);
    rows(matrix, |row, values| sums.push(terms.sum(row, values, &matrix.codes)));
    sums
}

/// `1 / (1 + exp(z))` and `1 / (1 + exp(-z))`: one exponential serves both, and never overflows.
fn sigmoids(z: f64) -> [f64; 2] {
    let e = libm::exp(-z.abs());
    let (small, large) = (e / (1.0 + e), 1.0 / (1.0 + e));
    if z < 0.0 { [large, small] } else { [small, large] }
}
