//! The model registry: versions, aliases and evaluations. Pure; what it changes it says, so that the journal can keep it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shardmill_common::failure::Refusal;
use shardmill_common::ids::JobId;
use shardmill_common::model::{Evaluation, Model, ModelDetail, ModelName, ModelRef, ModelSummary, OnnxGraph, Which};
use shardmill_common::time::Timestamp;

/// What is kept of a name besides its versions. It outlives them: a number is never given twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelState {
    pub last_version: u32,
    /// The versions that each alias pointed at, the current one last.
    pub aliases: BTreeMap<String, Vec<u32>>,
}

impl ModelState {
    fn current(&self, alias: &str) -> Option<u32> {
        self.aliases.get(alias).and_then(|history| history.last().copied())
    }

    fn aliases_of(&self, version: u32) -> Vec<String> {
        self.aliases.iter().filter(|(_, h)| h.last() == Some(&version)).map(|(a, _)| a.clone()).collect()
    }
}

/// A change of the registry, as the journal writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelChange {
    PutState(ModelName, ModelState),
    PutModel(Box<Model>),
    RemoveModel(ModelName, u32),
    /// All evaluations of a version.
    PutEvaluations(ModelName, u32, Vec<Evaluation>),
}

/// What removing versions comes to.
pub struct ModelRemoval {
    pub changes: Vec<ModelChange>,
    pub removed: Vec<ModelRef>,
    /// The jobs that made them, after which their files are called.
    pub jobs: Vec<JobId>,
    /// Digests of the graphs of those that were imported.
    pub graphs: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    model: Option<Model>,
    evaluations: Vec<Evaluation>,
}

#[derive(Clone, Debug, Default)]
pub struct Registry {
    states: BTreeMap<ModelName, ModelState>,
    versions: BTreeMap<ModelName, BTreeMap<u32, Entry>>,
}

fn unknown_version(name: &ModelName, versions: &BTreeMap<u32, Entry>, asked: &str) -> Refusal {
    let there: Vec<String> = versions.keys().map(u32::to_string).collect();
    Refusal::NotFound(format!("there is no model {name}@{asked}; the versions of `{name}` are {}", there.join(", ")))
}

impl Registry {
    /// Makes a change as the journal has it.
    pub fn apply(&mut self, change: ModelChange) {
        match change {
            ModelChange::PutState(name, state) => {
                self.states.insert(name, state);
            }
            ModelChange::PutModel(model) => {
                let entry = self.versions.entry(model.name.clone()).or_default().entry(model.version).or_default();
                entry.model = Some(*model);
            }
            ModelChange::RemoveModel(name, version) => {
                if let Some(versions) = self.versions.get_mut(&name) {
                    versions.remove(&version);
                    if versions.is_empty() {
                        self.versions.remove(&name);
                    }
                }
            }
            ModelChange::PutEvaluations(name, version, evaluations) => {
                self.versions.entry(name).or_default().entry(version).or_default().evaluations = evaluations;
            }
        }
    }

