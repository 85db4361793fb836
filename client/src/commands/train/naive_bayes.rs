//! `train naive-bayes`, and what is shown of naive Bayes.

use std::collections::BTreeMap;

use clap::Args;
use shardmill_common::model::{Algorithm, ClassValue, ClassWeight, NaiveBayesOptions, NaiveBayesParameters};

use super::Wanted;
use super::args::{CommonArgs, LabelArgs};
use super::family::{Columns, Learnt, Rows, Shown, number};
use super::family::{by_class, per_class};
use crate::commands::numbers::{not_negative, priors};
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct NaiveBayesArgs {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    label: LabelArgs,
    /// The share of the largest variance that is added to every variance [default: 1e-9]
    #[arg(long, env = "SHARDMILL_TRAIN_VAR_SMOOTHING", value_name = "SHARE", value_parser = not_negative, allow_hyphen_values = true)]
    var_smoothing: Option<f64>,
    /// Probabilities of the classes before any row is seen, as yes=0.5,no=0.5 [default: as frequent as in the data]
    #[arg(long, env = "SHARDMILL_TRAIN_PRIORS", value_name = "PRIORS", value_parser = priors)]
    priors: Option<BTreeMap<String, f64>>,
}

impl NaiveBayesArgs {
    pub fn wanted(self) -> Result<Wanted, CliError> {
        let own = [("--var-smoothing", self.var_smoothing.is_some()), ("--priors", self.priors.is_some())];
        let var_smoothing = self.var_smoothing.unwrap_or(1e-9);
        let algorithm = || Ok(Algorithm::NaiveBayes(NaiveBayesOptions { var_smoothing, priors: self.priors }));
        self.label.wanted(self.common, own, algorithm)
    }
}

impl Shown for NaiveBayesOptions {
    fn rows(&self) -> Rows {
        let mut rows = vec![("var-smoothing", number(self.var_smoothing))];
        rows.extend(self.priors.as_ref().map(|priors| ("priors", by_class(priors))));
        rows
    }

    fn go_on(&mut self, theirs: Algorithm, _class_weight: Option<ClassWeight>) {
        if let Algorithm::NaiveBayes(theirs) = theirs {
            *self = theirs;
        }
    }
}

impl Learnt for NaiveBayesParameters {
    fn columns(&self, classes: &[ClassValue]) -> Columns {
        per_class("mean of", &self.means, classes)
    }
}
