//! The catalog: datasets, their versions, and records. Pure; what it changes it says, so that the journal can keep it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shardmill_common::failure::Refusal;
use shardmill_common::ids::{JobId, ObjectId};
use shardmill_common::manifest::{Manifest, ObjectRef};
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::record::{OutputRecord, Record};
use shardmill_common::status::DatasetSummary;
use shardmill_common::time::Timestamp;

use crate::jobs::Publication;

/// What is kept of a name besides its versions. It outlives them: a number is never given twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameState {
    pub last_version: u32,
    /// Checksums of every source that ingests into this name took.
    #[serde(default)]
    pub taken: BTreeSet<String>,
}

/// A change of the catalog, as the journal writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    PutName(DatasetName, NameState),
    PutVersion(Box<Manifest>),
    RemoveVersion(DatasetName, u32),
    PutRecord(Box<Record>),
}

/// What removing versions comes to.
pub struct Removal {
    pub changes: Vec<Change>,
    pub removed: Vec<DatasetRef>,
    /// Once for each version that had them.
    pub objects: Vec<ObjectId>,
}

#[derive(Clone, Debug, Default)]
pub struct Catalog {
    names: BTreeMap<DatasetName, NameState>,
    versions: BTreeMap<DatasetName, BTreeMap<u32, Manifest>>,
    records: BTreeMap<JobId, Record>,
}

impl Catalog {
    /// Makes a change as the journal has it.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::PutName(name, state) => {
                self.names.insert(name, state);
            }
            Change::PutVersion(manifest) => {
                self.versions.entry(manifest.name.clone()).or_default().insert(manifest.version, *manifest);
            }
            Change::RemoveVersion(name, version) => {
                if let Some(versions) = self.versions.get_mut(&name) {
                    versions.remove(&version);
                    if versions.is_empty() {
                        self.versions.remove(&name);
                    }
                }
            }
            Change::PutRecord(record) => {
                self.records.insert(record.job, *record);
            }
        }
    }

    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.versions.values().flat_map(BTreeMap::values)
    }

    pub fn objects(&self) -> impl Iterator<Item = (ObjectRef, u32)> + '_ {
        self.manifests().flat_map(|m| m.objects().map(|o| (o.clone(), m.replicas)))
    }

    /// The version meant, or which there are.
    pub fn find(&self, dataset: &DatasetRef) -> Result<&Manifest, Refusal> {
        let Some(versions) = self.versions.get(&dataset.name) else {
            let close = self.close_to(dataset.name.as_str());
            let hint = close.map_or_else(
                || "`shardmill dataset list` shows what there is".to_owned(),
                |name| format!("did you mean `{name}`?"),
            );
            return Err(Refusal::NotFound(format!("there is no dataset `{}`; {hint}", dataset.name)));
        };
        let found = match dataset.version {
            None => versions.values().next_back(),
            Some(version) => versions.get(&version),
        };
        found.ok_or_else(|| {
            let there: Vec<String> = versions.keys().map(u32::to_string).collect();
            Refusal::NotFound(format!(
                "there is no {dataset}; the versions of `{}` are {}",
                dataset.name,
                there.join(", ")
            ))
        })
    }

    fn close_to(&self, name: &str) -> Option<&DatasetName> {
        let lower = name.to_lowercase();
        self.versions.keys().find(|k| {
            let k = k.as_str().to_lowercase();
            k == lower || k.contains(&lower) || (lower.contains(&k) && k.len() > 2)
        })
    }

    pub fn versions(&self, name: &DatasetName) -> Result<Vec<Manifest>, Refusal> {
        self.find(&DatasetRef { name: name.clone(), version: None })?;
        Ok(self.versions.get(name).map(|v| v.values().cloned().collect()).unwrap_or_default())
    }

    pub fn summaries(&self) -> Vec<DatasetSummary> {
        self.versions
            .values()
            .filter_map(|versions| {
                let latest = versions.values().next_back()?;
                Some(DatasetSummary {
                    dataset: latest.reference(),
                    rows: latest.rows(),
                    bytes: latest.bytes(),
                    shards: latest.shards.len() as u64,
                    columns: latest.schema.len() as u64,
                    replicas: latest.replicas,
                    versions: versions.len() as u32,
                    created: latest.created,
                })
            })
            .collect()
    }

    pub fn records(&self, job: Option<JobId>) -> Result<Vec<Record>, Refusal> {
        match job {
            None => Ok(self.records.values().rev().cloned().collect()),
            Some(id) => match self.records.get(&id) {
                Some(record) => Ok(vec![record.clone()]),
                None => Err(Refusal::NotFound(format!("there is no record of job {id}"))),
            },
        }
    }

    pub fn taken(&self, name: &DatasetName) -> Vec<String> {
        self.names.get(name).map(|n| n.taken.iter().cloned().collect()).unwrap_or_default()
    }

    /// Whether an ingest into this name took a source of this checksum.
    pub fn has_taken(&self, name: &DatasetName, checksum: &str) -> bool {
        self.names.get(name).is_some_and(|n| n.taken.contains(checksum))
    }

    /// The changes that publish a job's drafts, with the versions they become.
    pub fn publish(
        &self,
        publication: &Publication,
        taken: &[String],
        replicas: u32,
        job: JobId,
        created: Timestamp,
    ) -> (Vec<Change>, Vec<Manifest>) {
        let mut changes = Vec::new();
        let mut manifests = Vec::new();
        for (n, draft) in publication.drafts.iter().enumerate() {
            let mut state = self.names.get(&draft.name).cloned().unwrap_or_default();
            state.last_version += 1;
            if n == 0 {
                state.taken.extend(taken.iter().cloned());
            }
            let manifest = Manifest {
                name: draft.name.clone(),
                version: state.last_version,
                schema: draft.schema.clone(),
                shards: draft.shards.clone(),
                replicas,
                job,
                created,
            };
            changes.push(Change::PutName(draft.name.clone(), state));
            changes.push(Change::PutVersion(Box::new(manifest.clone())));
            manifests.push(manifest);
        }
        (changes, manifests)
    }

    /// The changes that give a dataset another name, with its rejects.
    pub fn rename(&self, from: &DatasetName, to: &DatasetName) -> Result<Vec<Change>, Refusal> {
        self.find(&DatasetRef { name: from.clone(), version: None })?;
        if self.versions.contains_key(to) {
            return Err(Refusal::Conflict(format!("there is a dataset `{to}` already: remove or rename it first")));
        }
        let mut changes = Vec::new();
        let mut pairs = vec![(from.clone(), to.clone())];
        if self.versions.contains_key(&from.rejects()) && !self.versions.contains_key(&to.rejects()) {
            pairs.push((from.rejects(), to.rejects()));
        }
        for (from, to) in pairs {
            let mut state = self.names.get(&from).cloned().unwrap_or_default();
            // A number that `to` had before it was removed is not given again.
            let floor = self.names.get(&to).map_or(0, |n| n.last_version);
            state.last_version = state.last_version.max(floor);
            changes.push(Change::PutName(to.clone(), state));
            let kept =
                NameState { last_version: self.names.get(&from).map_or(0, |n| n.last_version), ..Default::default() };
            changes.push(Change::PutName(from.clone(), kept));
            for manifest in self.versions.get(&from).into_iter().flat_map(BTreeMap::values) {
                changes.push(Change::RemoveVersion(from.clone(), manifest.version));
                changes.push(Change::PutVersion(Box::new(Manifest { name: to.clone(), ..manifest.clone() })));
            }
        }
        Ok(changes)
    }

    /// The changes that remove one version, or all of a name, and what they remove.
    pub fn remove(&self, dataset: &DatasetRef) -> Result<Removal, Refusal> {
        let found = self.find(dataset)?;
        let doomed: Vec<&Manifest> = match dataset.version {
            Some(_) => vec![found],
            None => self.versions.get(&dataset.name).into_iter().flat_map(BTreeMap::values).collect(),
        };
        let mut changes: Vec<Change> =
            doomed.iter().map(|m| Change::RemoveVersion(m.name.clone(), m.version)).collect();
        if dataset.version.is_none() {
            let last_version = self.names.get(&dataset.name).map_or(0, |n| n.last_version);
            changes.push(Change::PutName(dataset.name.clone(), NameState { last_version, ..Default::default() }));
        }
        let removed = doomed.iter().map(|m| m.reference()).collect();
        let objects = doomed.iter().flat_map(|m| m.objects().map(|o| o.id)).collect();
        Ok(Removal { changes, removed, objects })
    }
}

