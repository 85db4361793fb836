//! `train linear`, and what is shown of linear regression.

use clap::Args;
use shardmill_common::model::{Algorithm, ClassValue, ClassWeight, LinearOptions, LinearParameters};

use super::Wanted;
use super::args::{CommonArgs, LabelArgs};
use super::family::{Columns, Learnt, Rows, Shown, ends};
use super::penalty::PenaltyArgs;
use crate::commands::numbers::{above_zero, not_negative};
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct LinearArgs {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    label: LabelArgs,
    #[command(flatten)]
    penalty: PenaltyArgs,
    /// The weight of the penalty, as scikit-learn's alpha [default: 1]
    #[arg(long, env = "SHARDMILL_TRAIN_ALPHA", value_name = "ALPHA", value_parser = not_negative, allow_hyphen_values = true)]
    alpha: Option<f64>,
    /// Learn an intercept [default: true]
    #[arg(long, env = "SHARDMILL_TRAIN_FIT_INTERCEPT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    fit_intercept: Option<bool>,
    /// Stop when no component of the mean objective's gradient is larger, features and label scaled to unit variance
    #[arg(long, env = "SHARDMILL_TRAIN_TOL", value_name = "TOL", default_value_t = 1e-8, value_parser = above_zero, allow_hyphen_values = true)]
    tol: f64,
    /// Stop after so many rounds at the latest
    #[arg(long, env = "SHARDMILL_TRAIN_MAX_ITER", value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    max_iter: u32,
}

impl LinearArgs {
    pub fn wanted(self) -> Result<Wanted, CliError> {
        let own = [("--alpha", self.alpha.is_some()), ("--fit-intercept", self.fit_intercept.is_some())];
        let algorithm = || {
            Ok(Algorithm::Linear(LinearOptions {
                penalty: self.penalty.linear(self.alpha)?,
                alpha: self.alpha.unwrap_or(1.0),
                fit_intercept: self.fit_intercept.unwrap_or(true),
                tol: self.tol,
                max_iter: self.max_iter,
            }))
        };
        self.label.wanted(self.common, self.penalty.given().into_iter().chain(own), algorithm)
    }
}

impl Shown for LinearOptions {
    fn rows(&self) -> Rows {
        let mut rows = super::penalty::rows(self.penalty, ("alpha", self.alpha));
        rows.push(("fit-intercept", self.fit_intercept.to_string()));
        rows.extend(ends(self.tol, self.max_iter));
        rows
    }

    fn go_on(&mut self, theirs: Algorithm, _class_weight: Option<ClassWeight>) {
        if let Algorithm::Linear(theirs) = theirs {
            *self = LinearOptions { tol: self.tol, max_iter: self.max_iter, ..theirs };
        }
    }
}

impl Learnt for LinearParameters {
    fn columns(&self, _classes: &[ClassValue]) -> Columns {
        vec![("coefficient".to_owned(), self.coefficients.clone())]
    }

    fn intercepts(&self) -> &[f64] {
        std::slice::from_ref(&self.intercept)
    }
}
