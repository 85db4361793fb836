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

    /// In seconds; `None` of nothing.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum_micros as f64 / 1e6 / count as f64)
    }

    /// The latency that a part of the requests (0.5: half of them) stays below, in seconds: within its bucket, requests are
    /// taken to be spread evenly, as Prometheus' `histogram_quantile` does. Of what is slower than every bound, the last
    /// bound is told. `None` of nothing.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let rank = part * self.count() as f64;
        let mut below = 0.0;
        for (n, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if below + count >= rank {
                let lower = n.checked_sub(1).and_then(|n| LATENCY_BOUNDS_MICROS.get(n)).map_or(0.0, |b| *b as f64);
                let upper = LATENCY_BOUNDS_MICROS.get(n).map_or(lower, |b| *b as f64);
                return Some((lower + (upper - lower) * ((rank - below) / count)) / 1e6);
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_found_within_their_buckets() {
        let mut latency = Latency::default();
        assert_eq!((latency.mean(), latency.quantile(0.5)), (None, None));
        for micros in [20, 20, 20, 20, 60, 60, 60, 60, 60, 60] {
            latency.add(micros);
        }
        assert_eq!(latency.mean(), Some(44e-6));
        // Four in 10..25, six in 50..100: the fifth is a sixth into the latter.
        assert!((latency.quantile(0.5).unwrap() - (50.0 + 50.0 / 6.0) * 1e-6).abs() < 1e-12);
        assert_eq!(latency.quantile(0.4), Some(25e-6));
        assert_eq!(latency.quantile(1.0), Some(100e-6));
    }

    #[test]
    fn a_bound_belongs_to_its_bucket_and_the_slowest_have_one() {
        let mut latency = Latency::default();
        latency.add(10);
        latency.add(11);
        latency.add(99_000_000);
        assert_eq!((latency.counts[0], latency.counts[1], latency.counts.last()), (1, 1, Some(&1)));
        assert_eq!(latency.quantile(1.0), Some(10.0));
    }
}
