//! A sum over an encoded row: a start, a term of each dense column, and a term of each one-hot column that depends on its code alone.

use super::Scores;
use crate::model::matrix::{Codes, Matrix};

/// A sum over an encoded row: a start, a term of each dense column, and a term of each one-hot column that depends on its
/// code alone.
pub struct Terms<T> {
    pub start: f64,
    pub dense: Vec<T>,
    /// Of each one-hot column: of each category its term, and last that of no category.
    pub codes: Vec<Vec<f64>>,
}

impl<T: Term> Terms<T> {
    #[inline(always)]
    pub fn sum(&self, row: usize, values: &[f64], codes: &[Codes]) -> f64 {
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
pub trait Term {
    fn of(&self, x: f64) -> f64;
}

/// A parameter of an encoded column; one that is missing counts as nothing.
pub fn at(parameters: &[f64], column: u32) -> f64 {
    parameters.get(column as usize).copied().unwrap_or(0.0)
}

/// The sum over the 0/1 columns of a one-hot column, for each category that may be the 1, and for none.
///
/// Sums of what comes before and behind are used, not the whole less one: that would lose digits where terms are large.
pub fn one_hot<T: Term>((first, categories): (u32, u32), term: &impl Fn(u32) -> T) -> Vec<f64> {
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
pub fn rows(matrix: &Matrix, mut each: impl FnMut(usize, &[f64])) {
    let width = matrix.dense.len();
    for row in 0..matrix.rows {
        each(row, matrix.values.get(row * width..(row + 1) * width).unwrap_or_default());
    }
}

pub fn softmax<T: Term>(terms: &[Terms<T>], matrix: &Matrix) -> Scores {
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
