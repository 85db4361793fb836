//! Counting what a variant is asked and answers.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shardmill_common::model::{Encoding, Model, Target};
use shardmill_common::watch::{
    ErrorKind, FeatureBaseline, FeatureTally, LATENCY_BOUNDS_MICROS, Latency, Outcomes, PROBABILITY_BOUNDS, Tally, bin,
};

use crate::encode::{MISSING, UNSEEN};
use crate::model::Scores;
use crate::predictor::Predicted;

/// Requests of more rows are counted apart and then added, so that nobody waits for them.
const FEW_ROWS: usize = 32;

/// A numeric feature: its place among the features, and the edges of its bins.
struct Numbers {
    place: usize,
    /// `None`: the model has no baseline.
    edges: Option<Vec<f64>>,
}

/// What predictions are counted by.
pub enum Outcome {
    /// The classes' texts.
    Classes(Vec<String>),
    Clusters(u32),
    /// The label's deciles in training; empty where they are not known.
    Numbers(Vec<f64>),
}

/// What features and predictions are counted by: settled by the model.
struct Plan {
    numbers: Vec<Numbers>,
    /// Places of the one-hot features among the features.
    categories: Vec<usize>,
    names: Vec<String>,
    outcome: Outcome,
    /// Nothing counted, with all the room that counting takes.
    empty: Tally,
}

impl Plan {
    fn new(model: &Model) -> Self {
        let baselines = model.baseline.as_ref().map(|b| b.features.as_slice()).unwrap_or_default();
        let (mut numbers, mut categories) = (Vec::new(), Vec::new());
        let mut features = Vec::with_capacity(model.features.features.len());
        for (place, feature) in model.features.features.iter().enumerate() {
            let bins = match &feature.encoding {
                Encoding::Numeric { .. } => {
                    let edges = match baselines.get(place) {
                        Some(FeatureBaseline::Numeric { edges, .. }) => Some(edges.clone()),
                        _ => None,
                    };
                    let bins = edges.as_ref().map_or(0, |edges| edges.len() + 1);
                    numbers.push(Numbers { place, edges });
                    bins
                }
                Encoding::OneHot { categories: known, .. } => {
                    categories.push(place);
                    known.len()
                }
            };
            features.push(FeatureTally { bins: vec![0; bins], missing: 0, unseen: 0 });
        }
        let outcome = match &model.target {
            Target::Class { classes, .. } => Outcome::Classes(classes.iter().map(ToString::to_string).collect()),
            Target::Cluster { clusters } => Outcome::Clusters(*clusters),
            Target::Number { .. } => {
                Outcome::Numbers(model.baseline.as_ref().map(|b| b.label_edges.clone()).unwrap_or_default())
            }
        };
        let (outcomes, probabilities) = match &outcome {
            Outcome::Classes(classes) => (classes.len(), PROBABILITY_BOUNDS.len()),
            Outcome::Clusters(clusters) => (*clusters as usize, 0),
            Outcome::Numbers(edges) if edges.is_empty() => (0, 0),
            Outcome::Numbers(edges) => (edges.len() + 1, 0),
        };
        let empty = Tally {
            latency: Latency { counts: vec![0; LATENCY_BOUNDS_MICROS.len() + 1], sum_micros: 0 },
            outcomes: Outcomes { counts: vec![0; outcomes], probabilities: vec![0; probabilities], sum: 0.0 },
            features,
            ..Default::default()
        };
        let names = model.features.features.iter().map(|f| f.column.clone()).collect();
        Self { numbers, categories, names, outcome, empty }
    }

    fn count(&self, predicted: &Predicted, micros: u64, tally: &mut Tally) {
        tally.requests += 1;
        tally.rows += predicted.encoded.matrix.rows as u64;
        tally.latency.add(micros);
        self.count_features(predicted, &mut tally.features);
        self.count_outcomes(predicted, &mut tally.outcomes);
    }

