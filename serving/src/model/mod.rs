//! A model at work: encoded rows, and their predictions.

mod matrix;
mod score;

pub use matrix::{Codes, Layout, Matrix, NO_CODE, Reason, Unusable};
pub use score::{Kernel, Scores, score};
