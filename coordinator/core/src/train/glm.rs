//! Training of a generalised linear model: a method, its end, and the watch for classes that can be separated.

use serde::{Deserialize, Serialize};
use shardmill_algebra::{add_scaled, triangle};
use shardmill_common::failure::Failure;
use shardmill_common::model::{GlmRound, GlmSums, Link, Packed};

use super::lbfgs::Lbfgs;
use super::newton::Newton;
use super::owlqn::Owlqn;
use super::problem::Problem;

/// Parameters up to which a Hessian is worth its size.
pub const NEWTON_PARAMETERS: usize = 500;
/// A mean gradient this small, where no step leads further down, is rounding.
const ROUNDED: f64 = 1e-6;
/// A method without a Hessian does not know how flat the objective is: it goes on for two digits more where it can.
const GRADIENT_ONLY: f64 = 1e-2;
/// Rounds in a row that look like separation before it is called so.
const RUN: u32 = 5;
/// With a probability of 1 - 1e-9, and none of the rounds getting nearer to an end.
const FAR: f64 = 20.0;
/// A row with a probability of 1 - 1e-13 at the end.
const VERY_FAR: f64 = 30.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Newton,
    Lbfgs,
    Owlqn,
}

impl Method {
    pub const fn name(self) -> &'static str {
        match self {
            Method::Newton => "newton",
            Method::Lbfgs => "lbfgs",
            Method::Owlqn => "owlqn",
        }
    }
}

/// Where a method stands after an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// The step did not do: another length of it is tried.
    Searching,
    Going,
    /// As `Going`, and the whole Newton step did.
    FullStep,
    Converged,
    /// No step leads further down.
    Stalled,
}

/// An evaluation as its method judged it.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    pub loss: f64,
    /// The largest component of the objective's gradient.
    pub gradient: f64,
    pub stand: Stand,
    /// What the next Newton step promises; below 0.
    pub decrease: f64,
    /// Parameters that depend on those before them.
    pub dependent: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Engine {
    Newton(Newton),
    Lbfgs(Lbfgs),
    Owlqn(Owlqn),
}

/// Signs of quasi-complete separation: the objective hardly changes any more, and each step is as long as the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Watch {
    decrease: f64,
    reach: f64,
    run: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Glm {
    pub problem: Problem,
    engine: Engine,
    tol: f64,
    max_iter: u32,
    rounds: u32,
    watch: Watch,
}

/// Classes told apart by the features: without a penalty there is no optimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separated {
    /// All rows, or some only.
    pub wholly: bool,
    /// The coefficient that contributes most, within one class.
    pub coefficient: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    pub parameters: Vec<f64>,
    /// The data's part only and a sum, not a mean: the upper triangle, row by row.
    pub hessian: Option<Packed>,
    pub converged: bool,
    /// It ended because no step led further down: more rounds would change nothing.
    pub stalled: bool,
    /// Parameters that depend on those before them.
    pub dependent: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Going,
    Done(Box<Fitted>),
    Separated(Separated),
}

impl Glm {
    pub fn new(problem: Problem, method: Method, start: Vec<f64>, tol: f64, max_iter: u32) -> Self {
        let engine = match method {
            Method::Newton => Engine::Newton(Newton::new(start)),
            Method::Lbfgs => Engine::Lbfgs(Lbfgs::new(start)),
            Method::Owlqn => Engine::Owlqn(Owlqn::new(start)),
        };
        Self { problem, engine, tol, max_iter, rounds: 0, watch: Watch::default() }
    }

    pub fn method(&self) -> Method {
        match self.engine {
            Engine::Newton(_) => Method::Newton,
            Engine::Lbfgs(_) => Method::Lbfgs,
            Engine::Owlqn(_) => Method::Owlqn,
        }
    }

    /// What the next round evaluates.
    pub fn request(&self) -> GlmRound {
        let trial = match &self.engine {
            Engine::Newton(e) => e.trial(),
            Engine::Lbfgs(e) => e.trial(),
            Engine::Owlqn(e) => e.trial(),
        };
        self.problem.ask(trial, self.method() == Method::Newton)
    }

