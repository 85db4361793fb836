//! Encoded rows to predictions. Sums are made in the order of the encoded columns (dense ones first) and exponentials by
//! libm, so that a model predicts the same bits on every machine.

use std::f64::consts::PI;

use shardmill_common::model::Parameters;

use super::matrix::{Codes, Layout, Matrix};

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
pub struct Kernel(Form);

enum Form {
    TwoClasses(Vec<Terms<Product>>),
    Softmax(Vec<Terms<Product>>),
    Numbers(Vec<Terms<Product>>),
    Bayes(Vec<Terms<Deviation>>),
    Nearest(Vec<Terms<Distance>>),
}

impl Kernel {
    pub fn new(parameters: &Parameters, layout: &Layout) -> Self {
        Kernel(match parameters {
            Parameters::Logistic { coefficients, intercept } => {
                let terms = linear_terms(coefficients, intercept, layout);
                if coefficients.len() <= 1 { Form::TwoClasses(terms) } else { Form::Softmax(terms) }
            }
            Parameters::Linear { coefficients, intercept } => {
                Form::Numbers(linear_terms(std::slice::from_ref(coefficients), &[*intercept], layout))
            }
            Parameters::NaiveBayes { weights, priors, means, squares, epsilon } => {
                Form::Bayes(bayes_terms(weights, priors, means, squares, *epsilon, layout))
            }
            Parameters::KMeans { centers, .. } => Form::Nearest(center_terms(centers, layout)),
            // The scorer runs graphs itself.
            Parameters::Onnx(_) => Form::Numbers(Vec::new()),
        })
    }

    /// Predictions for the rows of a matrix of the kernel's layout.
    pub fn score(&self, matrix: &Matrix) -> Scores {
        match &self.0 {
            Form::TwoClasses(terms) => two_classes(terms, matrix),
            Form::Softmax(terms) => softmax(terms, matrix),
            Form::Numbers(terms) => Scores::Numbers(one_per_row(terms, matrix)),
            Form::Bayes(terms) => softmax(terms, matrix),
            Form::Nearest(terms) => nearest(terms, matrix),
        }
    }
}

/// A sum over an encoded row: a start, a term of each dense column, and a term of each one-hot column that depends on its
/// code alone.
struct Terms<T> {
    start: f64,
    dense: Vec<T>,
    /// Of each one-hot column: of each category its term, and last that of no category.
    codes: Vec<Vec<f64>>,
}

impl<T: Term> Terms<T> {
    #[inline(always)]
    fn sum(&self, row: usize, values: &[f64], codes: &[Codes]) -> f64 {
        let mut sum = 0.0;
        for (term, x) in self.dense.iter().zip(values) {
            sum += term.of(*x);
        }
        for (table, column) in self.codes.iter().zip(codes) {
            let code = column.codes.get(row).map_or(usize::MAX, |c| *c as usize);
            // A code beyond the categories is no category.
            sum += table.get(code.min(table.len() - 1)).copied().unwrap_or(0.0);
        }
        self.start + sum
    }
}

/// What a dense column's value adds.
trait Term {
    fn of(&self, x: f64) -> f64;
}

/// `coefficient * x`.
struct Product(f64);

impl Term for Product {
    #[inline(always)]
    fn of(&self, x: f64) -> f64 {
        self.0 * x
    }
}

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

/// `(x - center)^2`.
struct Distance(f64);

impl Term for Distance {
    #[inline(always)]
    fn of(&self, x: f64) -> f64 {
        let difference = x - self.0;
        difference * difference
    }
}

