//! The model registry: versions, aliases and evaluations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shardmill_common::failure::Refusal;
use shardmill_common::ids::JobId;
use shardmill_common::model::{Evaluation, Model, ModelDetail, ModelName, ModelRef, ModelSummary, OnnxGraph, Which};

use crate::rows::{Kept, Ledger};
use crate::tables::{Evaluations, ModelNames, Models};

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

/// What was removed.
#[derive(Debug)]
pub struct ModelRemoval {
    pub removed: Vec<ModelRef>,
    /// The jobs that made them, after which their files are called.
    pub jobs: Vec<JobId>,
    /// Digests of the graphs of those that were imported.
    pub graphs: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Registry {
    pub(crate) names: Kept<ModelNames>,
    pub(crate) models: Kept<Models>,
    pub(crate) evaluations: Kept<Evaluations>,
}

fn unknown_version(name: &ModelName, there: &[u32], asked: &str) -> Refusal {
    let there: Vec<String> = there.iter().map(u32::to_string).collect();
    Refusal::NotFound(format!("there is no model {name}@{asked}; the versions of `{name}` are {}", there.join(", ")))
}

impl Registry {
    /// The version numbers of a name, the oldest first.
    fn of_name(&self, name: &ModelName) -> Result<Vec<u32>, Refusal> {
        let all = (name.clone(), 0)..=(name.clone(), u32::MAX);
        let versions: Vec<u32> = self.models.range(all).map(|((_, version), _)| *version).collect();
        if !versions.is_empty() {
            return Ok(versions);
        }
        let mut known: Vec<&str> = self.models.iter().map(|((name, _), _)| name.as_str()).collect();
        known.dedup();
        Err(Refusal::NotFound(match known.as_slice() {
            [] => format!("there is no model `{name}`, and no other: `shardmill train` makes one"),
            some if some.len() <= 10 => format!("there is no model `{name}`; there are {}", some.join(", ")),
            _ => format!("there is no model `{name}`; `shardmill model list` shows what there is"),
        }))
    }

    fn evaluations(&self, name: &ModelName, version: u32) -> &[Evaluation] {
        self.evaluations.get(&(name.clone(), version)).map_or(&[], Vec::as_slice)
    }

    fn state(&self, name: &ModelName) -> ModelState {
        self.names.get(name).cloned().unwrap_or_default()
    }

    /// The version meant, or which there are.
    pub fn find(&self, model: &ModelRef) -> Result<&Model, Refusal> {
        let versions = self.of_name(&model.name)?;
        let version = match &model.which {
            Which::Latest => versions.last().copied(),
            Which::Version(version) => Some(*version),
            Which::Alias(alias) => {
                let state = self.names.get(&model.name);
                let version = state.and_then(|s| s.current(alias)).ok_or_else(|| {
                    let known: Vec<&str> = state.iter().flat_map(|s| s.aliases.keys()).map(String::as_str).collect();
                    let known =
                        if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
                    Refusal::NotFound(format!("model `{}` has no alias `{alias}`; {known}", model.name))
                })?;
                Some(version)
            }
        };
        let found = version.and_then(|version| self.models.get(&(model.name.clone(), version)));
        found.ok_or_else(|| match &model.which {
            Which::Version(v) => unknown_version(&model.name, &versions, &v.to_string()),
            _ => unknown_version(&model.name, &versions, "latest"),
        })
    }

    pub fn detail(&self, model: &ModelRef) -> Result<ModelDetail, Refusal> {
        let model = self.find(model)?;
        let aliases = self.names.get(&model.name).map(|s| s.aliases_of(model.version)).unwrap_or_default();
        let evaluations = self.evaluations(&model.name, model.version).to_vec();
        Ok(ModelDetail { model: model.clone(), aliases, evaluations })
    }

    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.values()
    }

    /// The graphs of all imported models.
    pub fn graphs(&self) -> impl Iterator<Item = &OnnxGraph> {
        self.models.values().filter_map(Model::graph)
    }

    /// Every version of a name, or of all names, the newest first.
    pub fn summaries(&self, name: Option<&ModelName>) -> Result<Vec<ModelSummary>, Refusal> {
        if let Some(name) = name {
            self.of_name(name)?;
        }
        let summary = |model: &Model| ModelSummary {
            model: model.reference(),
            algorithm: model.algorithm.clone(),
            data: model.data.clone(),
            rows: model.data.is_some().then_some(model.training.rows),
            file: model.graph().map(|g| g.file.clone()),
            features: model.features.width() as u64,
            aliases: self.names.get(&model.name).map(|s| s.aliases_of(model.version)).unwrap_or_default(),
            evaluation: self.evaluations(&model.name, model.version).last().cloned(),
            created: model.created,
        };
        let mut wanted: Vec<&Model> =
            self.models.values().filter(|m| name.is_none_or(|name| m.name == *name)).collect();
        // By name, of each name the newest first.
        wanted.sort_by(|a, b| a.name.cmp(&b.name).then(b.version.cmp(&a.version)));
        Ok(wanted.into_iter().map(summary).collect())
    }