    /// Takes a round's sums; also returns the objective and the largest component of its gradient.
    pub fn accept(&mut self, sums: GlmSums) -> Result<(f64, f64, Outcome), Failure> {
        let Self { problem, engine, tol, .. } = self;
        let separable = problem.link != Link::Squared && problem.is_unpenalised();
        let trial = match engine {
            Engine::Newton(e) => e.trial(),
            Engine::Lbfgs(e) => e.trial(),
            Engine::Owlqn(e) => e.trial(),
        };
        let before = match engine {
            Engine::Newton(e) => e.best(),
            Engine::Lbfgs(e) => e.best(),
            Engine::Owlqn(e) => e.best(),
        };
        let moved = match engine {
            Engine::Newton(e) => e.accept(problem, &sums, *tol),
            Engine::Lbfgs(e) => e.accept(problem, &sums, *tol * GRADIENT_ONLY),
            Engine::Owlqn(e) => e.accept(problem, &sums, *tol * GRADIENT_ONLY),
        }?;
        if self.rounds == 0 && !moved.loss.is_finite() {
            return Err(Failure::bad_input(
                "the objective is not finite where training starts: some values are too large to compute with",
            ));
        }
        self.rounds += 1;
        let told = |outcome| Ok((moved.loss, moved.gradient, outcome));
        // A margin for each row is the definition of separation (Albert and Anderson 1984); one of rounding is none.
        if separable && sums.margin.is_some_and(|m| m > 1e-12 * sums.reach) {
            return told(Outcome::Separated(Separated { wholly: true, coefficient: self.heaviest(&before, &trial) }));
        }
        let stalled = moved.stand == Stand::Stalled;
        let converged = match moved.stand {
            Stand::Converged => true,
            Stand::Stalled => moved.gradient <= ROUNDED * self.problem.unit,
            Stand::Searching | Stand::Going | Stand::FullStep => {
                let full = moved.stand == Stand::FullStep;
                let drifts = self.watch.sees(full, moved.decrease, sums.reach);
                let ends = self.rounds >= self.max_iter;
                if separable && (drifts || ends && sums.reach > VERY_FAR) {
                    return told(Outcome::Separated(Separated {
                        wholly: false,
                        coefficient: self.heaviest(&before, &trial),
                    }));
                }
                if !ends {
                    return told(Outcome::Going);
                }
                moved.gradient <= *tol * self.problem.unit
            }
        };
        // Of a step that did not do, the Hessian is that of elsewhere.
        let hessian = if moved.stand == Stand::Searching { None } else { sums.hessian };
        let size = self.problem.size();
        let parameters = match &self.engine {
            Engine::Newton(e) => e.best(),
            Engine::Lbfgs(e) => e.best(),
            Engine::Owlqn(e) => e.best(),
        };
        told(Outcome::Done(Box::new(Fitted {
            parameters,
            hessian: hessian.filter(|h| size <= NEWTON_PARAMETERS && h.0.len() == triangle(size)),
            converged,
            stalled,
            dependent: moved.dependent.clone(),
        })))
    }

    /// The coefficient that the last step moved most: others settle, one that separates goes on growing.
    fn heaviest(&self, before: &[f64], after: &[f64]) -> usize {
        let stride = self.problem.stride();
        let moved = add_scaled(after, -1.0, before);
        let weight = |j: usize| moved.iter().skip(j).step_by(stride.max(1)).fold(0.0f64, |most, u| most.max(u.abs()));
        let mut best = 0;
        for j in 1..self.problem.width {
            if weight(j) > weight(best) {
                best = j;
            }
        }
        best
    }
}

impl Watch {
    /// Near an optimum Newton's steps shrink quadratically. Towards infinity each adds 1 to the logits of the rows that are
    /// told apart, and the decrease falls by a factor of e, no faster.
    fn sees(&mut self, full: bool, decrease: f64, reach: f64) -> bool {
        let ratio = decrease / self.watch_decrease();
        let drifting = full && reach > self.reach + 0.1 && -decrease < 1e-3 && ratio > 0.15 && ratio < 1.0;
        *self = Watch { decrease, reach, run: if drifting { self.run + 1 } else { 0 } };
        self.run >= RUN && reach > FAR
    }

    fn watch_decrease(&self) -> f64 {
        if self.decrease < 0.0 { self.decrease } else { f64::MIN }
    }
}

/// The sums of all shards, in the order given.
pub fn add_up(shards: impl IntoIterator<Item = GlmSums>) -> Result<GlmSums, Failure> {
    let mut shards = shards.into_iter();
    let mut total = shards.next().ok_or_else(|| Failure::internal("a round has no shards"))?;
    for sums in shards {
        total.rows += sums.rows;
        total.weight += sums.weight;
        total.loss += sums.loss;
        add(&mut total.gradient, &sums.gradient)?;
        match (&mut total.hessian, &sums.hessian) {
            (Some(mine), Some(other)) => add(mine, other)?,
            (None, None) => {}
            _ => return Err(Failure::internal("some shards of a round brought a Hessian and some did not")),
        }
        total.margin = match (total.margin, sums.margin) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        total.reach = total.reach.max(sums.reach);
    }
    Ok(total)
}

fn add(mine: &mut Packed, other: &Packed) -> Result<(), Failure> {
    if mine.0.len() != other.0.len() {
        return Err(Failure::internal("the shards of a round disagree on the number of parameters"));
    }
    mine.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a += b);
    Ok(())
}

#[cfg(test)]
#[path = "glm_tests.rs"]
mod tests;
