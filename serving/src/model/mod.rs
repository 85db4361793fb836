//! A model at work: encoded rows, and their predictions.

mod matrix;
pub mod onnx;
mod score;
mod scorer;

pub use matrix::{Codes, Layout, Matrix, NO_CODE, Reason, Unusable};
pub use score::Scores;
pub use scorer::Scorer;
