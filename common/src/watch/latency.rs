//! A latency histogram of fixed buckets, so that those of several nodes add up.

use serde::{Deserialize, Serialize};

/// Upper bounds of the buckets in microseconds; one more bucket takes what is slower.
pub const LATENCY_BOUNDS_MICROS: [u64; 22] = [
    10, 25, 50, 100, 250, 500, 750, 1_000, 1_500, 2_500, 5_000, 7_500, 10_000, 25_000, 50_000, 100_000, 250_000,
    500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Of each bucket its requests; empty until there is one.
    pub counts: Vec<u64>,
    pub sum_micros: u64,
}

impl Latency {
    pub fn add(&mut self, micros: u64) {
        self.counts.resize(LATENCY_BOUNDS_MICROS.len() + 1, 0);
        let bucket = LATENCY_BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    pub fn merge(&mut self, other: &Latency) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, more)| *own += more);
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}
