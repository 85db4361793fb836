//! What is kept of requests and their answers: one line of JSON for each row that was predicted, with what was asked, what was
//! answered, and who answered it. Whoever keeps the lines makes a dataset of them.

mod line;

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use shardmill_common::endpoint::EndpointName;
use shardmill_common::kinds::predict::PredictOutputs;
use shardmill_common::model::{Model, ModelRef};
use shardmill_common::name::DatasetName;
use shardmill_common::prediction::added_columns;
use shardmill_common::schema::{Field, Schema};
use shardmill_common::time::Timestamp;

pub use self::line::{lines, size};
use crate::dialect::Answers;
use crate::predictor::{Predicted, Predictor};
use crate::table::Table;
pub use shardmill_common::captured::*;

/// A request that was chosen to be kept, and its answer.
pub struct Event<'a> {
    pub dataset: &'a DatasetName,
    pub endpoint: &'a EndpointName,
    pub variant: &'a str,
    pub model: &'a ModelRef,
    pub time: Timestamp,
    /// Made by the node, a UUID; the reply carries it too.
    pub request: &'a str,
    /// The client's own name for the request, if it gave one.
    pub inference_id: Option<&'a str>,
    pub table: &'a Table<'a>,
    pub predictor: &'a Predictor,
    /// How the predictor's answers are written.
    pub answers: &'a Answers,
    pub predicted: &'a Predicted,
}

/// What a flush comes to: the rows that were put into their datasets, or why they could not be.
pub type Flushing = Pin<Box<dyn Future<Output = Result<u64, FlushError>> + Send>>;

/// Why captured rows are not in their datasets; they are kept all the same.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    #[error("captured rows are not published any more: the process stops")]
    Stopping,
    #[error("captured rows could not be published in {} s", .0.as_secs())]
    Late(Duration),
    /// `why`, in the words of whoever publishes.
    #[error("captured rows of `{dataset}` wait on disk: {why}")]
    Waiting { dataset: DatasetName, why: Box<dyn std::error::Error + Send + Sync> },
}

/// Takes what is to be kept.
pub trait Sink: Send + Sync + fmt::Debug {
    /// Must not wait: it is called between the prediction and the reply. False: there was no room, and the event is lost.
    fn keep(&self, event: &Event<'_>) -> bool;

    /// Puts what was kept until now into its datasets.
    fn flush(&self) -> Flushing;
}

/// The columns of a model's answer, named and typed as batch prediction does.
fn answers(model: &Model) -> Vec<Field> {
    added_columns(&model.target, PredictOutputs { label: true, probability: true })
}

/// The columns whose type is known before any value is seen: those of every row, what the model reads, and what it answers.
/// Further columns of requests have the types of their values.
pub fn known_columns(model: &Model) -> Schema {
    let answers = answers(model);
    let taken = |name: &str| COLUMNS.iter().any(|(ours, _)| *ours == name) || answers.iter().any(|a| a.name == name);
    let features = model.features.features.iter();
    let mut fields: Vec<Field> = COLUMNS.iter().map(|(name, dtype)| Field::new(*name, *dtype)).collect();
    fields.extend(features.filter(|f| !taken(&f.column)).map(|f| Field::new(f.column.clone(), f.dtype)));
    fields.extend(answers.iter().cloned());
    Schema::new(fields)
}
