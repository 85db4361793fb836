//! Models at work without an engine: encoded rows to predictions, endpoints over HTTP in the dialects that existing clients
//! speak, and the counting that watches them. Batch prediction and endpoints share the scoring, and so its every bit.

pub mod capture;
pub mod dialect;
pub mod encode;
pub mod http;
pub mod live;
pub mod metrics;
pub mod model;
pub mod node;
mod predictor;
pub mod table;
pub mod watch;

pub use predictor::{Predicted, Predictor};
