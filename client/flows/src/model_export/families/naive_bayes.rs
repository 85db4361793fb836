//! Gaussian naive Bayes.

use serde_json::{Value, json};
use shardmill_common::model::NaiveBayesParameters;

use super::Exported;
use crate::model_export::Reason;
use crate::model_export::formulas::Formula;

impl Exported for NaiveBayesParameters {
    fn object(&self) -> Value {
        json!({
            "priors": self.priors, "class_weights": self.weights, "means": self.means, "variances": self.variances(),
            "epsilon": self.epsilon,
        })
    }

    fn formula(&self, _classes: usize) -> Result<Formula, Reason> {
        Ok(Formula::Gaussian {
            log_priors: self.priors.iter().map(|p| p.ln()).collect(),
            priors: self.priors.clone(),
            means: self.means.clone(),
            variances: self.variances(),
        })
    }
}
