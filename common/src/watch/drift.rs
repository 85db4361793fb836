//! How the rows that a variant was asked about differ from those its model was trained on.

use serde::{Deserialize, Serialize};

use super::psi::feature_psi;
use super::tally::Tally;
use crate::model::{Encoding, Model};

/// One feature as it came, next to how it was in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureDrift {
    pub feature: String,
    /// The population stability index; `None`: not measured, since the model has no baseline or no row came.
    pub psi: Option<f64>,
    /// Share of the rows without a value.
    pub missing: f64,
    /// Share of the rows with a category that training did not see; `None` of numbers.
    pub unseen: Option<f64>,
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
            unseen: matches!(feature.encoding, Encoding::OneHot { .. }).then(|| share(seen.unseen, tally.rows)),
            training_missing: baselines.get(n).map(|b| share(b.missing(), b.rows())),
        })
        .collect();
    all.sort_by(|a, b| b.psi.unwrap_or(-1.0).total_cmp(&a.psi.unwrap_or(-1.0)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Encoder, Feature, Unknown, example};
    use crate::schema::DataType;
    use crate::watch::{Baseline, FeatureBaseline, FeatureTally};

    fn model() -> Model {
        let feature = |column: &str, encoding| Feature {
            column: column.into(),
            dtype: DataType::Float64,
            encoding,
            fill: None,
            indicator: false,
        };
        let categories = Encoding::OneHot { categories: vec!["a".into(), "b".into()], unknown: Unknown::Ignore };
        let numeric = Encoding::Numeric { scaling: None };
        Model {
            features: Encoder { features: vec![feature("x", numeric), feature("c", categories)] },
            ..example().unwrap()
        }
    }

    fn tally() -> Tally {
        let features = vec![
            FeatureTally { bins: vec![4, 4], missing: 2, unseen: 0 },
            FeatureTally { bins: vec![2, 3], missing: 0, unseen: 5 },
        ];
        Tally { rows: 10, features, ..Default::default() }
    }

    #[test]
    fn without_a_baseline_drift_is_not_measured_and_shares_are() {
        let found = drift(&model(), &tally());
        let what = |d: &FeatureDrift| (d.feature.clone(), d.psi, d.missing, d.unseen, d.training_missing);
        let all: Vec<_> = found.iter().map(what).collect();
        assert_eq!(all, [("x".into(), None, 0.2, None, None), ("c".into(), None, 0.0, Some(0.5), None)]);
        assert_eq!(drift(&model(), &Tally::default()), []);
    }

    #[test]
    fn the_feature_that_moved_most_is_first() {
        let features = vec![
            FeatureBaseline::Numeric { edges: vec![0.0], counts: vec![40, 40], missing: 20 },
            FeatureBaseline::Categories { counts: vec![40, 40], missing: 20, unseen: 0 },
        ];
        let baseline = Some(Baseline { rows: 100, features, label_edges: Vec::new() });
        let found = drift(&Model { baseline, ..model() }, &tally());
        assert_eq!((found[0].feature.as_str(), found[1].feature.as_str(), found[1].psi), ("c", "x", Some(0.0)));
        assert!(found[0].psi > Some(1.0) && found[0].training_missing == Some(0.2), "{found:?}");
    }
}
