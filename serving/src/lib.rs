//! Models at work without an engine: encoded rows to predictions, endpoints over HTTP in the dialects that existing clients
//! speak, and the counting that watches them. Batch prediction and endpoints share the scoring, and so its every bit.

pub mod capture;
pub mod encode;
pub mod live;
pub mod model;
mod predictor;
pub mod table;
pub mod watch;

pub use predictor::{Predicted, Predictor};
