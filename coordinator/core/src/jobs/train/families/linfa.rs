//! Logistic regression by linfa-logistic, on one worker that reads every shard.

use serde::{Deserialize, Serialize};
use shardmill_common::failure::Failure;
use shardmill_common::model::{LinfaFit, Link, LogisticOptions};

use super::glm::{link, parameters};
use crate::jobs::train::family::{Accepted, Answers, Ask, Learning, Trained};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linfa {
    fit: LinfaFit,
}

impl Linfa {
    pub fn new(options: &LogisticOptions, rows: u64) -> Self {
        Self {
            fit: LinfaFit {
                alpha: 1.0 / options.c,
                fit_intercept: options.fit_intercept,
                max_iter: u64::from(options.max_iter),
                // linfa's objective is a sum and not a mean.
                gradient_tolerance: options.tol * rows as f64,
            },
        }
    }
}

impl Learning for Linfa {
    fn ask(&self) -> Ask {
        Ask::Fit(self.fit.clone())
    }

    fn accept(&mut self, answers: Answers<'_>) -> Result<Accepted, Failure> {
        let (result, prepared) = (answers.fitted()?, &*answers.prepared);
        let link: Link = link(&prepared.target);
        let parameters = parameters(link, prepared.encoder.width(), self.fit.fit_intercept, &result.parameters.0)?;
        Ok(Accepted { told: None, trained: Some(Trained::at_once(parameters, "linfa")) })
    }
}
