//! Newton's method with a backtracking line search; with an L1 penalty proximal Newton (Lee, Sun, Saunders 2014).

use serde::{Deserialize, Serialize};
use shardmill_algebra::{add_scaled, dot, largest, solve};
use shardmill_common::failure::Failure;
use shardmill_common::model::{GlmSums, Packed};

use super::glm::{Move, Stand};
use super::problem::Problem;
use super::prox;

/// The share of the promised decrease that is asked for (Armijo).
const ARMIJO: f64 = 1e-4;
/// Rounding of a sum over rows, relative: a rise of so little is none.
pub(super) const ROUNDING: f64 = 1e-13;
/// A step this short, relative to the parameters, is the last: what is left of the error is its square.
const SHORT: f64 = 1e-5;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Search {
    value: f64,
    direction: Packed,
    step: f64,
    /// What the model promises of the whole step; below 0.
    decrease: f64,
    gradient: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Newton {
    at: Packed,
    search: Option<Search>,
}

impl Newton {
    pub fn new(start: Vec<f64>) -> Self {
        Self { at: Packed(start), search: None }
    }

    pub fn trial(&self) -> Vec<f64> {
        match &self.search {
            None => self.at.0.clone(),
            Some(search) => add_scaled(&self.at.0, search.step, &search.direction.0),
        }
    }

    pub fn best(&self) -> Vec<f64> {
        self.at.0.clone()
    }

    pub fn accept(&mut self, problem: &Problem, sums: &GlmSums, tol: f64) -> Result<Move, Failure> {
        let mut trial = self.trial();
        let point = problem.point(&trial, sums)?;
        if let Some(search) = &mut self.search {
            let bound = search.value + ARMIJO * search.step * search.decrease + ROUNDING * search.value.abs();
            if !(point.value.is_finite() && point.value <= bound) {
                let (loss, gradient) = (point.value, search.gradient);
                search.step *= shorter(search.step, search.value, search.decrease, point.value);
                let length = search.step * largest(&search.direction.0);
                let stand = if length > 1e-15 * (problem.unit + largest(&self.at.0)) {
                    Stand::Searching
                } else {
                    Stand::Stalled
                };
                return Ok(Move { loss, gradient, stand, decrease: 0.0, dependent: Vec::new() });
            }
        }
        problem.centre(&mut trial);
        let full = self.search.as_ref().is_none_or(|s| s.step == 1.0);
        self.at = Packed(trial);
        let at = &self.at.0;
        let hessian = point.hessian.as_ref().ok_or_else(|| Failure::internal("a round brought no Hessian"))?;
        let (direction, dependent) = if problem.has_l1() {
            (prox::direction(&point, hessian, at), Vec::new())
        } else {
            let down: Vec<f64> = point.gradient.iter().map(|g| -g).collect();
            let solution = solve(hessian, &down)
                .ok_or_else(|| Failure::internal("a round brought numbers that are not finite"))?;
            (solution.x, solution.dependent)
        };
        let target = add_scaled(at, 1.0, &direction);
        let l1_change: f64 =
            point.l1.iter().zip(target.iter().zip(at)).map(|(l, (t, u))| l * (t.abs() - u.abs())).sum();
        let decrease = dot(&point.gradient, &direction) + l1_change;
        let gradient = largest(&point.pseudo_gradient(at));
        let short = largest(&direction) <= SHORT * (problem.unit + largest(at));
        // Below the rounding of the objective nothing is left to gain; the gradient then is rounding, too.
        let spent = -decrease <= 1e-18 * problem.unit * problem.unit;
        // Where features depend on each other, to rounding, steps along what they share never get short, and gain nothing.
        let before = self.search.as_ref().map_or(f64::INFINITY, |s| s.gradient);
        let idle = !dependent.is_empty() && gradient > 0.5 * before;
        let stand = if (gradient <= tol * problem.unit && (short || idle)) || spent {
            // The error after this last step is about the square of the one before: no need to see it evaluated.
            if short {
                let mut last = target;
                problem.centre(&mut last);
                self.at = Packed(last);
            }
            Stand::Converged
        } else {
            self.search =
                Some(Search { value: point.value, direction: Packed(direction), step: 1.0, decrease, gradient });
            if full { Stand::FullStep } else { Stand::Going }
        };
        Ok(Move { loss: point.value, gradient, stand, decrease, dependent })
    }
}

/// The factor for a step that did not do: the minimum of the parabola through what is known.
pub(super) fn shorter(step: f64, value: f64, decrease: f64, found: f64) -> f64 {
    if !found.is_finite() {
        return 0.1;
    }
    let bend = 2.0 * (found - value - step * decrease);
    if bend > 0.0 { (-decrease * step / bend).clamp(0.1, 0.5) } else { 0.5 }
}
