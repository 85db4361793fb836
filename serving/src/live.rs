//! The endpoints that a node serves: what a request is routed to. A change makes a new table; requests under way keep the one
//! they began with.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use shardmill_common::endpoint::{Counted, Deployment, Endpoint, EndpointName, Variant, Watched};
use shardmill_common::model::ModelRef;
use shardmill_common::watch::Tally;
use tokio::sync::watch;

use axum::http::HeaderValue;

use crate::dialect::Answers;
use crate::http::header_value;
use crate::model::onnx::{Graphs, OnnxError};
use crate::predictor::Predictor;
use crate::watch::Recorder;

/// Why not all endpoints are served as they are now.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(DeployFault::to_string).collect::<Vec<_>>().join("; "))]
pub struct DeployError(pub Vec<DeployFault>);

#[derive(Debug, thiserror::Error)]
pub enum DeployFault {
    #[error("{model}: {why}")]
    Model { model: ModelRef, why: OnnxError },
    #[error("endpoint `{name}` stays as it was")]
    Endpoint { name: String },
}

/// A variant that answers.
pub struct LiveVariant {
    pub variant: Variant,
    pub predictor: Arc<Predictor>,
    pub recorder: Arc<Recorder>,
    pub answers: Answers,
    /// The names of variant and model (`churn@3`) as headers of replies.
    pub variant_header: HeaderValue,
    pub model_header: HeaderValue,
}

pub struct LiveEndpoint {
    pub endpoint: Endpoint,
    pub variants: Vec<LiveVariant>,
    /// Of each variant the end of its part of 0..1.
    ends: Vec<f64>,
}

impl LiveEndpoint {
    /// The variant that has `at`, which is drawn evenly from 0..1.
    pub fn choose(&self, at: f64) -> Option<&LiveVariant> {
        let place = self.ends.partition_point(|end| *end <= at);
        let last = self.variants.iter().rev().find(|v| v.variant.weight > 0.0);
        self.variants.get(place).or(last)
    }

    pub fn variant(&self, name: &str) -> Option<&LiveVariant> {
        self.variants.iter().find(|v| v.variant.name == name)
    }
}

/// All endpoints at one time.
#[derive(Default)]
pub struct Routes {
    pub revision: u64,
    pub endpoints: HashMap<String, Arc<LiveEndpoint>>,
}

impl Routes {
    /// The endpoint for requests that name none: the one marked, or the only one.
    pub fn default_endpoint(&self) -> Option<&Arc<LiveEndpoint>> {
        let marked = self.endpoints.values().find(|e| e.endpoint.is_default);
        marked.or_else(|| if self.endpoints.len() == 1 { self.endpoints.values().next() } else { None })
    }

    /// Names in order, for messages.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.endpoints.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

/// Endpoint, variant and model version.
pub type RecorderKey = (EndpointName, String, ModelRef);

/// The endpoints of a node, and what it counted.
#[derive(Default)]
pub struct Live {
    routes: RwLock<Arc<Routes>>,
    /// Kept when variants change, so that nothing counted is lost.
    recorders: Mutex<HashMap<RecorderKey, Arc<Recorder>>>,
    predictors: Mutex<HashMap<ModelRef, Arc<Predictor>>>,
    applied: watch::Sender<u64>,
    deployed: AtomicBool,
    graphs: Arc<Graphs>,
}

impl Live {
    /// `graphs` gets the graphs of imported models.
    pub fn new(graphs: Arc<Graphs>) -> Self {
        Self { graphs, ..Self::default() }
    }

    pub fn routes(&self) -> Arc<Routes> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last change that is served; 0 before there was any.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// Whether endpoints were ever taken up, be it that there are none.
    pub fn is_deployed(&self) -> bool {
        self.deployed.load(Ordering::Relaxed)
    }

