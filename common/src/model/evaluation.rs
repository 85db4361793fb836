//! How well a model version did on a dataset version. Kept with the version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reference::ModelRef;
use super::version::ClassValue;
use crate::endpoint::EndpointName;
use crate::ids::JobId;
use crate::name::DatasetRef;
use crate::time::Timestamp;

/// Rows whose probability of the positive class fell into a bin: more than `from` and at most `to`, as scikit-learn has it (the first bin includes its start).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    pub from: f64,
    pub to: f64,
    pub rows: u64,
    /// Mean probability that was predicted.
    pub predicted: f64,
    /// Share that was positive.
    pub observed: f64,
}

/// A ROC curve, thinned to at most some hundred points for pictures; the metrics come from all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The class against the others.
    pub class: String,
    pub false_positive_rate: Vec<f64>,
    pub true_positive_rate: Vec<f64>,
}

/// Which of an endpoint's answers are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    pub endpoint: EndpointName,
    pub variant: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub model: ModelRef,
    pub data: DatasetRef,
    /// The predictions were not made for the evaluation: an endpoint had given them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Served>,
    pub label: Option<String>,
    pub rows: u64,
    /// Rows that could not be predicted, or had no label.
    pub rows_skipped: u64,
    /// By name: `accuracy`, `roc_auc`, `rmse`, ... (docs/evaluation.md). A metric that is not defined on this data is absent.
    pub metrics: BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassValue>,
    /// `confusion_matrix[actual][predicted]`, in the order of `classes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confusion_matrix: Vec<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calibration: Vec<CalibrationBin>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roc: Vec<Curve>,
    pub job: JobId,
    pub created: Timestamp,
}
