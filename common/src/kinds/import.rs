//! Import: a model that another program made becomes a version. It has no tasks.

use serde::{Deserialize, Serialize};

use super::{Kind, reads, writes};
use crate::model::{Encoder, ModelName, OnnxGraph, Target};

/// A graph that was read and checked by the client, and uploaded to the coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportSpec {
    pub model: ModelName,
    /// Where the file lay: `file://host/absolute/path`.
    pub location: String,
    pub graph: OnnxGraph,
    pub features: Encoder,
    pub target: Target,
    /// What a person should know of the file.
    pub notices: Vec<String>,
}

impl Kind for ImportSpec {
    reads!();
    writes!();

    fn graph(&self) -> Option<&OnnxGraph> {
        Some(&self.graph)
    }

    fn uploaded_graph(&self) -> Option<&OnnxGraph> {
        Some(&self.graph)
    }
}