/// A parameter of an encoded column; one that is missing counts as nothing.
fn at(parameters: &[f64], column: u32) -> f64 {
    parameters.get(column as usize).copied().unwrap_or(0.0)
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

/// As scikit-learn's `GaussianNB._joint_log_likelihood`; the factor -1/2 of the deviations is in their divisor.
fn bayes_terms(
    weights: &[f64],
    priors: &[f64],
    means: &[Vec<f64>],
    squares: &[Vec<f64>],
    epsilon: f64,
    layout: &Layout,
) -> Vec<Terms<Deviation>> {
    (0..priors.len())
        .map(|class| {
            let of = |parameters: &[Vec<f64>], column| parameters.get(class).map_or(0.0, |p| at(p, column));
            let weight = weights.get(class).copied().unwrap_or(0.0);
            let variance = |column| if weight > 0.0 { of(squares, column) / weight + epsilon } else { epsilon };
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

fn center_terms(centers: &[Vec<f64>], layout: &Layout) -> Vec<Terms<Distance>> {
    centers
        .iter()
        .map(|center| {
            let distance = |column| Distance(at(center, column));
            Terms {
                start: 0.0,
                dense: layout.dense.iter().map(|column| distance(*column)).collect(),
                codes: layout.codes.iter().map(|c| one_hot(*c, &distance)).collect(),
            }
        })
        .collect()
}

/// The sum over the 0/1 columns of a one-hot column, for each category that may be the 1, and for none.
///
/// Sums of what comes before and behind are used, not the whole less one: that would lose digits where terms are large.
fn one_hot<T: Term>((first, categories): (u32, u32), term: &impl Fn(u32) -> T) -> Vec<f64> {
    let columns = first..first + categories;
    let mut behind = vec![0.0; categories as usize + 1];
    for (n, column) in columns.clone().enumerate().rev() {
        behind[n] = behind[n + 1] + term(column).of(0.0);
    }
    let mut before = 0.0;
    let mut table = Vec::with_capacity(behind.len());
    for (column, rest) in columns.zip(behind.iter().skip(1)) {
        let term = term(column);
        table.push(before + term.of(1.0) + rest);
        before += term.of(0.0);
    }
    table.push(before);
    table
}

/// Calls `each` with every row's number and dense values.
#[inline(always)]
fn rows(matrix: &Matrix, mut each: impl FnMut(usize, &[f64])) {
    let width = matrix.dense.len();
    for row in 0..matrix.rows {
        each(row, matrix.values.get(row * width..(row + 1) * width).unwrap_or_default());
    }
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

fn two_classes(terms: &[Terms<Product>], matrix: &Matrix) -> Scores {
    let probabilities = one_per_row(terms, matrix).into_iter().flat_map(sigmoids).collect();
    Scores::Classes { classes: 2, probabilities }
}

fn softmax<T: Term>(terms: &[Terms<T>], matrix: &Matrix) -> Scores {
    let mut probabilities = vec![0.0; matrix.rows * terms.len()];
    let mut rest = probabilities.chunks_exact_mut(terms.len().max(1));
    rows(matrix, |row, values| {
        let Some(out) = rest.next() else { return };
        let mut most = f64::NEG_INFINITY;
        for (slot, terms) in out.iter_mut().zip(terms) {
            *slot = terms.sum(row, values, &matrix.codes);
            most = most.max(*slot);
        }
        let mut sum = 0.0;
        for slot in out.iter_mut() {
            *slot = libm::exp(*slot - most);
            sum += *slot;
        }
        out.iter_mut().for_each(|slot| *slot /= sum);
    });
    Scores::Classes { classes: terms.len(), probabilities }
}

fn nearest(terms: &[Terms<Distance>], matrix: &Matrix) -> Scores {
    let (mut clusters, mut distances) = (Vec::with_capacity(matrix.rows), Vec::with_capacity(matrix.rows));
    rows(matrix, |row, values| {
        let mut best = (0, f64::INFINITY);
        for (n, terms) in (0u32..).zip(terms) {
            let distance = terms.sum(row, values, &matrix.codes);
            if distance < best.1 {
                best = (n, distance);
            }
        }
        clusters.push(best.0);
        distances.push(best.1);
    });
    Scores::Clusters { clusters, distances }
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