/// A version's line in a record.
pub fn output_record(manifest: &Manifest) -> OutputRecord {
    OutputRecord {
        dataset: manifest.reference(),
        rows: manifest.rows(),
        bytes: manifest.bytes(),
        shards: manifest.shards.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Draft;
    use shardmill_common::schema::Schema;

    fn publish(catalog: &mut Catalog, name: &str, job: u64) -> u32 {
        let draft = Draft { name: name.parse().unwrap(), schema: Schema::default(), shards: vec![] };
        let publication = Publication { drafts: vec![draft], ..Default::default() };
        let (changes, manifests) = catalog.publish(&publication, &["sum".into()], 1, JobId(job), Timestamp(0));
        changes.into_iter().for_each(|c| catalog.apply(c));
        manifests[0].version
    }

    fn apply(catalog: &mut Catalog, changes: Vec<Change>) {
        changes.into_iter().for_each(|c| catalog.apply(c));
    }

    #[test]
    fn versions_count_up_and_are_never_given_twice() {
        let mut catalog = Catalog::default();
        assert_eq!(publish(&mut catalog, "a", 1), 1);
        assert_eq!(publish(&mut catalog, "a", 2), 2);
        let Removal { changes, removed, .. } = catalog.remove(&"a".parse().unwrap()).unwrap();
        assert_eq!(removed.len(), 2);
        apply(&mut catalog, changes);
        assert!(catalog.find(&"a".parse().unwrap()).is_err());
        assert!(catalog.taken(&"a".parse().unwrap()).is_empty());
        assert_eq!(publish(&mut catalog, "a", 3), 3);
    }

    #[test]
    fn renaming_keeps_versions_and_refuses_a_name_in_use() {
        let mut catalog = Catalog::default();
        publish(&mut catalog, "a", 1);
        publish(&mut catalog, "a", 2);
        publish(&mut catalog, "b", 3);
        let (a, b, c) = ("a".parse().unwrap(), "b".parse().unwrap(), "c".parse().unwrap());
        assert!(matches!(catalog.rename(&a, &b), Err(Refusal::Conflict(_))));
        let changes = catalog.rename(&a, &c).unwrap();
        apply(&mut catalog, changes);
        assert_eq!(catalog.find(&"c@1".parse().unwrap()).unwrap().job, JobId(1));
        assert_eq!(catalog.taken(&c), vec!["sum".to_owned()]);
        assert!(catalog.find(&"a".parse().unwrap()).is_err());
        assert_eq!(publish(&mut catalog, "a", 4), 3);
    }

    #[test]
    fn unknown_versions_are_named_with_those_there_are() {
        let mut catalog = Catalog::default();
        publish(&mut catalog, "orders", 1);
        let error = catalog.find(&"orders@9".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "there is no orders@9; the versions of `orders` are 1");
        let error = catalog.find(&"order".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("did you mean `orders`?"), "{error}");
    }
}
