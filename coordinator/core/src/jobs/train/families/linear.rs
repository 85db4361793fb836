//! Linear regression: numbers, by least squares with or without a penalty.

use shardmill_common::failure::Failure;
use shardmill_common::model::{Algorithm, LinearOptions, Model, Penalty, Solver, TrainSpec};

use super::check_ends;
use super::glm::{Objective, check_curvature, check_penalty};
use crate::jobs::train::family::{Course, Family, Learns, Ready, State};
use crate::jobs::train::unfit::{TrainUnfit, not_negative};

impl Family for LinearOptions {
    fn title(&self) -> &'static str {
        "linear regression"
    }

    fn learns(&self) -> Learns {
        Learns::Numbers
    }

    fn course(&self) -> Course {
        Course::Rounds(self.max_iter)
    }

    fn check(&self, _spec: &TrainSpec) -> Result<(), TrainUnfit> {
        not_negative("--alpha", self.alpha)?;
        check_penalty(self.penalty)?;
        check_ends(self.tol, self.max_iter)
    }

    fn check_base(&self, spec: &TrainSpec, base: &Model) -> Result<(), TrainUnfit> {
        check_curvature(spec, base)
    }

    fn needs_curvature(&self) -> bool {
        true
    }

    fn begin(&self, ready: Ready<'_>) -> Result<State, Failure> {
        objective(self).begin(ready, of_algorithm).map(|glm| State::Glm(Box::new(glm)))
    }

    fn go_on(&mut self, theirs: &Algorithm) {
        if let Algorithm::Linear(theirs) = theirs {
            (self.penalty, self.alpha, self.fit_intercept) = (theirs.penalty, theirs.alpha, theirs.fit_intercept);
        }
    }
}

fn objective(options: &LinearOptions) -> Objective {
    Objective {
        penalty: options.penalty,
        strength: options.alpha,
        // Ridge penalises the sum of squares; Lasso and ElasticNet half its mean.
        of_mean: !matches!(options.penalty, Penalty::None | Penalty::L2),
        fit_intercept: options.fit_intercept,
        penalise_intercept: false,
        solver: Solver::Auto,
        tol: options.tol,
        max_iter: options.max_iter,
    }
}

fn of_algorithm(algorithm: &Algorithm) -> Option<Objective> {
    if let Algorithm::Linear(options) = algorithm { Some(objective(options)) } else { None }
}
