//! What is watched of endpoints: sums that add up over requests, nodes and time, and what they are compared with.

mod baseline;
mod latency;
mod tally;

pub use baseline::{Baseline, FeatureBaseline};
pub use latency::{LATENCY_BOUNDS_MICROS, Latency};
pub use tally::{ErrorKind, FeatureTally, Outcomes, PROBABILITY_BINS, Tally, Window};
