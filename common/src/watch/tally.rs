//! Sums over the requests that one variant with one model version answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::latency::Latency;
use crate::endpoint::EndpointName;
use crate::model::ModelRef;
use crate::time::Timestamp;

/// Bins of equal width into which the probability of the positive class (of more than two classes: of the predicted one) is counted.
pub const PROBABILITY_BINS: usize = 10;

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
    /// In the bins of the model's baseline; empty where it has none.
    pub bins: Vec<u64>,
    pub missing: u64,
    /// Categories that training did not see.
    pub unseen: u64,
}

/// What was predicted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Rows by predicted class or cluster; by bins of the label's deciles where a number is predicted.
    pub counts: Vec<u64>,
    /// `PROBABILITY_BINS` of them, for classes.
    pub probabilities: Vec<u64>,
    /// Sum of predicted numbers, or of the probabilities that are counted.
    pub sum: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    #[serde(default)]
    pub capture_dropped: u64,
}

fn add_up(own: &mut Vec<u64>, more: &[u64]) {
    if own.len() < more.len() {
        own.resize(more.len(), 0);
    }
    own.iter_mut().zip(more).for_each(|(own, more)| *own += more);
}

impl Tally {
    pub fn is_empty(&self) -> bool {
        self.requests == 0 && self.errors.is_empty() && self.capture_dropped == 0
    }

    pub fn merge(&mut self, other: &Tally) {
        self.requests += other.requests;
        self.rows += other.rows;
        for (kind, count) in &other.errors {
            *self.errors.entry(*kind).or_default() += count;
        }
        self.latency.merge(&other.latency);
        add_up(&mut self.outcomes.counts, &other.outcomes.counts);
        add_up(&mut self.outcomes.probabilities, &other.outcomes.probabilities);
        self.outcomes.sum += other.outcomes.sum;
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
}

/// What was seen in one stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub endpoint: EndpointName,
    pub variant: String,
    pub model: ModelRef,
    /// Where it begins.
    pub start: Timestamp,
    pub seconds: u64,
    pub tally: Tally,
}
