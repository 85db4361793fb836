//! What is kept of requests and their answers.

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

/// Takes what is to be kept. It must not wait: it is called between the prediction and the reply.
pub trait Sink: Send + Sync {
    /// False: there was no room, and the event is lost.
    fn keep(&self, event: &Event<'_>) -> bool;
}