    /// The number that the next version of a name gets.
    pub fn next_version(&self, name: &ModelName) -> u32 {
        self.state(name).last_version + 1
    }

    /// Publishes a model that has its number (without its curvature, which has a file of its own).
    pub fn publish(&mut self, ledger: &mut Ledger, model: Model) {
        let state = ModelState { last_version: model.version, ..self.state(&model.name) };
        self.names.put(ledger, model.name.clone(), state);
        self.models.put(ledger, (model.name.clone(), model.version), Model { curvature: None, ..model });
    }

    /// Adds an evaluation to its model; nothing where the model was removed meanwhile.
    pub fn evaluated(&mut self, ledger: &mut Ledger, evaluation: Evaluation) {
        let Ok(model) = self.find(&evaluation.model) else { return };
        let key = (model.name.clone(), model.version);
        let mut all = self.evaluations(&key.0, key.1).to_vec();
        all.push(evaluation);
        self.evaluations.put(ledger, key, all);
    }

    /// Lets an alias point at a version.
    pub fn alias(&mut self, ledger: &mut Ledger, name: &ModelName, alias: &str, version: u32) -> Result<(), Refusal> {
        let versions = self.of_name(name)?;
        if !versions.contains(&version) {
            return Err(unknown_version(name, &versions, &version.to_string()));
        }
        let mut state = self.state(name);
        let history = state.aliases.entry(alias.to_owned()).or_default();
        if history.last() != Some(&version) {
            history.push(version);
        }
        self.names.put(ledger, name.clone(), state);
        Ok(())
    }

    fn find_alias(&self, name: &ModelName, alias: &str) -> Result<&Model, Refusal> {
        self.find(&ModelRef { name: name.clone(), which: Which::Alias(alias.to_owned()) })
    }

    /// Takes an alias away.
    pub fn unalias(&mut self, ledger: &mut Ledger, name: &ModelName, alias: &str) -> Result<(), Refusal> {
        self.find_alias(name, alias)?;
        let mut state = self.state(name);
        state.aliases.remove(alias);
        self.names.put(ledger, name.clone(), state);
        Ok(())
    }

    /// Lets an alias point at the version it pointed at before; returns that version.
    pub fn rollback(&mut self, ledger: &mut Ledger, name: &ModelName, alias: &str) -> Result<u32, Refusal> {
        self.find_alias(name, alias)?;
        let mut state = self.state(name);
        let history = state.aliases.entry(alias.to_owned()).or_default();
        history.pop();
        let Some(version) = history.last().copied() else {
            return Err(Refusal::Conflict(format!(
                "`{name}@{alias}` pointed at no other version before: set it with `shardmill model alias {name} {alias}=VERSION`"
            )));
        };
        self.names.put(ledger, name.clone(), state);
        Ok(version)
    }

    /// The versions that removing one version, or all of a name, would remove. A version with an alias stays.
    pub fn removable(&self, model: &ModelRef) -> Result<Vec<u32>, Refusal> {
        let name = &model.name;
        let doomed: Vec<u32> = match model.which {
            Which::Latest => self.of_name(name)?,
            _ => vec![self.find(model)?.version],
        };
        let state = self.state(name);
        for version in &doomed {
            if let Some(alias) = state.aliases_of(*version).first() {
                return Err(Refusal::Conflict(format!(
                    "{name}@{version} is `{alias}`: let that alias point at another version first, or take it away with \
                     `shardmill model alias {name} --remove {alias}`"
                )));
            }
        }
        Ok(doomed)
    }

    /// Removes versions that [`Registry::removable`] named.
    pub fn remove(&mut self, ledger: &mut Ledger, name: &ModelName, doomed: &[u32]) -> ModelRemoval {
        let mut state = self.state(name);
        for history in state.aliases.values_mut() {
            history.retain(|v| !doomed.contains(v));
        }
        state.aliases.retain(|_, history| !history.is_empty());
        self.names.put(ledger, name.clone(), state);
        let mut removal = ModelRemoval { removed: Vec::new(), jobs: Vec::new(), graphs: Vec::new() };
        for version in doomed {
            let key = (name.clone(), *version);
            self.evaluations.remove(ledger, &key);
            let Some(model) = self.models.remove(ledger, &key) else { continue };
            removal.removed.push(model.reference());
            removal.graphs.extend(model.graph().map(|g| g.digest.clone()));
            removal.jobs.push(model.job);
        }
        removal
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
