//! The catalog: datasets and their versions.

use shardmill_common::failure::Refusal;
use shardmill_common::ids::{JobId, ObjectId};
use shardmill_common::manifest::{Manifest, ObjectRef};
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::record::OutputRecord;
use shardmill_common::status::DatasetSummary;
use shardmill_common::time::Timestamp;

use serde::{Deserialize, Serialize};

use crate::jobs::Publication;
use crate::rows::{Kept, Ledger};
use crate::tables::{Names, Taken, Versions};

/// What is kept of a name besides its versions. It outlives them: a number is never given twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameState {
    pub last_version: u32,
}

/// What was removed.
#[derive(Debug)]
pub struct Removal {
    pub removed: Vec<DatasetRef>,
    /// Once for each version that had them.
    pub objects: Vec<ObjectId>,
}

#[derive(Debug, Default)]
pub struct Catalog {
    pub(crate) names: Kept<Names>,
    pub(crate) taken: Kept<Taken>,
    pub(crate) versions: Kept<Versions>,
}

/// Every version that a name may have.
fn all_of(name: &DatasetName) -> std::ops::RangeInclusive<(DatasetName, u32)> {
    (name.clone(), 0)..=(name.clone(), u32::MAX)
}

impl Catalog {
    /// The versions of a name, the oldest first.
    fn of_name(&self, name: &DatasetName) -> impl DoubleEndedIterator<Item = &Manifest> {
        self.versions.range(all_of(name)).map(|(_, manifest)| manifest)
    }

