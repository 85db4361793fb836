//! How the rows that a variant was asked about differ from those its model was trained on.

use serde::{Deserialize, Serialize};

use super::psi::feature_psi;
use super::tally::Tally;
use crate::model::Model;

/// One feature as it came, next to how it was in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureDrift {
    pub feature: String,
    /// The population stability index; `None`: not measured, since the model has no baseline or no row came.
    pub psi: Option<f64>,
    /// Share of the rows without a value.
    pub missing: f64,
    /// Share of the rows with a category that training did not see.
    pub unseen: f64,
    /// Share of the training rows without a value, where it is known.
    pub training_missing: Option<f64>,
}

/// Of each feature how it came, the one that moved most first. Nothing where no row came.
pub fn drift(model: &Model, tally: &Tally) -> Vec<FeatureDrift> {
    if tally.rows == 0 {
        return Vec::new();
    }
    let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
    let baselines = model.baseline.as_ref().map(|b| b.features.as_slice()).unwrap_or_default();
    let mut all: Vec<FeatureDrift> = model
        .features
        .features
        .iter()
        .zip(&tally.features)
        .enumerate()
        .map(|(n, (feature, seen))| FeatureDrift {
            feature: feature.column.clone(),
            psi: baselines.get(n).and_then(|baseline| feature_psi(baseline, seen)),
            missing: share(seen.missing, tally.rows),
            unseen: share(seen.unseen, tally.rows),
            training_missing: baselines.get(n).map(|b| share(b.missing(), b.rows())),
        })
        .collect();
    all.sort_by(|a, b| b.psi.unwrap_or(-1.0).total_cmp(&a.psi.unwrap_or(-1.0)));
    all
}
