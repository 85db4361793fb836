//! Finding duplicates among hashes. Groups of shards come in order and rows in order, so the first of equals is the first of the dataset.

use hashbrown::HashMap;
use polars::prelude::{DataFrame, NamedFrom, Series};
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::{DuplicatesTask, Keep};
use shardmill_common::task::TaskOutput;

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
    let groups: u32 = task.hashes.iter().map(|r| r.to - r.from).sum();
    let mut drops: Vec<Vec<u32>> = vec![Vec::new(); groups as usize];
    let (from, to) = task.partitions;
    let mut input = context.shuffle(&task.hashes, from, to);
    for _ in from..to {
        let mut sets = Vec::with_capacity(groups as usize);
        for data in input.by_ref().take(groups as usize) {
            sets.push(read_hashes(data?)?);
        }
        let total: usize = sets.iter().map(|s| s.hashes.len()).sum();
        let walk: Vec<(u32, &crate::tasks::hash::HashedRows)> = (0u32..).zip(&sets).collect();
        match task.keep {
            Keep::First => {
                let mut seen: ByHash<()> = ByHash::with_capacity_and_hasher(total, Default::default());
                for (group, set) in walk {
                    for (hash, row) in set.hashes.iter().zip(&set.rows) {
                        if seen.insert(*hash, ()).is_some() {
                            drops[group as usize].push(*row);
                        }
                    }
                }
            }
            Keep::Last => {
                let mut seen: ByHash<()> = ByHash::with_capacity_and_hasher(total, Default::default());
                for (group, set) in walk.into_iter().rev() {
                    for (hash, row) in set.hashes.iter().zip(&set.rows).rev() {
                        if seen.insert(*hash, ()).is_some() {
                            drops[group as usize].push(*row);
                        }
                    }
                }
            }
            Keep::None => {
                let mut count: ByHash<u32> = ByHash::with_capacity_and_hasher(total, Default::default());
                for hash in sets.iter().flat_map(|s| &s.hashes) {
                    *count.entry(*hash).or_insert(0) += 1;
                }
                for (group, set) in walk {
                    for (hash, row) in set.hashes.iter().zip(&set.rows) {
                        if count.get(hash).is_some_and(|n| *n > 1) {
                            drops[group as usize].push(*row);
                        }
                    }
                }
            }
        }
        context.advance(total as u64, 0);
    }
    let mut writer = context.shuffle_writer(false)?;
    let mut output = TaskOutput::default();
    for rows in &drops {
        output.counters.add(Counter::Duplicates, rows.len() as u64);
        if rows.is_empty() {
            writer.partition(&mut [])?;
        } else {
            let column = Series::new("row".into(), rows.as_slice()).into();
            writer.partition(&mut [DataFrame::new(rows.len(), vec![column]).map_err(Failure::internal)?])?;
        }
    }
    output.shuffle = Some(writer.finish()?);
    Ok(output)
}
