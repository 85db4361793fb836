//! Clusters.

use serde_json::{Value, json};
use shardmill_common::model::KMeansParameters;

use super::Exported;
use crate::model_export::Reason;
use crate::model_export::formulas::Formula;

impl Exported for KMeansParameters {
    fn object(&self) -> Value {
        json!({"centers": self.centers, "inertia": self.inertia, "sizes": self.sizes})
    }

    fn formula(&self, _classes: usize) -> Result<Formula, Reason> {
        Ok(Formula::Centers { centers: self.centers.clone(), sizes: self.sizes.clone() })
    }
}
