//! Vectors and dense symmetric systems. Plain loops in a fixed order: the same bits on every machine.

use linfa_linalg::cholesky::CholeskyInplace;
use linfa_linalg::triangular::{SolveTriangularInplace, UPLO};
use ndarray::{Array1, Array2, Axis};

/// Of a matrix scaled to a unit diagonal: a column of whose square no more than this share is its own depends on those before it.
const PIVOT: f64 = 1e-14;
/// Added to the unit diagonal of a singular matrix, a hundred times more where that is not enough. Directions that matter are as
/// good as untouched, and the next step makes up for it; those that do not matter stay where they are.
const RIDGE: f64 = 1e-13;

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

pub fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

pub fn largest(a: &[f64]) -> f64 {
    a.iter().fold(0.0, |most, x| if x.is_nan() { f64::INFINITY } else { x.abs().max(most) })
}

/// `a + t b`.
pub fn add_scaled(a: &[f64], t: f64, b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(x, y)| x + t * y).collect()
}

/// Numbers in the upper triangle of a matrix of this size.
pub fn triangle(size: usize) -> usize {
    size * (size + 1) / 2
}

/// The whole matrix from its upper triangle, row by row. `None` if the lengths do not agree.
pub fn unpack(size: usize, upper: &[f64]) -> Option<Array2<f64>> {
    if upper.len() != triangle(size) {
        return None;
    }
    let mut whole = Array2::zeros((size, size));
    let mut next = upper.iter();
    for i in 0..size {
        for j in i..size {
            let x = next.next().copied()?;
            whole[(i, j)] = x;
            whole[(j, i)] = x;
        }
    }
    Some(whole)
}

/// The upper triangle, row by row.
pub fn pack(whole: &Array2<f64>) -> Vec<f64> {
    let size = whole.nrows();
    (0..size).flat_map(|i| (i..size).map(move |j| whole[(i, j)])).collect()
}

pub fn times(a: &Array2<f64>, x: &[f64]) -> Vec<f64> {
    a.rows().into_iter().map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
}

pub struct Solution {
    pub x: Vec<f64>,
    /// Columns that depend on those before them.
    pub dependent: Vec<usize>,
}

/// Solves `a x = b` for a positive semidefinite matrix. Where it is singular, `x` is as small as can be in the directions that
/// make no difference. `None` if there are numbers that are not finite.
pub fn solve(a: &Array2<f64>, b: &[f64]) -> Option<Solution> {
    // Jacobi scaling: the outcome does not depend on the units of the columns (van der Sluis 1969).
    let scales: Vec<f64> = a.diag().iter().map(|d| if *d > 0.0 { 1.0 / d.sqrt() } else { 1.0 }).collect();
    let mut scaled = a.clone();
    for ((i, j), x) in scaled.indexed_iter_mut() {
        *x *= scales[i] * scales[j];
    }
    if scaled.iter().chain(b).any(|x| !x.is_finite()) {
        return None;
    }
    for d in scaled.diag_mut() {
        if *d <= 0.0 {
            *d = 0.0;
        }
    }
    let right: Vec<f64> = b.iter().zip(&scales).map(|(b, s)| b * s).collect();
    let factor = scaled.clone().cholesky_into_dirty().ok().filter(|l| l.diag().iter().all(|d| d * d > PIVOT));
    let (y, dependent) = match factor {
        Some(factor) => {
            let y = back_substituted(&factor, &right)?;
            // One step of iterative refinement takes back most of what rounding took.
            let rest = add_scaled(&right, -1.0, &times(&scaled, &y));
            (add_scaled(&y, 1.0, &back_substituted(&factor, &rest)?), Vec::new())
        }
        None => (with_ridge(&scaled, &right)?, dependent_columns(&scaled)),
    };
    let x: Vec<f64> = y.iter().zip(&scales).map(|(y, s)| y * s).collect();
    x.iter().all(|x| x.is_finite()).then_some(Solution { x, dependent })
}

fn with_ridge(scaled: &Array2<f64>, right: &[f64]) -> Option<Vec<f64>> {
    let mut ridge = RIDGE;
    while ridge < 1.0 {
        let mut shifted = scaled.clone();
        shifted.diag_mut().mapv_inplace(|d| d + ridge);
        if let Ok(factor) = shifted.cholesky_into_dirty() {
            return back_substituted(&factor, right);
        }
        ridge *= 100.0;
    }
    None
}

fn back_substituted(factor: &Array2<f64>, right: &[f64]) -> Option<Vec<f64>> {
    let mut x = Array1::from(right.to_vec()).insert_axis(Axis(1));
    factor.solve_triangular_inplace(&mut x, UPLO::Lower).ok()?;
    factor.t().solve_triangular_inplace(&mut x, UPLO::Upper).ok()?;
    Some(x.into_iter().collect())
}

/// The columns at which a Cholesky decomposition that passes over them breaks down. The diagonal is 1 (or 0).
fn dependent_columns(scaled: &Array2<f64>) -> Vec<usize> {
    let size = scaled.nrows();
    let mut factor = Array2::<f64>::zeros((size, size));
    let mut dependent = Vec::new();
    for j in 0..size {
        let mut own = scaled[(j, j)];
        for k in 0..j {
            let pivot = factor[(k, k)];
            if pivot == 0.0 {
                continue;
            }
            let s: f64 = (0..k).map(|i| factor[(k, i)] * factor[(j, i)]).sum();
            factor[(j, k)] = (scaled[(j, k)] - s) / pivot;
            own -= factor[(j, k)] * factor[(j, k)];
        }
        if own > PIVOT {
            factor[(j, j)] = own.sqrt();
        } else {
            dependent.push(j);
        }
    }
    dependent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badly_scaled_system_is_solved() {
        let a = unpack(3, &[4e8, 2e2, 1e-3, 9e-4, 0.0, 1e-10]).unwrap();
        let x = [1.0, -2e6, 3e9];
        let solution = solve(&a, &times(&a, &x)).unwrap();
        assert!(solution.dependent.is_empty());
        for (found, wanted) in solution.x.iter().zip(&x) {
            assert!((found / wanted - 1.0).abs() < 1e-10, "{found} {wanted}");
        }
    }

    #[test]
    fn a_dependent_column_is_named_and_the_system_still_holds() {
        // The third column is the sum of the first two.
        let rows = [[1.0, 0.0, 1.0], [0.0, 2.0, 2.0], [3.0, 1.0, 4.0], [1.0, 1.0, 2.0]];
        let mut a = Array2::<f64>::zeros((3, 3));
        for row in rows {
            for ((i, j), x) in a.indexed_iter_mut() {
                *x += row[i] * row[j];
            }
        }
        let b = times(&a, &[1.0, 2.0, 3.0]);
        let solution = solve(&a, &b).unwrap();
        assert_eq!(solution.dependent, vec![2]);
        for (found, wanted) in times(&a, &solution.x).iter().zip(&b) {
            assert!((found - wanted).abs() < 1e-7 * wanted.abs(), "{found} {wanted}");
        }
    }
}
