//! What turns encoded rows into predictions: a kernel over the model's parameters, or the graph of an imported model.

use std::sync::Arc;

use shardmill_common::model::{Model, OnnxGraph, Parameters};

use super::matrix::{Layout, Matrix};
use super::onnx::{Graph, OnnxError};
use super::score::{self, Kernel, Scores};

/// A model's scoring, made ready once for any number of matrices of one layout.
pub struct Scorer(Engine);

enum Engine {
    Kernel(Box<dyn Kernel>),
    Graph { graph: Arc<Graph>, classes: usize },
}

impl Scorer {
    /// `graph` gets the graph of an imported model; it is not called for others.
    pub fn new<E>(
        model: &Model,
        layout: &Layout,
        graph: impl FnOnce(&OnnxGraph) -> Result<Arc<Graph>, E>,
    ) -> Result<Self, E> {
        Self::of(&model.parameters, model.target.classes().len(), layout, graph)
    }

    /// The same of a model's parameters, which tell so many classes apart (0 of other targets).
    pub fn of<E>(
        parameters: &Parameters,
        classes: usize,
        layout: &Layout,
        graph: impl FnOnce(&OnnxGraph) -> Result<Arc<Graph>, E>,
    ) -> Result<Self, E> {
        Ok(Scorer(match parameters {
            Parameters::Logistic(parameters) => Engine::Kernel(score::logistic(parameters, layout)),
            Parameters::Linear(parameters) => Engine::Kernel(score::linear(parameters, layout)),
            Parameters::NaiveBayes(parameters) => Engine::Kernel(score::naive_bayes(parameters, layout)),
            Parameters::KMeans(parameters) => Engine::Kernel(score::kmeans(parameters, layout)),
            Parameters::Onnx(wanted) => Engine::Graph { graph: graph(wanted)?, classes },
        }))
    }

    /// Predictions for the rows of a matrix; only a graph may fail.
    pub fn score(&self, matrix: &Matrix) -> Result<Scores, OnnxError> {
        match &self.0 {
            Engine::Kernel(kernel) => Ok(kernel.score(matrix)),
            Engine::Graph { graph, classes } => graph.score(matrix, *classes),
        }
    }
}
