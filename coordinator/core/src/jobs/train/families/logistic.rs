//! Logistic regression: classes, by rounds over the shards or by linfa on one worker.

use shardmill_common::failure::Failure;
use shardmill_common::model::{Algorithm, ClassWeight, LogisticOptions, Model, Solver, TrainSpec};

use super::check_ends;
use super::glm::{Objective, check_curvature, check_penalty};
use super::linfa::Linfa;
use crate::jobs::train::family::{Course, Family, Learns, Ready, State};
use crate::jobs::train::unfit::{TrainUnfit, above_zero};

impl Family for LogisticOptions {
    fn title(&self) -> &'static str {
        "logistic regression"
    }

    fn learns(&self) -> Learns {
        Learns::Classes
    }

    fn course(&self) -> Course {
        if self.solver == Solver::Linfa { Course::OneWorker } else { Course::Rounds(self.max_iter) }
    }

    fn check(&self, spec: &TrainSpec) -> Result<(), TrainUnfit> {
        above_zero("--c", self.c)?;
        if let ClassWeight::Of(weights) = &self.class_weight {
            if let Some((class, weight)) = weights.iter().find(|(_, w)| !(w.is_finite() && **w >= 0.0)) {
                return Err(TrainUnfit::ClassWeight { class: class.clone(), weight: *weight });
            }
            if weights.is_empty() {
                return Err(TrainUnfit::NoClassWeights);
            }
        }
        check_penalty(self.penalty)?;
        check_ends(self.tol, self.max_iter)?;
        solver(self, spec)
    }

    fn check_base(&self, spec: &TrainSpec, base: &Model) -> Result<(), TrainUnfit> {
        check_curvature(spec, base)
    }

    fn needs_curvature(&self) -> bool {
        true
    }

    fn class_weight(&self) -> &ClassWeight {
        &self.class_weight
    }

    fn begin(&self, ready: Ready<'_>) -> Result<State, Failure> {
        if self.solver == Solver::Linfa {
            return Ok(State::Linfa(Linfa::new(self, ready.prepared.rows)));
        }
        objective(self).begin(ready, of_algorithm).map(|glm| State::Glm(Box::new(glm)))
    }

    fn go_on(&mut self, theirs: &Algorithm) {
        if let Algorithm::Logistic(theirs) = theirs {
            (self.penalty, self.c) = (theirs.penalty, theirs.c);
            self.fit_intercept = theirs.fit_intercept;
            self.penalise_intercept = theirs.penalise_intercept;
        }
    }
}

fn objective(options: &LogisticOptions) -> Objective {
    Objective {
        penalty: options.penalty,
        strength: 1.0 / options.c,
        of_mean: false,
        fit_intercept: options.fit_intercept,
        penalise_intercept: options.fit_intercept && options.penalise_intercept,
        solver: options.solver,
        tol: options.tol,
        max_iter: options.max_iter,
    }
}

fn of_algorithm(algorithm: &Algorithm) -> Option<Objective> {
    if let Algorithm::Logistic(options) = algorithm { Some(objective(options)) } else { None }
}

/// What a solver cannot do.
fn solver(options: &LogisticOptions, spec: &TrainSpec) -> Result<(), TrainUnfit> {
    let l1 = options.penalty.l1_ratio().is_some_and(|ratio| ratio > 0.0);
    match options.solver {
        Solver::Auto | Solver::Newton | Solver::Owlqn => Ok(()),
        Solver::Lbfgs if l1 => Err(TrainUnfit::LbfgsWithL1),
        Solver::Lbfgs => Ok(()),
        Solver::Linfa => {
            let cannot = [
                (options.penalty.l1_ratio() != Some(0.0), "another penalty than l2"),
                (spec.weight_column.is_some(), "row weights"),
                (options.class_weight != ClassWeight::None, "class weights"),
                (options.penalise_intercept, "a penalised intercept"),
                (spec.warm_start.is_some(), "a warm start"),
                (spec.update.is_some(), "an update"),
            ];
            match cannot.iter().find(|(asked, _)| *asked) {
                Some((_, what)) => Err(TrainUnfit::Linfa(what)),
                None => Ok(()),
            }
        }
    }
}
