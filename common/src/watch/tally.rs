//! Sums over the requests that one variant with one model version answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::latency::Latency;

/// Upper bounds of the bins into which the probability of the positive class (of more than two classes: of the predicted one)
/// is counted; a bin holds what is more than the bound before and at most its own.
pub const PROBABILITY_BOUNDS: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// Why a request got no predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A body that cannot be read, or columns that do not fit the model.
    BadRequest,
    /// A content type that is not spoken.
    BadContentType,
    /// A body that is too large.
    TooLarge,
    /// A row that the model cannot take: no value, an unknown category.
    BadRow,
    /// A body that did not arrive in time, or not whole.
    Incomplete,
    /// The queue was full.
    QueueFull,
    /// A fault of ours.
    Internal,
}

impl ErrorKind {
    pub const ALL: [ErrorKind; 7] = [
        ErrorKind::BadRequest,
        ErrorKind::BadContentType,
        ErrorKind::TooLarge,
        ErrorKind::BadRow,
        ErrorKind::Incomplete,
        ErrorKind::QueueFull,
        ErrorKind::Internal,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            ErrorKind::BadRequest => "bad_request",
            ErrorKind::BadContentType => "bad_content_type",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::BadRow => "bad_row",
            ErrorKind::Incomplete => "incomplete",
            ErrorKind::QueueFull => "queue_full",
            ErrorKind::Internal => "internal",
        }
    }
}

/// What was seen of one feature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureTally {
    /// In the bins of the model's baseline, or by the model's categories; empty for numbers without a baseline.
    pub bins: Vec<u64>,
    pub missing: u64,
    /// Categories that training did not see.
    pub unseen: u64,
}

/// What was predicted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Rows by predicted class or cluster. Of numbers by the label's deciles in training: those of at most the first edge, then
    /// those of more than an edge and at most the next, last those of more than all; empty where the deciles are not known.
    pub counts: Vec<u64>,
    /// For classes: as many as `PROBABILITY_BOUNDS`.
    pub probabilities: Vec<u64>,
    /// Sum of predicted numbers, or of the probabilities that are counted.
    pub sum: f64,
}

/// What was counted; sums, which add up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Requests that got predictions.
    pub requests: u64,
    pub rows: u64,
    pub errors: BTreeMap<ErrorKind, u64>,
    /// Of requests that got predictions: from the last byte of the body to the reply.
    pub latency: Latency,
    pub outcomes: Outcomes,
    /// In the order of the model's features.
    pub features: Vec<FeatureTally>,
    /// Rows that should have been captured and could not be.
    pub capture_dropped: u64,
}

fn add_up(own: &mut Vec<u64>, more: &[u64]) {
    if own.len() < more.len() {
        own.resize(more.len(), 0);
    }
    own.iter_mut().zip(more).for_each(|(own, more)| *own += more);
}

impl Outcomes {
    /// Adds a prediction to the sum, unless the sum would not be finite then: JSON has no word for that.
    pub fn add(&mut self, prediction: f64) {
        let sum = self.sum + prediction;
        self.sum = if sum.is_finite() { sum } else { self.sum };
    }

    /// The bin of a probability.
    pub fn probability_bin(probability: f64) -> usize {
        let bin = PROBABILITY_BOUNDS.partition_point(|bound| *bound < probability);
        bin.min(PROBABILITY_BOUNDS.len() - 1)
    }
}

impl Tally {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.requests == 0 && self.errors.is_empty() && self.capture_dropped == 0
    }

    /// Adds what was counted elsewhere, or at another time.
    pub fn merge(&mut self, other: &Tally) {
        self.requests += other.requests;
        self.rows += other.rows;
        for (kind, count) in &other.errors {
            *self.errors.entry(*kind).or_default() += count;
        }
        self.latency.merge(&other.latency);
        add_up(&mut self.outcomes.counts, &other.outcomes.counts);
        add_up(&mut self.outcomes.probabilities, &other.outcomes.probabilities);
        self.outcomes.add(other.outcomes.sum);
        if self.features.len() < other.features.len() {
            self.features.resize(other.features.len(), FeatureTally::default());
        }
        for (own, more) in self.features.iter_mut().zip(&other.features) {
            add_up(&mut own.bins, &more.bins);
            own.missing += more.missing;
            own.unseen += more.unseen;
        }
        self.capture_dropped += other.capture_dropped;
    }

    /// Requests that got no predictions.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The mean of what was predicted: of numbers, or of the probabilities that are counted. `None`: there is none.
    pub fn mean_outcome(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.outcomes.sum / self.rows as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(requests: u64, bins: &[u64]) -> Tally {
        let mut tally = Tally { requests, rows: 2 * requests, ..Default::default() };
        tally.errors.insert(ErrorKind::BadRow, 1);
        tally.latency.add(30);
        tally.outcomes = Outcomes { counts: bins.to_vec(), probabilities: vec![1; 10], sum: 0.5 };
        tally.features = vec![FeatureTally { bins: bins.to_vec(), missing: 1, unseen: 2 }];
        tally.capture_dropped = 1;
        tally
    }

    #[test]
    fn tallies_add_up_whatever_their_sizes() {
        let mut sum = Tally::default();
        assert!(sum.is_empty());
        sum.merge(&tally(3, &[1, 2]));
        sum.merge(&tally(4, &[10, 20, 30]));
        assert_eq!((sum.requests, sum.rows, sum.failed(), sum.capture_dropped), (7, 14, 2, 2));
        assert_eq!(sum.features, vec![FeatureTally { bins: vec![11, 22, 30], missing: 2, unseen: 4 }]);
        assert_eq!((sum.outcomes.counts.as_slice(), sum.outcomes.sum), ([11, 22, 30].as_slice(), 1.0));
        assert_eq!((sum.latency.count(), sum.latency.sum_micros), (2, 60));
        let read: Tally = serde_json::from_str(&serde_json::to_string(&sum).unwrap()).unwrap();
        assert_eq!(read, sum);
    }

    #[test]
    fn a_bound_belongs_to_the_bin_below_it() {
        let bins: Vec<usize> = [0.0, 0.1, 0.11, 0.5, 0.95, 1.0, 1.1].map(Outcomes::probability_bin).to_vec();
        assert_eq!(bins, [0, 0, 1, 4, 9, 9, 9]);
    }

    #[test]
    fn a_sum_stays_finite() {
        let mut outcomes = Outcomes { sum: f64::MAX, ..Default::default() };
        outcomes.add(f64::MAX);
        outcomes.add(f64::NAN);
        assert_eq!(outcomes.sum, f64::MAX);
    }
}
