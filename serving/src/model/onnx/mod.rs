//! Models of other programs' making: ONNX files of scikit-learn's and XGBoost's converters. What predicts is cut out of the graph,
//! checked operator by operator, and run by tract; operators of `ai.onnx.ml` are our own.

mod cache;
mod classes;
mod error;
mod graph;
mod inspect;
mod ml;
mod outputs;
mod read;
mod rewrite;
mod simplify;
#[cfg(test)]
mod testing;
mod trial;

pub use cache::Graphs;
pub use error::OnnxError;
pub use graph::Graph;
pub use inspect::{Inspected, Options, inspect};

/// The checksum by which a file is known: `xxh3-128` in hex.
pub fn digest(bytes: &[u8]) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(bytes))
}

#[cfg(test)]
mod tests;
