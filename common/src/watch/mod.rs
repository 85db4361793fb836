//! What is watched of endpoints: sums that add up over requests, nodes and time, and what they are compared with.

mod baseline;
mod drift;
mod latency;
mod psi;
mod report;
mod sample;
mod tally;
mod window;

pub use baseline::{Baseline, FeatureBaseline, bin, decile_edges};
pub use drift::{FeatureDrift, drift};
pub use latency::{LATENCY_BOUNDS_MICROS, Latency};
pub use psi::{SHARE_FLOOR, feature_psi, psi};
pub use report::{Every, LatencySummary, PredictionShare, WatchReport, WindowReport};
pub use sample::{Sample, sampled_row};
pub use tally::{ErrorKind, FeatureTally, Outcomes, PROBABILITY_BOUNDS, Tally};
pub use window::Window;
