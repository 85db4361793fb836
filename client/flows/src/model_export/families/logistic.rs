//! Logistic regression.

use serde_json::{Value, json};
use shardmill_common::model::LogisticParameters;

use super::Exported;
use crate::model_export::Reason;
use crate::model_export::formulas::Formula;

impl Exported for LogisticParameters {
    /// One row of coefficients is a flat list, several are a list of lists.
    fn object(&self) -> Value {
        match (self.coefficients.as_slice(), self.intercept.as_slice()) {
            ([row], [b]) => json!({"coefficients": row, "intercept": b}),
            _ => json!({"coefficients": self.coefficients, "intercept": self.intercept}),
        }
    }

    fn formula(&self, classes: usize) -> Result<Formula, Reason> {
        Ok(match (self.coefficients.as_slice(), self.intercept.as_slice()) {
            ([one], [b]) if classes == 2 => Formula::Binary { coefficients: one.clone(), intercept: *b },
            _ => Formula::Softmax { coefficients: self.coefficients.clone(), intercept: self.intercept.clone() },
        })
    }
}
