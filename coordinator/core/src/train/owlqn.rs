//! OWL-QN: L-BFGS for an L1 penalty, one evaluation a round. Source: Andrew and Gao 2007.

use serde::{Deserialize, Serialize};
use shardmill_algebra::{add_scaled, dot, largest, norm};
use shardmill_common::failure::Failure;
use shardmill_common::model::{GlmSums, Packed};

use super::glm::{Move, Stand};
use super::newton::ROUNDING;
use super::pairs::Pairs;
use super::problem::{Point, Problem};

const ARMIJO: f64 = 1e-4;
const TRIES: u32 = 40;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Search {
    value: f64,
    /// Of all but the L1 penalty.
    gradient: Packed,
    pseudo: Packed,
    direction: Packed,
    /// By parameter the sign it may have: 0 for one without an L1 penalty, which may have any.
    orthant: Vec<i8>,
    step: f64,
    tries: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Owlqn {
    at: Packed,
    pairs: Pairs,
    search: Option<Search>,
}

impl Owlqn {
    pub fn new(start: Vec<f64>) -> Self {
        Self { at: Packed(start), pairs: Pairs::default(), search: None }
    }

    pub fn trial(&self) -> Vec<f64> {
        let Some(search) = &self.search else { return self.at.0.clone() };
        let mut trial = add_scaled(&self.at.0, search.step, &search.direction.0);
        for (x, side) in trial.iter_mut().zip(&search.orthant) {
            if *side != 0 && *x * f64::from(*side) <= 0.0 {
                *x = 0.0;
            }
        }
        trial
    }

    pub fn best(&self) -> Vec<f64> {
        self.at.0.clone()
    }

    pub fn accept(&mut self, problem: &Problem, sums: &GlmSums, tol: f64) -> Result<Move, Failure> {
        let trial = self.trial();
        let point = problem.point(&trial, sums)?;
        let pseudo = point.pseudo_gradient(&trial);
        let gradient = largest(&pseudo);
        let told = |stand| Move { loss: point.value, gradient, stand, decrease: 0.0, dependent: Vec::new() };
        if let Some(search) = &mut self.search {
            let moved = add_scaled(&trial, -1.0, &self.at.0);
            let promised = dot(&search.pseudo.0, &moved);
            let bound = search.value + ARMIJO * promised + ROUNDING * search.value.abs();
            if !(point.value.is_finite() && point.value <= bound) {
                search.tries += 1;
                search.step *= if point.value.is_finite() { 0.5 } else { 0.1 };
                if search.tries < TRIES {
                    return Ok(told(Stand::Searching));
                }
                if self.pairs.is_empty() {
                    return Ok(told(Stand::Stalled));
                }
                // What is remembered misleads: once more from the gradient alone.
                self.pairs.clear();
                search.direct(&self.pairs, problem, &problem.diagonal(sums.weight));
                return Ok(told(Stand::Searching));
            }
            self.pairs.push(moved, add_scaled(&point.gradient, -1.0, &search.gradient.0));
        }
        let move_ = told(if gradient <= tol * problem.unit { Stand::Converged } else { Stand::Going });
        if matches!(move_.stand, Stand::Going) {
            self.search =
                Some(Search::new(&self.pairs, problem, &problem.diagonal(sums.weight), &trial, point, pseudo));
        }
        self.at = Packed(trial);
        Ok(move_)
    }
}

impl Search {
    fn new(pairs: &Pairs, problem: &Problem, diagonal: &[f64], at: &[f64], point: Point, pseudo: Vec<f64>) -> Self {
        let side = |((u, p), l1): ((&f64, &f64), &f64)| {
            let way = if *u == 0.0 { -p } else { *u };
            if *l1 == 0.0 || way == 0.0 {
                0
            } else if way > 0.0 {
                1
            } else {
                -1
            }
        };
        let orthant = at.iter().zip(&pseudo).zip(&point.l1).map(side).collect();
        let mut search = Search {
            value: point.value,
            gradient: Packed(point.gradient),
            pseudo: Packed(pseudo),
            direction: Packed(Vec::new()),
            orthant,
            step: 1.0,
            tries: 0,
        };
        search.direct(pairs, problem, diagonal);
        search
    }

    fn direct(&mut self, pairs: &Pairs, problem: &Problem, diagonal: &[f64]) {
        let mut direction = pairs.direction(&self.pseudo.0, diagonal);
        for ((d, p), l1) in direction.iter_mut().zip(&self.pseudo.0).zip(&problem.l1.0) {
            // No parameter goes against the steepest descent; one that stands at its optimum of 0 stays.
            if *l1 > 0.0 && *d * *p >= 0.0 {
                *d = 0.0;
            }
        }
        self.direction = Packed(direction);
        self.step = if pairs.is_empty() { (1.0 / norm(&self.direction.0)).min(1.0) } else { 1.0 };
        self.tries = 0;
    }
}
