//! Endpoints: URLs that predict, and the weighted model versions behind them.

use serde::{Deserialize, Serialize};

use crate::model::{Model, ModelRef};
use crate::name::DatasetName;
use crate::time::Timestamp;
use crate::watch::{Every, Tally, WatchReport};

/// An endpoint's name follows the rules of a dataset's.
pub type EndpointName = DatasetName;

/// A model version that answers a share of an endpoint's requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    pub name: String,
    /// Always a version by its number.
    pub model: ModelRef,
    /// Its share is its weight over the sum of all weights. A variant of weight 0 answers only requests that name it.
    pub weight: f64,
}

/// Where the rows that were asked and the answers they got are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capture {
    pub dataset: DatasetName,
    /// Share of the requests that are kept, more than 0 and at most 1.
    pub rate: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub name: EndpointName,
    /// In the order they were given; names are unique.
    pub variants: Vec<Variant>,
    #[serde(default)]
    pub capture: Option<Capture>,
    /// It answers where a request names no endpoint (MLflow's `/invocations`).
    #[serde(default)]
    pub is_default: bool,
    /// Counts changes of all endpoints of the cluster: a node that has this number has this change.
    pub revision: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl Endpoint {
    /// The variant's part of the requests that name none, from 0 to 1.
    pub fn share(&self, variant: &Variant) -> f64 {
        variant.weight / self.variants.iter().map(|v| v.weight).sum::<f64>()
    }
}

/// What a change sets; what it leaves out stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointChange {
    /// All variants anew.
    #[serde(default)]
    pub variants: Option<Vec<Variant>>,
    /// New weights of variants that are there, by name.
    #[serde(default)]
    pub weights: Vec<(String, f64)>,
    #[serde(default)]
    pub capture: Option<Capture>,
    #[serde(default)]
    pub no_capture: bool,
    #[serde(default)]
    pub is_default: Option<bool>,
}

/// What clients ask of the coordinator about endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum EndpointRequest {
    /// Answered with the `Endpoint`.
    Create { name: EndpointName, change: EndpointChange },
    /// Answered with the `Endpoint`.
    Update { name: EndpointName, change: EndpointChange },
    /// Answered with the `Endpoint` as it was.
    Delete { name: EndpointName },
    /// Answered with `Vec<EndpointStatus>`, by name; what was watched is left out.
    List,
    /// Answered with an `EndpointStatus`. What is watched is that of the windows that reach into so many seconds back.
    Show { name: EndpointName, seconds: u64 },
    /// Answered with `Vec<watch::WindowReport>`: what was watched so many seconds back, window by window, the oldest first. The
    /// endpoint may be gone.
    Windows { name: EndpointName, seconds: u64, every: Every },
    /// Answered with `u64` once the rows that the coordinator itself captured so far are in their datasets: how many there
    /// were. Workers are asked one by one.
    FlushCapture,
    /// Answered with a `Deployment`: what a node needs to serve. For workers.
    Deployment,
}

/// An endpoint with where it is served and what was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointStatus {
    pub endpoint: Endpoint,
    pub nodes: Vec<ServingNode>,
    /// Of each variant and model version that was asked in that time.
    pub watched: Vec<WatchReport>,
}

/// A process that answers requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServingNode {
    /// `coordinator`, or a worker's id.
    pub node: String,
    /// `http://host:port`.
    pub url: String,
    /// The last change of endpoints that it serves.
    pub revision: u64,
}

/// What was seen of one variant with one model version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    pub variant: String,
    pub model: ModelRef,
    pub tally: Tally,
}

/// What a node counted of an endpoint since it last said so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    pub endpoint: EndpointName,
    #[serde(flatten)]
    pub watched: Watched,
}

/// All endpoints, and the model versions behind them: what a node that serves must know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub revision: u64,
    pub endpoints: Vec<Endpoint>,
    pub models: Vec<Model>,
}
