//! The endpoints of a cluster: which there are and which model versions answer.

use std::collections::BTreeSet;

use shardmill_common::endpoint::{Capture, Endpoint, EndpointChange, EndpointName, Variant};
use shardmill_common::failure::Refusal;
use shardmill_common::model::{ModelName, ModelRef};
use shardmill_common::name::{DatasetName, Named};
use shardmill_common::time::Timestamp;

use crate::registry::Registry;
use crate::rows::{Kept, Ledger};
use crate::tables;

/// More variants than these are a mistake: each is a model in the memory of every node that serves.
const MOST_VARIANTS: usize = 100;

#[derive(Debug, Default)]
pub struct Endpoints {
    pub(crate) all: Kept<tables::Endpoints>,
}

fn check_weights(variants: &[Variant]) -> Result<(), Refusal> {
    for v in variants {
        if !v.weight.is_finite() || v.weight < 0.0 {
            return Err(Refusal::Invalid(format!(
                "the weight of variant `{}` is {}; weights are finite and not negative",
                v.name, v.weight
            )));
        }
    }
    let sum: f64 = variants.iter().map(|v| v.weight).sum();
    if sum == 0.0 {
        return Err(Refusal::Invalid(
            "the weights sum to 0, so that no variant would answer: give at least one a weight above 0".into(),
        ));
    }
    if !sum.is_finite() {
        return Err(Refusal::Invalid("the weights are too large to add up: give smaller ones".into()));
    }
    Ok(())
}

/// Checks the variants and puts version numbers in the place of aliases and bare names.
fn check_variants(mut variants: Vec<Variant>, registry: &Registry) -> Result<Vec<Variant>, Refusal> {
    if variants.is_empty() {
        return Err(Refusal::Invalid("an endpoint needs at least one variant: --variant NAME=MODEL@VERSION".into()));
    }
    if variants.len() > MOST_VARIANTS {
        return Err(Refusal::Invalid(format!("{} variants are too many; at most {MOST_VARIANTS}", variants.len())));
    }
    let mut names = BTreeSet::new();
    for variant in &mut variants {
        DatasetName::of(Named::Variant, &variant.name).map_err(Refusal::invalid)?;
        if !names.insert(variant.name.clone()) {
            return Err(Refusal::Invalid(format!("there are two variants called `{}`", variant.name)));
        }
        variant.model = registry.find(&variant.model)?.reference();
    }
    check_weights(&variants)?;
    Ok(variants)
}

fn check_capture(capture: &Capture) -> Result<(), Refusal> {
    if capture.rate > 0.0 && capture.rate <= 1.0 {
        return Ok(());
    }
    Err(Refusal::Invalid(format!("the capture rate is {}; it is more than 0 and at most 1", capture.rate)))
}

impl Endpoints {
    pub fn all(&self) -> impl Iterator<Item = &Endpoint> {
        self.all.values()
    }

    pub fn find(&self, name: &EndpointName) -> Result<&Endpoint, Refusal> {
        self.all.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.all().map(|e| e.name.as_str()).collect();
            Refusal::NotFound(match known.as_slice() {
                [] => format!("there is no endpoint `{name}`, and no other: `shardmill endpoint create` makes one"),
                some if some.len() <= 10 => format!("there is no endpoint `{name}`; there are {}", some.join(", ")),
                _ => format!("there is no endpoint `{name}`; `shardmill endpoint list` shows what there is"),
            })
        })
    }

    /// The endpoint that uses a version of this model , if there is one.
    pub fn user_of_model(&self, name: &ModelName, versions: &[u32]) -> Option<(&Endpoint, &ModelRef)> {
        let wanted: Vec<ModelRef> = versions.iter().map(|v| ModelRef::version(name.clone(), *v)).collect();
        self.all.values().find_map(|e| Some((e, e.variants.iter().map(|v| &v.model).find(|m| wanted.contains(m))?)))
    }

    /// The endpoint that captures into this dataset, if there is one.
    pub fn user_of_dataset(&self, name: &DatasetName) -> Option<&Endpoint> {
        self.all.values().find(|e| e.capture.as_ref().is_some_and(|c| c.dataset == *name))
    }

    /// Makes an endpoint; `revision` is the number of this change.
    pub fn create(
        &mut self,
        ledger: &mut Ledger,
        name: EndpointName,
        change: EndpointChange,
        registry: &Registry,
        revision: u64,
        now: Timestamp,
    ) -> Result<Endpoint, Refusal> {
        if self.all.contains(&name) {
            return Err(Refusal::Conflict(format!(
                "there is an endpoint `{name}` already: `shardmill endpoint update {name}` changes it"
            )));
        }
        let endpoint = Endpoint {
            name,
            variants: Vec::new(),
            capture: None,
            is_default: false,
            revision,
            created: now,
            updated: now,
        };
        let change = EndpointChange { variants: Some(change.variants.unwrap_or_default()), ..change };
        self.change(ledger, endpoint, change, registry)
    }

    pub fn update(
        &mut self,
        ledger: &mut Ledger,
        name: &EndpointName,
        change: EndpointChange,
        registry: &Registry,
        revision: u64,
        now: Timestamp,
    ) -> Result<Endpoint, Refusal> {
        let endpoint = Endpoint { revision, updated: now, ..self.find(name)?.clone() };
        self.change(ledger, endpoint, change, registry)
    }

    fn change(
        &mut self,
        ledger: &mut Ledger,
        mut endpoint: Endpoint,
        change: EndpointChange,
        registry: &Registry,
    ) -> Result<Endpoint, Refusal> {
        if let Some(variants) = change.variants {
            endpoint.variants = check_variants(variants, registry)?;
        }
        for (name, weight) in change.weights {
            let known: Vec<String> = endpoint.variants.iter().map(|v| v.name.clone()).collect();
            let Some(variant) = endpoint.variants.iter_mut().find(|v| v.name == name) else {
                return Err(Refusal::NotFound(format!(
                    "endpoint `{}` has no variant `{name}`; it has {}",
                    endpoint.name,
                    known.join(", ")
                )));
            };
            variant.weight = weight;
        }
        check_weights(&endpoint.variants)?;
        if let Some(capture) = change.capture {
            check_capture(&capture)?;
            endpoint.capture = Some(capture);
        } else if change.no_capture {
            endpoint.capture = None;
        }
        endpoint.is_default = change.is_default.unwrap_or(endpoint.is_default);
        if endpoint.is_default {
            // Only one endpoint is the default: the mark moves.
            let marked: Vec<Endpoint> =
                self.all().filter(|e| e.is_default && e.name != endpoint.name).cloned().collect();
            for other in marked {
                let revision = endpoint.revision;
                self.all.put(ledger, other.name.clone(), Endpoint { is_default: false, revision, ..other });
            }
        }
        self.all.put(ledger, endpoint.name.clone(), endpoint.clone());
        Ok(endpoint)
    }

    /// Removes an endpoint; returns it as it was.
    pub fn remove(&mut self, ledger: &mut Ledger, name: &EndpointName) -> Result<Endpoint, Refusal> {
        let endpoint = self.find(name)?.clone();
        self.all.remove(ledger, name);
        Ok(endpoint)
    }
}

#[cfg(test)]
#[path = "endpoints_tests.rs"]
mod tests;
