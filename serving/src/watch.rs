//! Counting what a variant is asked and answers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shardmill_common::model::Model;
use shardmill_common::watch::{ErrorKind, Tally};

use crate::predictor::Predicted;

/// The sums of one variant with one model version on this node.
pub struct Recorder {
    /// Since the node started.
    total: Mutex<Tally>,
    /// Since it was last taken.
    fresh: Mutex<Tally>,
}

impl Recorder {
    pub fn new(_model: &Model) -> Self {
        Self { total: Mutex::default(), fresh: Mutex::default() }
    }

    /// A request was answered with predictions.
    pub fn answered(&self, predicted: &Predicted, took: Duration) {
        let mut tally = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        tally.requests += 1;
        tally.rows += predicted.encoded.matrix.rows as u64;
        tally.latency.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// A request got no predictions.
    pub fn failed(&self, kind: ErrorKind) {
        *self.fresh.lock().unwrap_or_else(PoisonError::into_inner).errors.entry(kind).or_default() += 1;
    }

    /// Rows that were to be captured were not.
    pub fn capture_dropped(&self, rows: u64) {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).capture_dropped += rows;
    }

    /// What came since this was last called.
    pub fn take(&self) -> Tally {
        let fresh = std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner));
        self.total.lock().unwrap_or_else(PoisonError::into_inner).merge(&fresh);
        fresh
    }
}
