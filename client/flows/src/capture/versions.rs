//! Every publication makes a version that has the rows of those before it. Of these the latest few are kept.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use shardmill_common::failure::Refusal;
use shardmill_common::ids::{JobId, ObjectId};
use shardmill_common::kinds::JobSpec;
use shardmill_common::manifest::{Manifest, ShardEntry};
use shardmill_common::name::DatasetName;

use shardmill_client::{Client, ClientError};

/// Versions that captures made and that are kept.
const KEPT: usize = 10;

/// Finds the versions that may go.
#[derive(Default)]
pub struct Versions {
    /// Of each job whether it was a capture's.
    captures: HashMap<JobId, bool>,
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
        for version in &versions {
            if let Entry::Vacant(unknown) = self.captures.entry(version.job) {
                let record = match client.record(version.job).await {
                    Ok(record) => Some(record),
                    // Records may be swept; what is not known to be a capture's is kept.
                    Err(ClientError::Refused(Refusal::NotFound(_))) => None,
                    Err(e) => return Err(e),
                };
                let is_capture =
                    |spec: &JobSpec| matches!(spec, JobSpec::Ingest(ingest) if ingest.append && ingest.refuse_taken);
                unknown.insert(record.is_some_and(|r| is_capture(&r.parameters)));
            }
        }
        self.captures.retain(|job, _| versions.iter().any(|v| v.job == *job));
        for version in superfluous(&versions, |job| self.captures.get(&job).copied().unwrap_or_default()) {
            client.remove(&version.reference()).await?;
        }
        Ok(())
    }
}

/// Versions that captures made, but for the latest of these, whose rows are all in the latest version.
fn superfluous(versions: &[Manifest], is_capture: impl Fn(JobId) -> bool) -> Vec<&Manifest> {
    let Some((latest, others)) = versions.split_last() else { return Vec::new() };
    let there: HashSet<_> = latest.shards.iter().map(key).collect();
    let captured: Vec<&Manifest> = others.iter().filter(|v| is_capture(v.job)).collect();
    let kept = KEPT.saturating_sub(usize::from(is_capture(latest.job)));
    let old = captured.len().saturating_sub(kept);
    captured.into_iter().take(old).filter(|v| v.shards.iter().all(|s| there.contains(&key(s)))).collect()
}

/// A shard with the rows that are left out of it.
fn key(shard: &ShardEntry) -> (ObjectId, Option<ObjectId>) {
    (shard.object.id, shard.deletions.as_ref().map(|d| d.object.id))
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn numbers(found: &[&Manifest]) -> Vec<u32> {
        found.iter().map(|v| v.version).collect()
    }

    #[test]
    fn the_latest_of_a_row_of_publications_stay() {
        let all = shards(14);
        let versions: Vec<Manifest> = (1..=14).map(|n| version(n, &all[..n as usize])).collect();
        assert_eq!(numbers(&superfluous(&versions, |_| true)), [1, 2, 3, 4]);
        assert!(superfluous(&versions[..10], |_| true).is_empty());
        assert!(superfluous(&[], |_| true).is_empty());
    }

    #[test]
    fn what_others_made_stays_and_so_do_rows_that_are_nowhere_else() {
        let all = shards(14);
        let mut versions: Vec<Manifest> = (1..=14).map(|n| version(n, &all[..n as usize])).collect();
        assert_eq!(numbers(&superfluous(&versions, |job| job.0 != 2)), [1, 3, 4]);
        // Somebody put other rows in their place: the earlier ones are in no later version.
        let other = shards(1);
        for v in &mut versions[2..] {
            v.shards = v.shards.iter().skip(3).chain(&other).cloned().collect();
        }
        assert_eq!(numbers(&superfluous(&versions, |_| true)), [3, 4]);
        // Nine of the ten, where the latest version is somebody else's.
        assert_eq!(numbers(&superfluous(&versions, |job| job.0 != 14)), [3]);
    }
}
