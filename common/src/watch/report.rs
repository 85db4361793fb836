//! What was watched, as people and programs are told of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::drift::{FeatureDrift, drift};
use super::tally::{ErrorKind, Tally};
use super::window::Window;
use crate::endpoint::Watched;
use crate::misread::Misread;
use crate::model::{Model, ModelRef, Target};
use crate::time::Timestamp;

/// The length of the windows of a metric over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    Minute,
    Hour,
}

impl Every {
    pub const fn seconds(self) -> u64 {
        match self {
            Every::Minute => 60,
            Every::Hour => 3600,
        }
    }

    /// For how long windows are kept, in seconds: minutes three hours, hours ninety days.
    pub const fn kept(self) -> u64 {
        match self {
            Every::Minute => 3 * 3600,
            Every::Hour => 90 * 24 * 3600,
        }
    }

    /// The shortest windows that reach back so far.
    pub const fn reaching(seconds: u64) -> Self {
        if seconds <= Every::Minute.kept() { Every::Minute } else { Every::Hour }
    }

    /// The start of the window that holds an instant.
    pub const fn start(self, at: Timestamp) -> Timestamp {
        let length = self.seconds() as i64 * 1000;
        Timestamp(at.0.div_euclid(length) * length)
    }
}

impl FromStr for Every {
    type Err = Misread;
    fn from_str(text: &str) -> Result<Self, Misread> {
        match text {
            "1m" => Ok(Every::Minute),
            "1h" => Ok(Every::Hour),
            _ => Err(Misread::new(text, "no length of windows: 1m or 1h")),
        }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Every::Minute { "1m" } else { "1h" })
    }
}

/// Requests' time from the last byte of the body to the reply, in seconds; quantiles are estimated from buckets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    pub mean: f64,
    pub p50: f64,
    pub p99: f64,
}

impl LatencySummary {
    fn of(tally: &Tally) -> Option<Self> {
        let latency = &tally.latency;
        Some(Self { mean: latency.mean()?, p50: latency.quantile(0.5)?, p99: latency.quantile(0.99)? })
    }
}

/// Rows that were predicted to be of one class, in one cluster, or in one stretch of numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictionShare {
    pub value: String,
    pub rows: u64,
    pub share: f64,
}

/// What was seen of one variant with one model version, and what it means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatchReport {
    #[serde(flatten)]
    pub watched: Watched,
    pub latency: Option<LatencySummary>,
    pub predictions: Vec<PredictionShare>,
    /// The mean of what was predicted: of numbers, of the probability of the positive class, or with more than two classes of
    /// the predicted one.
    pub mean_prediction: Option<f64>,
    /// Whether the model knows how its features were distributed in training; without that, drift is not measured.
    pub has_baseline: bool,
    /// Of each feature, the one that moved most first.
    pub drift: Vec<FeatureDrift>,
}

fn shares(model: &Model, tally: &Tally) -> Vec<PredictionShare> {
    let edges = model.baseline.as_ref().map(|b| b.label_edges.as_slice()).unwrap_or_default();
    let name = |n: usize| match &model.target {
        Target::Class { classes, .. } => classes.get(n).map(ToString::to_string).unwrap_or_default(),
        Target::Cluster { .. } => n.to_string(),
        Target::Number { .. } => match (n.checked_sub(1).and_then(|n| edges.get(n)), edges.get(n)) {
            (None, Some(upper)) => format!("at most {upper}"),
            (Some(lower), Some(upper)) => format!("{lower} to {upper}"),
            (Some(lower), None) => format!("more than {lower}"),
            (None, None) => "any".into(),
        },
    };
    let all = tally.rows.max(1) as f64;
    let counts = tally.outcomes.counts.iter().enumerate();
    counts.map(|(n, rows)| PredictionShare { value: name(n), rows: *rows, share: *rows as f64 / all }).collect()
}

fn mean_prediction(model: Option<&Model>, tally: &Tally) -> Option<f64> {
    let clusters = model.is_none_or(|m| matches!(m.target, Target::Cluster { .. }));
    tally.mean_outcome().filter(|_| !clusters)
}

impl WatchReport {
    /// `model` is what was watched; it may have been removed meanwhile.
    pub fn new(watched: Watched, model: Option<&Model>) -> Self {
        let tally = &watched.tally;
        Self {
            latency: LatencySummary::of(tally),
            predictions: model.map(|m| shares(m, tally)).unwrap_or_default(),
            mean_prediction: mean_prediction(model, tally),
            has_baseline: model.is_some_and(|m| m.baseline.is_some()),
            drift: model.map(|m| drift(m, tally)).unwrap_or_default(),
            watched,
        }
    }
}

/// What was seen of one variant with one model version in one window: a point of a metric over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowReport {
    pub start: Timestamp,
    /// The window's length.
    pub seconds: u64,
    pub variant: String,
    pub model: ModelRef,
    pub requests: u64,
    pub rows: u64,
    pub errors: BTreeMap<ErrorKind, u64>,
    pub latency: Option<LatencySummary>,
    /// Share of the rows that were predicted to be of the positive class, the last of two.
    pub positive_share: Option<f64>,
    pub mean_prediction: Option<f64>,
    /// The largest population stability index of a feature; `None`: not measured.
    pub max_psi: Option<f64>,
    /// The feature that has it.
    pub max_psi_feature: Option<String>,
    pub capture_dropped: u64,
}

