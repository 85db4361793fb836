//! Models at work: raw columns to numbers, numbers to predictions.

mod encode;
mod score;

#[cfg(test)]
pub use encode::Codes;
pub use encode::{Encoded, Matrix, NO_CODE, Reason, Unusable, encode};
pub use score::{Scores, score};
