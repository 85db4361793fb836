//! L-BFGS, one evaluation a round. The line search asks for the weak Wolfe conditions by bisection (Lewis and Overton 2013),
//! and near the optimum, where the objective is all rounding, for the approximate ones (Hager and Zhang 2005).

use serde::{Deserialize, Serialize};
use shardmill_algebra::{add_scaled, dot, largest, norm};
use shardmill_common::failure::Failure;
use shardmill_common::model::{GlmSums, Packed};

use super::glm::{Move, Stand};
use super::newton::ROUNDING;
use super::pairs::Pairs;
use super::problem::Problem;

const ARMIJO: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// Evaluations of one line search.
const TRIES: u32 = 40;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Search {
    value: f64,
    gradient: Packed,
    direction: Packed,
    slope: f64,
    step: f64,
    /// Too short, and the slope there.
    low: f64,
    low_slope: f64,
    /// Too long.
    high: Option<f64>,
    tries: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lbfgs {
    at: Packed,
    pairs: Pairs,
    search: Option<Search>,
}

impl Lbfgs {
    pub fn new(start: Vec<f64>) -> Self {
        Self { at: Packed(start), pairs: Pairs::default(), search: None }
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
        let trial = self.trial();
        let point = problem.point(&trial, sums)?;
        let gradient = largest(&point.gradient);
        let told = |stand| Move { loss: point.value, gradient, stand, decrease: 0.0, dependent: Vec::new() };
        if let Some(search) = &mut self.search {
            if !search.suits(point.value, dot(&point.gradient, &search.direction.0)) {
                if search.tries < TRIES {
                    return Ok(told(Stand::Searching));
                }
                if self.pairs.is_empty() {
                    return Ok(told(Stand::Stalled));
                }
                // What is remembered misleads: once more from the gradient alone.
                self.pairs.clear();
                let (value, gradient) = (search.value, search.gradient.0.clone());
                self.search = Some(Search::new(&self.pairs, &problem.diagonal(sums.weight), value, gradient));
                return Ok(told(Stand::Searching));
            }
            let moved = add_scaled(&trial, -1.0, &self.at.0);
            let change = add_scaled(&point.gradient, -1.0, &search.gradient.0);
            self.pairs.push(moved, change);
        }
        self.at = Packed(trial);
        if gradient <= tol * problem.unit {
            return Ok(told(Stand::Converged));
        }
        self.search =
            Some(Search::new(&self.pairs, &problem.diagonal(sums.weight), point.value, point.gradient.clone()));
        Ok(told(Stand::Going))
    }
}

impl Search {
    fn new(pairs: &Pairs, diagonal: &[f64], value: f64, gradient: Vec<f64>) -> Self {
        let direction = pairs.direction(&gradient, diagonal);
        let slope = dot(&gradient, &direction);
        let step = if pairs.is_empty() { (1.0 / norm(&direction)).min(1.0) } else { 1.0 };
        Search {
            value,
            gradient: Packed(gradient),
            direction: Packed(direction),
            slope,
            step,
            low: 0.0,
            low_slope: slope,
            high: None,
            tries: 0,
        }
    }

    /// Whether the step will do; if not, the next one is set.
    fn suits(&mut self, value: f64, slope: f64) -> bool {
        let lower = value <= self.value + ARMIJO * self.step * self.slope;
        let as_low = value <= self.value + ROUNDING * self.value.abs() && slope <= (2.0 * ARMIJO - 1.0) * self.slope;
        self.tries += 1;
        if !value.is_finite() || !(lower || as_low) {
            self.high = Some(self.step);
        } else if slope < CURVATURE * self.slope {
            (self.low, self.low_slope) = (self.step, slope);
        } else {
            return true;
        }
        // Where the slope would vanish if it changed evenly.
        let even = |from: f64, to: f64| from + (to - from) * self.low_slope / (self.low_slope - slope);
        self.step = match self.high {
            Some(high) => {
                let (near, far) = (self.low + 0.1 * (high - self.low), self.low + 0.9 * (high - self.low));
                let guess = even(self.low, high);
                if slope.is_finite() && slope > 0.0 && guess > near && guess < far && self.high == Some(self.step) {
                    guess
                } else {
                    0.5 * (self.low + high)
                }
            }
            None => {
                let guess = self.step * self.slope / (self.slope - slope);
                if guess.is_finite() { guess.clamp(2.0 * self.step, 10.0 * self.step) } else { 2.0 * self.step }
            }
        };
        false
    }
}