impl WindowReport {
    /// `model` is the window's; it may have been removed meanwhile.
    pub fn new(window: &Window, model: Option<&Model>) -> Self {
        let tally = &window.tally;
        let first = model.and_then(|m| drift(m, tally).into_iter().next()).filter(|d| d.psi.is_some());
        let positive = model.filter(|m| m.target.classes().len() == 2).and_then(|_| tally.outcomes.counts.get(1));
        Self {
            start: window.start,
            seconds: window.seconds,
            variant: window.variant.clone(),
            model: window.model.clone(),
            requests: tally.requests,
            rows: tally.rows,
            errors: tally.errors.clone(),
            latency: LatencySummary::of(tally),
            positive_share: positive.filter(|_| tally.rows > 0).map(|n| *n as f64 / tally.rows as f64),
            mean_prediction: mean_prediction(model, tally),
            max_psi: first.as_ref().and_then(|d| d.psi),
            max_psi_feature: first.map(|d| d.feature),
            capture_dropped: tally.capture_dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClassValue, Label, example};
    use crate::schema::DataType;
    use crate::watch::{Baseline, Outcomes};

    #[test]
    fn windows_begin_at_whole_minutes_and_hours_of_utc() {
        let at = Timestamp(3_600_000 * 5 + 61_234);
        assert_eq!(Every::Minute.start(at), Timestamp(3_600_000 * 5 + 60_000));
        assert_eq!(Every::Hour.start(at), Timestamp(3_600_000 * 5));
        assert_eq!(Every::Minute.start(Timestamp(-1)), Timestamp(-60_000));
        assert_eq!((Every::reaching(3 * 3600), Every::reaching(3 * 3600 + 1)), (Every::Minute, Every::Hour));
        assert_eq!(["1m", "1h"].map(|t| t.parse::<Every>().map(|e| e.to_string())), ["1m", "1h"].map(|t| Ok(t.into())));
        assert!("1d".parse::<Every>().is_err());
    }

    fn watched(counts: &[u64], sum: f64) -> Watched {
        let rows = counts.iter().sum();
        let outcomes = Outcomes { counts: counts.to_vec(), sum, ..Default::default() };
        let tally = Tally { requests: 1, rows, outcomes, ..Default::default() };
        Watched { variant: "a".into(), model: "m@1".parse().unwrap(), tally }
    }

    fn window(watched: Watched) -> Window {
        let Watched { variant, model, tally } = watched;
        Window { endpoint: "e".parse().unwrap(), variant, model, start: Timestamp(0), seconds: 60, tally }
    }

    #[test]
    fn of_two_classes_the_last_is_the_positive_one() {
        let label = Label { column: "y".into(), dtype: DataType::String };
        let classes: Vec<ClassValue> = ["no", "yes"].map(|c| ClassValue::String(c.into())).to_vec();
        let model = Model { target: Target::Class { label, classes }, ..example().unwrap() };
        let report = WatchReport::new(watched(&[3, 1], 1.0), Some(&model));
        let told: Vec<(&str, u64, f64)> =
            report.predictions.iter().map(|p| (p.value.as_str(), p.rows, p.share)).collect();
        assert_eq!(told, [("no", 3, 0.75), ("yes", 1, 0.25)]);
        assert_eq!((report.mean_prediction, report.has_baseline, report.latency), (Some(0.25), false, None));
        let point = WindowReport::new(&window(watched(&[3, 1], 1.0)), Some(&model));
        assert_eq!((point.positive_share, point.max_psi, point.max_psi_feature), (Some(0.25), None, None));
        let gone = WindowReport::new(&window(watched(&[3, 1], 1.0)), None);
        assert_eq!((gone.rows, gone.positive_share, gone.mean_prediction), (4, None, None));
    }

    #[test]
    fn numbers_are_told_by_the_labels_deciles() {
        let baseline = Baseline { rows: 1, features: Vec::new(), label_edges: vec![1.0, 2.5] };
        let model = Model { baseline: Some(baseline), ..example().unwrap() };
        let report = WatchReport::new(watched(&[1, 2, 1], 8.0), Some(&model));
        let names: Vec<&str> = report.predictions.iter().map(|p| p.value.as_str()).collect();
        assert_eq!(names, ["at most 1", "1 to 2.5", "more than 2.5"]);
        assert_eq!((report.mean_prediction, report.has_baseline), (Some(2.0), true));
        let clusters = Model { target: Target::Cluster { clusters: 3 }, ..model };
        assert_eq!(WatchReport::new(watched(&[1, 2, 1], 0.0), Some(&clusters)).mean_prediction, None);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((json["variant"].as_str(), json["tally"]["rows"].as_u64()), (Some("a"), Some(4)));
        assert_eq!(serde_json::from_value::<WatchReport>(json).unwrap(), report);
    }
}
