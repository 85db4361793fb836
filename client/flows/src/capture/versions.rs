//! Every publication makes a version that has the rows of those before it. Of these the latest few are kept.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use shardmill_common::failure::Refusal;
use shardmill_common::ids::JobId;
use shardmill_common::kinds::JobSpec;
use shardmill_common::manifest::{Manifest, ShardEntry};
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::record::Record;

use shardmill_client::{Client, ClientError};

/// Versions that captures made and that are kept.
const KEPT: usize = 10;

/// What a version is to those before it, as the record of its job says.
#[derive(Clone, Debug, Default, PartialEq)]
struct Made {
    by_capture: bool,
    /// It has every row of this version, maybe in other shards.
    extends: Option<DatasetRef>,
}

/// Finds the versions that may go.
#[derive(Default)]
pub struct Versions {
    /// What is known of each dataset's versions, so that a record is asked for once.
    made: HashMap<DatasetName, HashMap<JobId, Made>>,
}

impl Versions {
    /// Removes old versions. What cannot be removed now is removed another time.
    pub async fn prune(&mut self, client: &Client, dataset: &DatasetName) {
        if let Err(error) = self.try_prune(client, dataset).await {
            tracing::debug!(%dataset, %error, "old versions of captured rows stay for now");
        }
    }

    async fn try_prune(&mut self, client: &Client, dataset: &DatasetName) -> Result<(), ClientError> {
        let versions = client.versions(dataset).await?;
        if versions.len() <= KEPT {
            return Ok(());
        }
        let made = self.made.entry(dataset.clone()).or_default();
        for version in &versions {
            if let Entry::Vacant(unknown) = made.entry(version.job) {
                let known = match client.record(version.job).await {
                    Ok(record) => made_by(&record),
                    // Records may be swept; what is not known to be a capture's is kept.
                    Err(ClientError::Refused(Refusal::NotFound(_))) => Made::default(),
                    Err(e) => return Err(e),
                };
                unknown.insert(known);
            }
        }
        made.retain(|job, _| versions.iter().any(|v| v.job == *job));
        for version in superfluous(&versions, |job| made.get(&job).cloned().unwrap_or_default()) {
            client.remove(&version.reference()).await?;
        }
        Ok(())
    }
}

fn made_by(record: &Record) -> Made {
    match &record.parameters {
        // Deduplication may drop earlier rows; rules see new ones only.
        JobSpec::Ingest(spec) if spec.append => Made {
            by_capture: spec.refuse_taken,
            extends: record.inputs.first().filter(|_| spec.dedup.is_none()).cloned(),
        },
        JobSpec::Compact(spec) => Made { by_capture: false, extends: Some(spec.input.clone()) },
        _ => Made::default(),
    }
}

/// Versions that captures made, but for the latest of these, whose rows are all in the latest version.
fn superfluous(versions: &[Manifest], made: impl Fn(JobId) -> Made) -> Vec<&Manifest> {
    let Some((latest, others)) = versions.split_last() else { return Vec::new() };
    let there: HashSet<_> = latest.shards.iter().map(ShardEntry::identity).collect();
    let made_latest = made(latest.job);
    let captured = others.iter().filter(|v| made(v.job).by_capture).count();
    let old = captured.saturating_sub(KEPT.saturating_sub(usize::from(made_latest.by_capture)));
    // Rows are known to be there by their shards, or, where these were compacted, by what was made of their version.
    let mut extended: HashSet<DatasetRef> = made_latest.extends.into_iter().collect();
    let mut whole = HashSet::new();
    for version in others.iter().rev() {
        if extended.contains(&version.reference()) || version.shards.iter().all(|s| there.contains(&s.identity())) {
            whole.insert(version.version);
            extended.extend(made(version.job).extends);
        }
    }
    let captured = others.iter().filter(|v| made(v.job).by_capture);
    captured.take(old).filter(|v| whole.contains(&v.version)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_common::ids::ObjectId;
    use shardmill_common::manifest::ObjectRef;
    use shardmill_common::schema::Schema;
    use shardmill_common::time::Timestamp;

    fn version(number: u32, shards: &[ShardEntry]) -> Manifest {
        Manifest {
            name: "seen".parse().unwrap(),
            version: number,
            schema: Schema::default(),
            shards: shards.to_vec(),
            replicas: 1,
            job: JobId(u64::from(number)),
            created: Timestamp(0),
        }
    }

    fn shards(n: usize) -> Vec<ShardEntry> {
        let object = || ObjectRef { id: ObjectId::fresh(), bytes: 1, checksum: String::new() };
        (0..n).map(|_| ShardEntry { object: object(), stored_rows: 1, deletions: None }).collect()
    }

    fn captured(_: JobId) -> Made {
        Made { by_capture: true, extends: None }
    }

    fn captured_but(other: u64) -> impl Fn(JobId) -> Made {
        move |job| Made { by_capture: job.0 != other, extends: None }
    }

    fn numbers(found: &[&Manifest]) -> Vec<u32> {
        found.iter().map(|v| v.version).collect()
    }

    #[test]
    fn the_latest_of_a_row_of_publications_stay() {
        let all = shards(14);
        let versions: Vec<Manifest> = (1..=14).map(|n| version(n, &all[..n as usize])).collect();
        assert_eq!(numbers(&superfluous(&versions, captured)), [1, 2, 3, 4]);
        assert!(superfluous(&versions[..10], captured).is_empty());
        assert!(superfluous(&[], captured).is_empty());
    }

    #[test]
    fn what_others_made_stays_and_so_do_rows_that_are_nowhere_else() {
        let all = shards(14);
        let mut versions: Vec<Manifest> = (1..=14).map(|n| version(n, &all[..n as usize])).collect();
        assert_eq!(numbers(&superfluous(&versions, captured_but(2))), [1, 3, 4]);
        // Somebody put other rows in their place: the earlier ones are in no later version.
        let other = shards(1);
        for v in &mut versions[2..] {
            v.shards = v.shards.iter().skip(3).chain(&other).cloned().collect();
        }
        assert_eq!(numbers(&superfluous(&versions, captured)), [3, 4]);
        // Nine of the ten, where the latest version is somebody else's.
        assert_eq!(numbers(&superfluous(&versions, captured_but(14))), [3]);
    }

    #[test]
    fn compaction_keeps_rows_and_so_lets_old_versions_go() {
        let (all, compacted) = (shards(12), shards(2));
        let mut versions: Vec<Manifest> = (1..=12).map(|n| version(n, &all[..n as usize])).collect();
        // The thirteenth publication compacts what there is, the fourteenth adds to that.
        versions.extend([version(13, &compacted[..1]), version(14, &compacted)]);
        let on_the_one_before = |job: JobId| Made {
            by_capture: true,
            extends: versions.iter().rev().find(|v| u64::from(v.version) < job.0).map(Manifest::reference),
        };
        assert_eq!(numbers(&superfluous(&versions, on_the_one_before)), [1, 2, 3, 4]);
        // One in between that does not go on from the one before it: what is older stays.
        let broken = |job: JobId| if job.0 == 3 { captured(job) } else { on_the_one_before(job) };
        assert_eq!(numbers(&superfluous(&versions, broken)), [3, 4]);
        assert!(superfluous(&versions, captured).is_empty());
    }
}
