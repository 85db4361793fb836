//! The homes of the model families, a file each; what two of them share has files of its own.

mod glm;
mod glm_base;
mod kmeans;
mod linear;
mod linfa;
mod logistic;
mod naive_bayes;

pub use linfa::Linfa;
pub use naive_bayes::NaiveBayes;

use crate::jobs::train::unfit::{TrainUnfit, above_zero, not_zero};

/// Whether these end a search.
fn check_ends(tol: f64, max_iter: u32) -> Result<(), TrainUnfit> {
    above_zero("--tol", tol)?;
    not_zero("--max-iter", max_iter)
}
