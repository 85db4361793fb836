//! Linear regression.

use serde_json::{Value, json};
use shardmill_common::model::LinearParameters;

use super::Exported;
use crate::model_export::Reason;
use crate::model_export::formulas::Formula;

impl Exported for LinearParameters {
    fn object(&self) -> Value {
        json!({"coefficients": self.coefficients, "intercept": self.intercept})
    }

    fn formula(&self, _classes: usize) -> Result<Formula, Reason> {
        Ok(Formula::Linear { coefficients: self.coefficients.clone(), intercept: self.intercept })
    }
}
