//! What turns encoded rows into predictions: a kernel over the model's parameters, or the graph of an imported model.

use std::sync::Arc;

use shardmill_common::model::{Model, OnnxGraph};

use super::matrix::{Layout, Matrix};
use super::onnx::Graph;
use super::score::{Kernel, Scores};

/// A model's scoring, made ready once for any number of matrices of one layout.
pub struct Scorer(Engine);

enum Engine {
    Kernel(Kernel),
    Graph {
        graph: Arc<Graph>,
        /// How many there are; 0 of other targets.
        classes: usize,
    },
}

impl Scorer {
    /// `graph` gets the graph of an imported model; it is not called for others.
    pub fn new<E>(
        model: &Model,
        layout: &Layout,
        graph: impl FnOnce(&OnnxGraph) -> Result<Arc<Graph>, E>,
    ) -> Result<Self, E> {
        Ok(Scorer(match model.graph() {
            Some(wanted) => Engine::Graph { graph: graph(wanted)?, classes: model.target.classes().len() },
            None => Engine::Kernel(Kernel::new(&model.parameters, layout)),
        }))
    }

    /// Predictions for the rows of a matrix; only a graph may fail.
    pub fn score(&self, matrix: &Matrix) -> Result<Scores, String> {
        match &self.0 {
            Engine::Kernel(kernel) => Ok(kernel.score(matrix)),
            Engine::Graph { graph, classes } => graph.score(matrix, *classes),
        }
    }
}
