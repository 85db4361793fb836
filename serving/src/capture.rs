//! What is kept of requests and their answers.

use std::fmt;
use std::pin::Pin;

use shardmill_common::endpoint::EndpointName;
use shardmill_common::model::ModelRef;
use shardmill_common::name::DatasetName;
use shardmill_common::time::Timestamp;

use crate::predictor::{Predicted, Predictor};
use crate::table::Table;

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
    pub predicted: &'a Predicted,
}

/// What a flush comes to: the rows that were put into their datasets, or why they could not be.
pub type Flushing = Pin<Box<dyn Future<Output = Result<u64, String>> + Send>>;

/// Takes what is to be kept.
pub trait Sink: Send + Sync + fmt::Debug {
    /// Must not wait: it is called between the prediction and the reply. False: there was no room, and the event is lost.
    fn keep(&self, event: &Event<'_>) -> bool;

    /// Puts what was kept until now into its datasets.
    fn flush(&self) -> Flushing;
}
