//! What L-BFGS remembers of the curvature: the last moves and how the gradient changed over them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use shardmill_algebra::{dot, norm};
use shardmill_common::model::Packed;

/// As scikit-learn and SciPy keep.
const KEPT: usize = 10;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pairs {
    /// Moves and changes of the gradient, oldest first.
    pairs: VecDeque<(Packed, Packed)>,
}

impl Pairs {
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
    }

    /// Remembers a move, unless it tells of no positive curvature.
    pub fn push(&mut self, moved: Vec<f64>, change: Vec<f64>) {
        if dot(&moved, &change) > 1e-12 * norm(&moved) * norm(&change) {
            if self.pairs.len() == KEPT {
                self.pairs.pop_front();
            }
            self.pairs.push_back((Packed(moved), Packed(change)));
        }
    }

    /// Minus the inverse Hessian, as far as it is known, times `gradient`: Nocedal and Wright 2006, algorithm 7.4. What no
    /// pair tells of is taken to be a multiple of the inverse of `diagonal`.
    pub fn direction(&self, gradient: &[f64], diagonal: &[f64]) -> Vec<f64> {
        let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for (s, y) in self.pairs.iter().rev() {
            let share = dot(&s.0, &q) / dot(&s.0, &y.0);
            q.iter_mut().zip(&y.0).for_each(|(q, y)| *q -= share * y);
            shares.push(share);
        }
        let scale = self.pairs.back().map_or(1.0, |(s, y)| {
            let shorter: Vec<f64> = y.0.iter().zip(diagonal).map(|(y, d)| y / d).collect();
            dot(&s.0, &y.0) / dot(&y.0, &shorter)
        });
        q.iter_mut().zip(diagonal).for_each(|(q, d)| *q *= scale / d);
        for ((s, y), share) in self.pairs.iter().zip(shares.iter().rev()) {
            let back = dot(&y.0, &q) / dot(&s.0, &y.0);
            q.iter_mut().zip(&s.0).for_each(|(q, s)| *q += (share - back) * s);
        }
        q
    }
}
