//! Clusters by the nearest centre.

use shardmill_common::model::KMeansParameters;

use super::terms::{Term, Terms, at, one_hot, rows};
use super::{Kernel, Scores};
use crate::model::matrix::{Layout, Matrix};

/// `(x - center)^2`.
struct Distance(f64);

impl Term for Distance {
    #[inline(always)]
    fn of(&self, x: f64) -> f64 {
        let difference = x - self.0;
        difference * difference
    }
}

struct Nearest(Vec<Terms<Distance>>);

pub fn kmeans(parameters: &KMeansParameters, layout: &Layout) -> Box<dyn Kernel> {
    Box::new(Nearest(center_terms(&parameters.centers, layout)))
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

impl Kernel for Nearest {
    fn score(&self, matrix: &Matrix) -> Scores {
        let (mut clusters, mut distances) = (Vec::with_capacity(matrix.rows), Vec::with_capacity(matrix.rows));
        rows(matrix, |row, values| {
            let mut best = (0, f64::INFINITY);
            for (n, terms) in (0u32..).zip(&self.0) {
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
}
