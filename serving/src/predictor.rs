//! A model version made ready to answer requests.

use std::sync::Arc;

use shardmill_common::model::{Model, Target};

use crate::encode::{Encoded, Fault, Plan};
use crate::model::onnx::{Graphs, OnnxError};
use crate::model::{Scorer, Scores};
use crate::table::Table;

/// What a request's rows became.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted {
    pub encoded: Encoded,
    pub scores: Scores,
    /// Of each row the predicted class or cluster; of numbers none.
    pub classes: Vec<u32>,
}

/// A model version made ready once for any number of requests.
pub struct Predictor {
    pub model: Arc<Model>,
    plan: Plan,
    scorer: Scorer,
}

impl Predictor {
    /// `graphs` has the graphs of imported models.
    pub fn new(model: Arc<Model>, graphs: &Graphs) -> Result<Self, OnnxError> {
        let plan = Plan::new(&model.features);
        let scorer = Scorer::new(&model, &plan.layout, |wanted| graphs.get(wanted))?;
        Ok(Self { model, plan, scorer })
    }

    pub fn predict(&self, table: &Table<'_>) -> Result<Predicted, Fault> {
        let encoded = self.plan.encode(table)?;
        let scores = self.scorer.score(&encoded.matrix).map_err(|e| Fault::Row(e.to_string()))?;
        let classes = scores.classes();
        Ok(Predicted { encoded, scores, classes })
    }

    /// Names of the columns of an answer: those that batch prediction adds.
    pub fn answer_columns(&self) -> Vec<String> {
        use shardmill_common::kinds::predict::PredictOutputs;
        use shardmill_common::prediction::added_columns;
        let both = PredictOutputs { label: true, probability: true };
        added_columns(&self.model.target, both).into_iter().map(|f| f.name).collect()
    }

    pub fn target(&self) -> &Target {
        &self.model.target
    }
}