    fn recorder(&self, endpoint: &EndpointName, variant: &str, predictor: &Predictor) -> Arc<Recorder> {
        let key = (endpoint.clone(), variant.to_owned(), predictor.model.reference());
        let mut recorders = self.recorders.lock().unwrap_or_else(PoisonError::into_inner);
        recorders.entry(key).or_insert_with(|| Arc::new(Recorder::new(&predictor.model))).clone()
    }

    /// Makes every model ready, then swaps the table: requests see the old endpoints or the new ones, never none. Where a model
    /// cannot be made ready, its endpoints stay as they were, the others change all the same, and the answer says why.
    pub fn deploy(&self, deployment: Deployment) -> Result<(), DeployError> {
        let ready = self.predictors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut known: HashMap<ModelRef, Arc<Predictor>> = HashMap::with_capacity(deployment.models.len());
        let mut faults = Vec::new();
        for model in deployment.models {
            let reference = model.reference();
            // A version's number is never given twice, but a cluster may be made anew.
            let same = |p: &&Arc<Predictor>| p.model.job == model.job && p.model.created == model.created;
            let predictor = match ready.get(&reference).filter(same) {
                Some(ready) => ready.clone(),
                None => match Predictor::new(Arc::new(model), &self.graphs) {
                    Ok(predictor) => Arc::new(predictor),
                    Err(why) => {
                        faults.push(DeployFault::Model { model: reference, why });
                        continue;
                    }
                },
            };
            known.insert(reference, predictor);
        }
        let before = self.routes();
        let mut endpoints = HashMap::with_capacity(deployment.endpoints.len());
        for endpoint in deployment.endpoints {
            let name = endpoint.name.to_string();
            match self.made_live(endpoint, &known) {
                Some(live) => drop(endpoints.insert(name, Arc::new(live))),
                None => {
                    faults.push(DeployFault::Endpoint { name: name.clone() });
                    if let Some(old) = before.endpoints.get(&name) {
                        endpoints.insert(name, old.clone());
                    }
                }
            }
        }
        *self.predictors.lock().unwrap_or_else(PoisonError::into_inner) = known;
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        *routes = Arc::new(Routes { revision: deployment.revision, endpoints });
        drop(routes);
        self.deployed.store(true, Ordering::Relaxed);
        if !faults.is_empty() {
            return Err(DeployError(faults));
        }
        self.applied.send_replace(deployment.revision);
        Ok(())
    }

    /// `None`: one of its models is not ready.
    fn made_live(&self, endpoint: Endpoint, known: &HashMap<ModelRef, Arc<Predictor>>) -> Option<LiveEndpoint> {
        let mut variants = Vec::with_capacity(endpoint.variants.len());
        let (mut ends, mut end) = (Vec::with_capacity(endpoint.variants.len()), 0.0);
        for variant in &endpoint.variants {
            let predictor = known.get(&variant.model)?;
            end += endpoint.share(variant);
            ends.push(end);
            variants.push(LiveVariant {
                answers: Answers::new(predictor),
                variant_header: header_value(&variant.name),
                model_header: header_value(&variant.model.to_string()),
                recorder: self.recorder(&endpoint.name, &variant.name, predictor),
                variant: variant.clone(),
                predictor: predictor.clone(),
            });
        }
        Some(LiveEndpoint { endpoint, variants, ends })
    }

    /// Everything that counts on this node.
    pub fn recorders(&self) -> Vec<(RecorderKey, Arc<Recorder>)> {
        let recorders = self.recorders.lock().unwrap_or_else(PoisonError::into_inner);
        recorders.iter().map(|(key, recorder)| (key.clone(), recorder.clone())).collect()
    }

    /// What was counted since this was last called; what counted nothing is left out.
    pub fn take(&self) -> Vec<Counted> {
        let recorders = self.recorders.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = recorders.iter().map(|((endpoint, variant, model), recorder)| Counted {
            endpoint: endpoint.clone(),
            watched: Watched { variant: variant.clone(), model: model.clone(), tally: recorder.take() },
        });
        counted.filter(|c| c.watched.tally != Tally::default()).collect()
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
