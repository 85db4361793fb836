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

/// Whether these end a search.
fn check_ends(tol: f64, max_iter: u32) -> Result<(), String> {
    if !(tol > 0.0 && tol.is_finite()) {
        return Err(format!("--tol must be above 0, not {tol}"));
    }
    if max_iter == 0 {
        return Err("--max-iter must be at least 1".into());
    }
    Ok(())
}