    fn has(&self, name: &DatasetName) -> bool {
        self.of_name(name).next().is_some()
    }

    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.versions.values()
    }

    pub fn objects(&self) -> impl Iterator<Item = (ObjectRef, u32)> + '_ {
        self.manifests().flat_map(|m| m.objects().map(|o| (o.clone(), m.replicas)))
    }

    /// The version meant, or which there are.
    pub fn find(&self, dataset: &DatasetRef) -> Result<&Manifest, Refusal> {
        if !self.has(&dataset.name) {
            let close = self.close_to(dataset.name.as_str());
            let hint = close.map_or_else(
                || "`shardmill dataset list` shows what there is".to_owned(),
                |name| format!("did you mean `{name}`?"),
            );
            return Err(Refusal::NotFound(format!("there is no dataset `{}`; {hint}", dataset.name)));
        }
        let found = match dataset.version {
            None => self.of_name(&dataset.name).next_back(),
            Some(version) => self.versions.get(&(dataset.name.clone(), version)),
        };
        found.ok_or_else(|| {
            let there: Vec<String> = self.of_name(&dataset.name).map(|m| m.version.to_string()).collect();
            Refusal::NotFound(format!(
                "there is no {dataset}; the versions of `{}` are {}",
                dataset.name,
                there.join(", ")
            ))
        })
    }

    /// The newest version of each name.
    pub fn latest(&self) -> impl Iterator<Item = &Manifest> {
        let next = |m: &Manifest| self.versions.range((m.name.clone(), m.version + 1)..).next().map(|(key, _)| key);
        self.versions.values().filter(move |m| next(m).is_none_or(|(name, _)| *name != m.name))
    }

    fn close_to(&self, name: &str) -> Option<&DatasetName> {
        let lower = name.to_lowercase();
        self.latest().map(|m| &m.name).find(|k| {
            let k = k.as_str().to_lowercase();
            k == lower || k.contains(&lower) || (lower.contains(&k) && k.len() > 2)
        })
    }

    pub fn versions(&self, name: &DatasetName) -> Result<Vec<Manifest>, Refusal> {
        self.find(&DatasetRef { name: name.clone(), version: None })?;
        Ok(self.of_name(name).cloned().collect())
    }

    pub fn summaries(&self) -> Vec<DatasetSummary> {
        let summary = |latest: &Manifest| DatasetSummary {
            dataset: latest.reference(),
            rows: latest.rows(),
            bytes: latest.bytes(),
            shards: latest.shards.len() as u64,
            columns: latest.schema.len() as u64,
            replicas: latest.replicas,
            versions: self.of_name(&latest.name).count() as u32,
            created: latest.created,
        };
        self.latest().map(summary).collect()
    }

    pub fn taken(&self, name: &DatasetName) -> Vec<String> {
        let of_name = self.taken.range((name.clone(), String::new())..);
        of_name.map(|(key, ())| key).take_while(|(n, _)| n == name).map(|(_, checksum)| checksum.clone()).collect()
    }

    /// Whether an ingest into this name took a source of this checksum.
    pub fn has_taken(&self, name: &DatasetName, checksum: &str) -> bool {
        self.taken.contains(&(name.clone(), checksum.to_owned()))
    }

    fn last_version(&self, name: &DatasetName) -> u32 {
        self.names.get(name).map_or(0, |n| n.last_version)
    }

    /// Publishes a job's drafts; returns the versions they became.
    pub fn publish(
        &mut self,
        ledger: &mut Ledger,
        publication: &Publication,
        taken: &[String],
        replicas: u32,
        job: JobId,
        created: Timestamp,
    ) -> Vec<Manifest> {
        let mut manifests = Vec::new();
        for (n, draft) in publication.drafts.iter().enumerate() {
            let version = self.last_version(&draft.name) + 1;
            if n == 0 {
                for checksum in taken {
                    if !self.has_taken(&draft.name, checksum) {
                        self.taken.put(ledger, (draft.name.clone(), checksum.clone()), ());
                    }
                }
            }
            let manifest = Manifest {
                name: draft.name.clone(),
                version,
                schema: draft.schema.clone(),
                shards: draft.shards.clone(),
                replicas,
                job,
                created,
            };
            self.names.put(ledger, draft.name.clone(), NameState { last_version: version });
            self.versions.put(ledger, (draft.name.clone(), version), manifest.clone());
            manifests.push(manifest);
        }
        manifests
    }

    fn forget_taken(&mut self, ledger: &mut Ledger, name: &DatasetName) -> Vec<String> {
        let taken = self.taken(name);
        for checksum in &taken {
            self.taken.remove(ledger, &(name.clone(), checksum.clone()));
        }
        taken
    }

    /// Gives a dataset another name, with its rejects.
    pub fn rename(&mut self, ledger: &mut Ledger, from: &DatasetName, to: &DatasetName) -> Result<(), Refusal> {
        self.find(&DatasetRef { name: from.clone(), version: None })?;
        if self.has(to) {
            return Err(Refusal::Conflict(format!("there is a dataset `{to}` already: remove or rename it first")));
        }
        let mut pairs = vec![(from.clone(), to.clone())];
        if self.has(&from.rejects()) && !self.has(&to.rejects()) {
            pairs.push((from.rejects(), to.rejects()));
        }
        for (from, to) in pairs {
            // A number that `to` had before it was removed is not given again.
            let last_version = self.last_version(&from).max(self.last_version(&to));
            self.names.put(ledger, to.clone(), NameState { last_version });
            self.forget_taken(ledger, &to);
            for checksum in self.forget_taken(ledger, &from) {
                self.taken.put(ledger, (to.clone(), checksum), ());
            }
            let versions: Vec<u32> = self.of_name(&from).map(|m| m.version).collect();
            for version in versions {
                if let Some(manifest) = self.versions.remove(ledger, &(from.clone(), version)) {
                    self.versions.put(ledger, (to.clone(), version), Manifest { name: to.clone(), ..manifest });
                }
            }
        }
        Ok(())
    }

    /// Removes one version, or all of a name.
    pub fn remove(&mut self, ledger: &mut Ledger, dataset: &DatasetRef) -> Result<Removal, Refusal> {
        let found = self.find(dataset)?.version;
        let name = &dataset.name;
        let doomed: Vec<u32> = match dataset.version {
            Some(_) => vec![found],
            None => self.of_name(name).map(|m| m.version).collect(),
        };
        if dataset.version.is_none() {
            self.forget_taken(ledger, name);
        }
        let removed: Vec<Manifest> =
            doomed.iter().filter_map(|version| self.versions.remove(ledger, &(name.clone(), *version))).collect();
        Ok(Removal {
            removed: removed.iter().map(Manifest::reference).collect(),
            objects: removed.iter().flat_map(|m| m.objects().map(|o| o.id)).collect(),
        })
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
        let ledger = &mut Ledger::default();
        catalog.publish(ledger, &publication, &["sum".into()], 1, JobId(job), Timestamp(0))[0].version
    }

    #[test]
    fn versions_count_up_and_are_never_given_twice() {
        let mut catalog = Catalog::default();
        assert_eq!(publish(&mut catalog, "a", 1), 1);
        assert_eq!(publish(&mut catalog, "a", 2), 2);
        let Removal { removed, .. } = catalog.remove(&mut Ledger::default(), &"a".parse().unwrap()).unwrap();
        assert_eq!(removed.len(), 2);
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
        let ledger = &mut Ledger::default();
        assert!(matches!(catalog.rename(ledger, &a, &b), Err(Refusal::Conflict(_))));
        assert!(ledger.writes.is_empty());
        catalog.rename(ledger, &a, &c).unwrap();
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
