//! What was counted in one stretch of time.

use serde::{Deserialize, Serialize};

use super::tally::Tally;
use crate::endpoint::EndpointName;
use crate::model::ModelRef;
use crate::time::Timestamp;

/// What was seen of one variant with one model version in one stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub endpoint: EndpointName,
    pub variant: String,
    pub model: ModelRef,
    /// Where it begins.
    pub start: Timestamp,
    pub seconds: u64,
    pub tally: Tally,
}