    fn of_name(&self, name: &ModelName) -> Result<&BTreeMap<u32, Entry>, Refusal> {
        self.versions.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.versions.keys().map(ModelName::as_str).collect();
            Refusal::NotFound(match known.as_slice() {
                [] => format!("there is no model `{name}`, and no other: `shardmill train` makes one"),
                some if some.len() <= 10 => format!("there is no model `{name}`; there are {}", some.join(", ")),
                _ => format!("there is no model `{name}`; `shardmill model list` shows what there is"),
            })
        })
    }

    fn entry(&self, model: &ModelRef) -> Result<(&Model, &[Evaluation]), Refusal> {
        let versions = self.of_name(&model.name)?;
        let entry = match &model.which {
            Which::Latest => versions.values().next_back(),
            Which::Version(version) => versions.get(version),
            Which::Alias(alias) => {
                let state = self.states.get(&model.name);
                let version = state.and_then(|s| s.current(alias)).ok_or_else(|| {
                    let known: Vec<&str> = state.iter().flat_map(|s| s.aliases.keys()).map(String::as_str).collect();
                    let known =
                        if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
                    Refusal::NotFound(format!("model `{}` has no alias `{alias}`; {known}", model.name))
                })?;
                versions.get(&version)
            }
        };
        let found = entry.and_then(|e| e.model.as_ref().map(|m| (m, e.evaluations.as_slice())));
        found.ok_or_else(|| match &model.which {
            Which::Version(v) => unknown_version(&model.name, versions, &v.to_string()),
            _ => unknown_version(&model.name, versions, "latest"),
        })
    }

    /// The version meant, or which there are.
    pub fn find(&self, model: &ModelRef) -> Result<&Model, Refusal> {
        Ok(self.entry(model)?.0)
    }

    pub fn detail(&self, model: &ModelRef) -> Result<ModelDetail, Refusal> {
        let (model, evaluations) = self.entry(model)?;
        let aliases = self.states.get(&model.name).map(|s| s.aliases_of(model.version)).unwrap_or_default();
        Ok(ModelDetail { model: model.clone(), aliases, evaluations: evaluations.to_vec() })
    }

    /// The graphs of all imported models.
    pub fn graphs(&self) -> impl Iterator<Item = &OnnxGraph> {
        self.versions.values().flat_map(|v| v.values()).filter_map(|entry| entry.model.as_ref()?.graph())
    }

    /// Every version of a name, or of all names, the newest first.
    pub fn summaries(&self, name: Option<&ModelName>) -> Result<Vec<ModelSummary>, Refusal> {
        if let Some(name) = name {
            self.of_name(name)?;
        }
        let wanted = self.versions.iter().filter(|(n, _)| name.is_none_or(|name| *n == name));
        let summary = |entry: &Entry| {
            let model = entry.model.as_ref()?;
            Some(ModelSummary {
                model: model.reference(),
                algorithm: model.algorithm.clone(),
                data: model.data.clone(),
                rows: model.data.is_some().then_some(model.training.rows),
                file: model.graph().map(|g| g.file.clone()),
                features: model.features.width() as u64,
                aliases: self.states.get(&model.name).map(|s| s.aliases_of(model.version)).unwrap_or_default(),
                evaluation: entry.evaluations.last().cloned(),
                created: model.created,
            })
        };
        Ok(wanted.flat_map(|(_, versions)| versions.values().rev()).filter_map(summary).collect())
    }

    /// The changes that publish a model (without its curvature, which has a file of its own), and the model as it is numbered.
    pub fn publish(&self, mut model: Model, job: JobId, created: Timestamp) -> (Vec<ModelChange>, Model) {
        let mut state = self.states.get(&model.name).cloned().unwrap_or_default();
        state.last_version += 1;
        model.version = state.last_version;
        model.job = job;
        model.created = created;
        let lean = Model { curvature: None, ..model.clone() };
        (vec![ModelChange::PutState(model.name.clone(), state), ModelChange::PutModel(Box::new(lean))], model)
    }

    /// The change that adds an evaluation to its model; nothing where the model was removed meanwhile.
    pub fn evaluated(&self, evaluation: Evaluation) -> Option<ModelChange> {
        let (model, evaluations) = self.entry(&evaluation.model).ok()?;
        let mut all = evaluations.to_vec();
        all.push(evaluation);
        Some(ModelChange::PutEvaluations(model.name.clone(), model.version, all))
    }

    /// The change that lets an alias point at a version.
    pub fn alias(&self, name: &ModelName, alias: &str, version: u32) -> Result<ModelChange, Refusal> {
        let versions = self.of_name(name)?;
        if !versions.contains_key(&version) {
            return Err(unknown_version(name, versions, &version.to_string()));
        }
        let mut state = self.states.get(name).cloned().unwrap_or_default();
        let history = state.aliases.entry(alias.to_owned()).or_default();
        if history.last() != Some(&version) {
            history.push(version);
        }
        Ok(ModelChange::PutState(name.clone(), state))
    }

    /// The change that takes an alias away.
    pub fn unalias(&self, name: &ModelName, alias: &str) -> Result<ModelChange, Refusal> {
        self.find(&ModelRef { name: name.clone(), which: Which::Alias(alias.to_owned()) })?;
        let mut state = self.states.get(name).cloned().unwrap_or_default();
        state.aliases.remove(alias);
        Ok(ModelChange::PutState(name.clone(), state))
    }

    /// The change that lets an alias point at the version it pointed at before, and that version.
    pub fn rollback(&self, name: &ModelName, alias: &str) -> Result<(ModelChange, u32), Refusal> {
        self.find(&ModelRef { name: name.clone(), which: Which::Alias(alias.to_owned()) })?;
        let mut state = self.states.get(name).cloned().unwrap_or_default();
        let history = state.aliases.entry(alias.to_owned()).or_default();
        history.pop();
        match history.last().copied() {
            Some(version) => Ok((ModelChange::PutState(name.clone(), state), version)),
            None => Err(Refusal::Conflict(format!(
                "`{name}@{alias}` pointed at no other version before: set it with `shardmill model alias {name} {alias}=VERSION`"
            ))),
        }
    }

    /// What removing one version, or all of a name, comes to. A version with an alias stays.
    pub fn remove(&self, model: &ModelRef) -> Result<ModelRemoval, Refusal> {
        let name = &model.name;
        let versions = self.of_name(name)?;
        let doomed: Vec<u32> = match model.which {
            Which::Latest => versions.keys().copied().collect(),
            _ => vec![self.find(model)?.version],
        };
        let mut state = self.states.get(name).cloned().unwrap_or_default();
        for version in &doomed {
            if let Some(alias) = state.aliases_of(*version).first() {
                return Err(Refusal::Conflict(format!(
                    "{name}@{version} is `{alias}`: let that alias point at another version first, or take it away with \
                     `shardmill model alias {name} --remove {alias}`"
                )));
            }
        }
        for history in state.aliases.values_mut() {
            history.retain(|v| !doomed.contains(v));
        }
        state.aliases.retain(|_, history| !history.is_empty());
        let mut changes: Vec<ModelChange> = doomed.iter().map(|v| ModelChange::RemoveModel(name.clone(), *v)).collect();
        changes.push(ModelChange::PutState(name.clone(), state));
        let models = doomed.iter().filter_map(|v| versions.get(v)?.model.as_ref());
        let graphs = models.clone().filter_map(Model::graph);
        Ok(ModelRemoval {
            changes,
            removed: doomed.iter().map(|v| ModelRef::version(name.clone(), *v)).collect(),
            graphs: graphs.map(|g| g.digest.clone()).collect(),
            jobs: models.map(|m| m.job).collect(),
        })
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
