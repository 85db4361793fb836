//! What exports make of each family's parameters. A family's home is a file of this folder.

mod imported;
mod kmeans;
mod linear;
mod logistic;
mod naive_bayes;

use serde_json::Value;
use shardmill_common::model::Parameters;

use super::Reason;
use super::formulas::Formula;

pub trait Exported {
    /// What was learnt, under names that scikit-learn's users know.
    fn object(&self) -> Value;

    /// What a file computes for a model of so many classes.
    fn formula(&self, classes: usize) -> Result<Formula, Reason>;
}

pub fn exported(parameters: &Parameters) -> &dyn Exported {
    match parameters {
        Parameters::Logistic(parameters) => parameters,
        Parameters::Linear(parameters) => parameters,
        Parameters::NaiveBayes(parameters) => parameters,
        Parameters::KMeans(parameters) => parameters,
        Parameters::Onnx(graph) => graph,
    }
}
