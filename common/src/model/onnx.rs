//! What is kept of a model that was imported from an ONNX file, besides the file itself.

use serde::{Deserialize, Serialize};

/// Larger files are refused, in bytes: the coordinator hands the file to every worker that predicts with it.
pub const MAX_GRAPH_BYTES: u64 = 256 << 20;

/// A graph, and how rows go in and predictions come out. The file lies at the coordinator, under its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnnxGraph {
    /// The file's name as it was given.
    pub file: String,
    pub bytes: u64,
    /// `xxh3-128` of the file, in hex.
    pub digest: String,
    /// What wrote the file, as it says itself, such as `skl2onnx 1.20`; empty if it does not.
    pub producer: String,
    /// The graph's inputs; the features go into them in their order.
    pub inputs: Vec<OnnxInput>,
    pub output: OnnxOutput,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnnxInput {
    pub name: String,
    /// Features that it takes.
    pub columns: u32,
}

/// What of the graph predictions are made of, by its name in the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OnnxOutput {
    /// A column a class.
    Probabilities { name: String },
    /// A number a row.
    Number { name: String },
    /// The squared distances to the centres of the clusters, a column each.
    Clusters { squares: String },
}