    fn count_features(&self, predicted: &Predicted, features: &mut [FeatureTally]) {
        let encoded = &predicted.encoded;
        for row in encoded.numbers.chunks_exact(self.numbers.len().max(1)) {
            for (number, value) in self.numbers.iter().zip(row) {
                let Some(feature) = features.get_mut(number.place) else { continue };
                if value.is_nan() {
                    feature.missing += 1;
                } else if let Some(edges) = &number.edges {
                    add_one(&mut feature.bins, bin(edges, *value));
                }
            }
        }
        for row in encoded.categories.chunks_exact(self.categories.len().max(1)) {
            for (place, code) in self.categories.iter().zip(row) {
                let Some(feature) = features.get_mut(*place) else { continue };
                match *code {
                    MISSING => feature.missing += 1,
                    UNSEEN => feature.unseen += 1,
                    code => add_one(&mut feature.bins, code as usize),
                }
            }
        }
    }

    fn count_outcomes(&self, predicted: &Predicted, outcomes: &mut Outcomes) {
        for class in &predicted.classes {
            add_one(&mut outcomes.counts, *class as usize);
        }
        match &predicted.scores {
            Scores::Classes { classes, probabilities } => {
                let rows = probabilities.chunks_exact((*classes).max(1));
                for (row, class) in rows.zip(&predicted.classes) {
                    let watched = if *classes == 2 { 1 } else { *class as usize };
                    let probability = row.get(watched).copied().unwrap_or_default();
                    add_one(&mut outcomes.probabilities, Outcomes::probability_bin(probability));
                    outcomes.add(probability);
                }
            }
            Scores::Numbers(numbers) => {
                for number in numbers {
                    if let Outcome::Numbers(edges) = &self.outcome {
                        add_one(&mut outcomes.counts, edges.partition_point(|edge| *edge < *number));
                    }
                    outcomes.add(*number);
                }
            }
            Scores::Clusters { .. } => {}
        }
    }
}

fn add_one(counts: &mut [u64], place: usize) {
    if let Some(count) = counts.get_mut(place) {
        *count += 1;
    }
}

/// All counts to nothing; the room stays.
fn clear(tally: &mut Tally) {
    let Tally { requests, rows, errors, latency, outcomes, features, capture_dropped } = tally;
    (*requests, *rows, *capture_dropped) = (0, 0, 0);
    errors.clear();
    latency.counts.fill(0);
    latency.sum_micros = 0;
    outcomes.counts.fill(0);
    outcomes.probabilities.fill(0);
    outcomes.sum = 0.0;
    for feature in features {
        feature.bins.fill(0);
        (feature.missing, feature.unseen) = (0, 0);
    }
}

struct Counts {
    /// Until it was last taken.
    taken: Tally,
    /// Since then.
    fresh: Tally,
}

/// The sums of one variant with one model version on this node.
pub struct Recorder {
    plan: Plan,
    counts: Mutex<Counts>,
}

impl Recorder {
    pub fn new(model: &Model) -> Self {
        let plan = Plan::new(model);
        let counts = Counts { taken: plan.empty.clone(), fresh: plan.empty.clone() };
        Self { plan, counts: Mutex::new(counts) }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The features' columns.
    pub fn features(&self) -> &[String] {
        &self.plan.names
    }

    /// Whether a feature is one of categories.
    pub fn has_categories(&self, feature: usize) -> bool {
        self.plan.categories.contains(&feature)
    }

    pub fn outcome(&self) -> &Outcome {
        &self.plan.outcome
    }

    /// A request was answered with predictions.
    pub fn answered(&self, predicted: &Predicted, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if predicted.encoded.matrix.rows > FEW_ROWS {
            let mut tally = self.plan.empty.clone();
            self.plan.count(predicted, micros, &mut tally);
            self.counts().fresh.merge(&tally);
        } else {
            self.plan.count(predicted, micros, &mut self.counts().fresh);
        }
    }

    /// A request got no predictions.
    pub fn failed(&self, kind: ErrorKind) {
        *self.counts().fresh.errors.entry(kind).or_default() += 1;
    }

    /// Rows that were to be captured were not.
    pub fn capture_dropped(&self, rows: u64) {
        self.counts().fresh.capture_dropped += rows;
    }

    /// What came since this was last called.
    pub fn take(&self) -> Tally {
        let mut counts = self.counts();
        let Counts { taken, fresh } = &mut *counts;
        if fresh.is_empty() {
            return Tally::default();
        }
        taken.merge(fresh);
        let told = fresh.clone();
        clear(fresh);
        told
    }

    /// What came since the node started.
    pub fn total(&self) -> Tally {
        let counts = self.counts();
        let mut total = counts.taken.clone();
        total.merge(&counts.fresh);
        total
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
pub(crate) mod tests;
