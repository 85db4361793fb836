//! `train logistic`, and what is shown of logistic regression.

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use shardmill_common::model::{
    Algorithm, ClassValue, ClassWeight, LogisticOptions, LogisticParameters, ModelRef, Solver,
};

use super::Wanted;
use super::args::{CommonArgs, LabelArgs};
use super::family::{Columns, Learnt, Rows, Shown, ends};
use super::family::{by_class, per_class};
use super::penalty::PenaltyArgs;
use crate::commands::numbers::{above_zero, class_weight, data_weight};
use crate::error::CliError;
use shardmill_flows::text::class_name;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SolverArg {
    /// Newton while Hessians are small, else L-BFGS, or OWL-QN with an L1 penalty
    Auto,
    /// Newton steps; with an L1 penalty by coordinate descent
    Newton,
    /// L-BFGS: gradients only
    Lbfgs,
    /// OWL-QN: L-BFGS for an L1 penalty
    Owlqn,
    /// linfa-logistic on one worker
    Linfa,
}

#[derive(Clone, Debug, Args)]
pub struct LogisticArgs {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    label: LabelArgs,
    #[command(flatten)]
    penalty: PenaltyArgs,
    /// How much the data count against the penalty, as scikit-learn's C [default: 1]
    #[arg(long, env = "SHARDMILL_TRAIN_C", value_name = "C", value_parser = data_weight, allow_hyphen_values = true)]
    c: Option<f64>,
    /// `balanced`, none, or weights by class: '{"yes": 3, "no": 1}' or yes=3,no=1 [default: none; with --update: the model's]
    #[arg(long, env = "SHARDMILL_TRAIN_CLASS_WEIGHT", value_name = "WEIGHTS", value_parser = class_weight)]
    class_weight: Option<ClassWeight>,
    /// Learn an intercept [default: true]
    #[arg(long, env = "SHARDMILL_TRAIN_FIT_INTERCEPT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    fit_intercept: Option<bool>,
    /// Penalise the intercept as the coefficients are, as liblinear does
    #[arg(long, env = "SHARDMILL_TRAIN_PENALISE_INTERCEPT", alias = "penalize-intercept", value_parser = FalseyValueParser::new())]
    penalise_intercept: bool,
    /// How the optimum is found
    #[arg(long, env = "SHARDMILL_TRAIN_SOLVER", value_enum, default_value = "auto")]
    solver: SolverArg,
    /// Stop when no component of the mean objective's gradient is larger, features scaled to unit variance
    #[arg(long, env = "SHARDMILL_TRAIN_TOL", value_name = "TOL", default_value_t = 1e-8, value_parser = above_zero, allow_hyphen_values = true)]
    tol: f64,
    /// Stop after so many rounds at the latest
    #[arg(long, env = "SHARDMILL_TRAIN_MAX_ITER", value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    max_iter: u32,
    /// Start from the parameters of this version
    #[arg(long, env = "SHARDMILL_TRAIN_WARM_START", value_name = "MODEL@VERSION", conflicts_with = "update")]
    warm_start: Option<ModelRef>,
}

impl LogisticArgs {
    pub fn wanted(self) -> Result<Wanted, CliError> {
        let own = [
            ("--c", self.c.is_some()),
            ("--fit-intercept", self.fit_intercept.is_some()),
            ("--penalise-intercept", self.penalise_intercept),
        ];
        let algorithm = || {
            Ok(Algorithm::Logistic(LogisticOptions {
                penalty: self.penalty.logistic(self.c)?,
                c: self.c.unwrap_or(1.0),
                class_weight: self.class_weight.clone().unwrap_or_default(),
                fit_intercept: self.fit_intercept.unwrap_or(true),
                penalise_intercept: self.penalise_intercept,
                solver: match self.solver {
                    SolverArg::Auto => Solver::Auto,
                    SolverArg::Newton => Solver::Newton,
                    SolverArg::Lbfgs => Solver::Lbfgs,
                    SolverArg::Owlqn => Solver::Owlqn,
                    SolverArg::Linfa => Solver::Linfa,
                },
                tol: self.tol,
                max_iter: self.max_iter,
            }))
        };
        let wanted = self.label.wanted(self.common, self.penalty.given().into_iter().chain(own), algorithm)?;
        Ok(Wanted { class_weight: self.class_weight, warm_start: self.warm_start, ..wanted })
    }
}

impl Shown for LogisticOptions {
    fn rows(&self) -> Rows {
        let mut rows = super::penalty::rows(self.penalty, ("c", self.c));
        rows.push(("class-weight", shown_weight(&self.class_weight)));
        rows.push(("fit-intercept", self.fit_intercept.to_string()));
        rows.push(("penalise-intercept", self.penalise_intercept.to_string()));
        rows.push(("solver", solver(self.solver).to_owned()));
        rows.extend(ends(self.tol, self.max_iter));
        rows
    }

    fn go_on(&mut self, theirs: Algorithm, class_weight: Option<ClassWeight>) {
        if let Algorithm::Logistic(theirs) = theirs {
            let class_weight = class_weight.unwrap_or(theirs.class_weight);
            let (solver, tol, max_iter) = (self.solver, self.tol, self.max_iter);
            *self = LogisticOptions { class_weight, solver, tol, max_iter, ..theirs };
        }
    }
}

fn shown_weight(weight: &ClassWeight) -> String {
    match weight {
        ClassWeight::None => "none".to_owned(),
        ClassWeight::Balanced => "balanced".to_owned(),
        ClassWeight::Of(weights) => by_class(weights),
    }
}

const fn solver(solver: Solver) -> &'static str {
    match solver {
        Solver::Auto => "auto",
        Solver::Newton => "newton",
        Solver::Lbfgs => "lbfgs",
        Solver::Owlqn => "owlqn",
        Solver::Linfa => "linfa",
    }
}

impl Learnt for LogisticParameters {
    fn columns(&self, classes: &[ClassValue]) -> Columns {
        match (self.coefficients.as_slice(), classes) {
            ([row], [_, positive]) => {
                vec![(format!("coefficient of {}", class_name(&positive.to_string())), row.clone())]
            }
            _ => per_class("coefficient of", &self.coefficients, classes),
        }
    }

    fn intercepts(&self) -> &[f64] {
        &self.intercept
    }
}
