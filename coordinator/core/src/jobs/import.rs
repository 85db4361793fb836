//! Import: a graph that a client read, checked and uploaded becomes a model version. No worker has to do anything.

use std::collections::BTreeSet;

use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::ids::JobId;
use shardmill_common::kinds::import::ImportSpec;
use shardmill_common::model::{Encoding, MAX_GRAPH_BYTES, Model, OnnxOutput, Parameters, Target, Training};
use shardmill_common::time::Timestamp;
use shardmill_common::unfit::{OwnUnfit, Unfit};
use shardmill_common::units::show_bytes;

use super::plan::{Next, Publication};
use crate::command::Facts;
use crate::core::Core;
use crate::jobs::Planner;
use crate::jobs::plan::{ResolvedJob, StageView};

/// The word for the algorithm of an imported model.
pub const ALGORITHM: &str = "onnx";

/// What is wrong with an import alone.
#[derive(Debug, thiserror::Error)]
enum ImportUnfit {
    #[error("{file} has {}, and models of up to {} are imported", show_bytes(*bytes), show_bytes(MAX_GRAPH_BYTES))]
    TooLarge { file: String, bytes: u64 },
    #[error("`{0}` is not a number, and a graph computes with numbers")]
    NoNumber(String),
    #[error("two features are called `{0}`")]
    TwoOfName(String),
    #[error("the inputs of the graph take {taken} numbers, and there are {features} features")]
    Inputs { taken: u64, features: usize },
    #[error("`{0}` cannot be the label and a feature at once: say --label")]
    LabelIsFeature(String),
    #[error("a classifier has two classes or more, each once")]
    Classes,
    #[error("the outputs of the graph do not fit what it predicts")]
    Outputs,
}

impl OwnUnfit for ImportUnfit {}

impl Planner for ImportSpec {
    fn resolve(&mut self, _core: &Core, facts: &Facts) -> Result<(), Refusal> {
        if facts.graph_at_hand {
            return Ok(());
        }
        let file = &self.graph.file;
        Err(Refusal::Conflict(format!("the file {file} is not at the coordinator any more: import it again")))
    }

    fn check(&self, _job: &ResolvedJob) -> Result<(), Unfit> {
        let graph = &self.graph;
        if graph.bytes > MAX_GRAPH_BYTES {
            return Err(ImportUnfit::TooLarge { file: graph.file.clone(), bytes: graph.bytes }.into());
        }
        let mut seen = BTreeSet::new();
        for feature in &self.features.features {
            if !matches!(feature.encoding, Encoding::Numeric { .. }) || feature.indicator {
                return Err(ImportUnfit::NoNumber(feature.column.clone()).into());
            }
            if !seen.insert(feature.column.as_str()) {
                return Err(ImportUnfit::TwoOfName(feature.column.clone()).into());
            }
        }
        let taken: u64 = graph.inputs.iter().map(|input| u64::from(input.columns)).sum();
        if taken != self.features.width() as u64 {
            return Err(ImportUnfit::Inputs { taken, features: seen.len() }.into());
        }
        if let Some(label) = self.target.label()
            && seen.contains(label.column.as_str())
        {
            return Err(ImportUnfit::LabelIsFeature(label.column.clone()).into());
        }
        match (&self.target, &graph.output) {
            (Target::Class { classes, .. }, OnnxOutput::Probabilities { .. }) => {
                let different: BTreeSet<_> = classes.iter().collect();
                if classes.len() < 2 || different.len() != classes.len() {
                    return Err(ImportUnfit::Classes.into());
                }
                Ok(())
            }
            (Target::Number { .. }, OnnxOutput::Number { .. })
            | (Target::Cluster { .. }, OnnxOutput::Clusters { .. }) => Ok(()),
            _ => Err(ImportUnfit::Outputs.into()),
        }
    }

    fn next(&self, _job: &ResolvedJob, _stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let model = Model {
            name: self.model.clone(),
            version: 0,
            algorithm: ALGORITHM.to_owned(),
            target: self.target.clone(),
            features: self.features.clone(),
            parameters: Parameters::Onnx(self.graph.clone()),
            curvature: None,
            baseline: None,
            training: Training {
                rows: 0,
                rows_skipped: 0,
                rounds: Vec::new(),
                converged: true,
                solver: "none".to_owned(),
                notices: self.notices.clone(),
            },
            data: None,
            parent: None,
            spec: None,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            job: JobId(0),
            created: Timestamp(0),
        };
        Ok(Next::publish(Publication { model: Some(Box::new(model)), ..Default::default() }))
    }
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
