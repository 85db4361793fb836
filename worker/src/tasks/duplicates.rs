//! Finding duplicates among hashes. Shards come in order and rows in order, so the first of equals is the first of the dataset.

use hashbrown::HashMap;
use polars::prelude::{DataFrame, NamedFrom, Series};
use shardmill_common::failure::Failure;
use shardmill_common::spec::Keep;
use shardmill_common::task::{DuplicatesTask, PartitionSize, TaskOutput};

use super::Context;
use super::hash::read_hashes;

/// A hash is spread well enough to be its own hash.
#[derive(Clone, Copy, Default)]
pub struct Identity(u64);

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, n: u128) {
        self.0 = n as u64;
    }
}

pub type ByHash<T> = HashMap<u128, T, std::hash::BuildHasherDefault<Identity>>;

pub fn run(context: &Context, task: &DuplicatesTask) -> Result<TaskOutput, Failure> {
    let mut drops = Drops::new(&task.groups);
    let (from, to) = task.partitions;
    let mut inputs: Vec<_> = task.hashes.iter().map(|r| (r.to - r.from, context.shuffle(*r, from, to))).collect();
    for _ in from..to {
        let mut sets = Vec::new();
        for (tasks, input) in &mut inputs {
            for data in input.take(*tasks as usize) {
                sets.push(read_hashes(data?)?);
            }
        }
        let total: usize = sets.iter().map(|s| s.hashes.len()).sum();
        let walk: Vec<(u32, &crate::tasks::hash::HashedRows)> = (0u32..).zip(&sets).collect();
        match task.keep {
            Keep::First => {
                let mut seen: ByHash<()> = ByHash::with_capacity_and_hasher(total, Default::default());
                for (shard, set) in walk {
                    for (hash, place) in set.hashes.iter().zip(set.places(shard)) {
                        if seen.insert(*hash, ()).is_some() {
                            drops.push(place)?;
                        }
                    }
                }
            }
            Keep::Last => {
                let mut seen: ByHash<()> = ByHash::with_capacity_and_hasher(total, Default::default());
                for (shard, set) in walk.into_iter().rev() {
                    for (hash, place) in set.hashes.iter().zip(set.places(shard)).rev() {
                        if seen.insert(*hash, ()).is_some() {
                            drops.push(place)?;
                        }
                    }
                }
            }
            Keep::None => {
                let mut count: ByHash<u32> = ByHash::with_capacity_and_hasher(total, Default::default());
                for hash in sets.iter().flat_map(|s| &s.hashes) {
                    *count.entry(*hash).or_insert(0) += 1;
                }
                for (shard, set) in walk {
                    for (hash, place) in set.hashes.iter().zip(set.places(shard)) {
                        if count.get(hash).is_some_and(|n| *n > 1) {
                            drops.push(place)?;
                        }
                    }
                }
            }
        }
        context.advance(total as u64, 0);
    }
    let mut output = TaskOutput::default();
    output.counters.add("duplicates", drops.len());
    output.shuffle = Some(drops.write(context)?);
    Ok(output)
}

/// Rows that are to be dropped, by groups of neighbouring shards.
pub struct Drops {
    /// Where each group ends.
    ends: Vec<u32>,
    /// Shards and rows of each.
    groups: Vec<(Vec<u32>, Vec<u32>)>,
}

impl Drops {
    pub fn new(ends: &[u32]) -> Self {
        Self { ends: ends.to_vec(), groups: vec![Default::default(); ends.len()] }
    }

    pub fn push(&mut self, (shard, row): (u32, u32)) -> Result<(), Failure> {
        let group = self.ends.partition_point(|end| *end <= shard);
        let (shards, rows) =
            self.groups.get_mut(group).ok_or_else(|| Failure::internal(format!("there is no shard {shard}")))?;
        shards.push(shard);
        rows.push(row);
        Ok(())
    }

    pub fn len(&self) -> u64 {
        self.groups.iter().map(|(shards, _)| shards.len() as u64).sum()
    }

    /// Puts them out, a partition a group.
    pub fn write(self, context: &Context) -> Result<Vec<PartitionSize>, Failure> {
        let mut writer = context.shuffle_writer(false)?;
        for (shards, rows) in self.groups {
            if rows.is_empty() {
                writer.partition(&mut [])?;
                continue;
            }
            let height = rows.len();
            let columns = vec![Series::new("shard".into(), shards).into(), Series::new("row".into(), rows).into()];
            writer.partition(&mut [DataFrame::new(height, columns).map_err(Failure::internal)?])?;
        }
        writer.finish()
    }
}
