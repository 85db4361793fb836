//! Numbering groups in the order in which they first come.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use polars::prelude::{Column, DataFrame, IdxCa, IdxSize};
use shardmill_common::failure::Failure;
use shardmill_common::task::{HashColumn, HashPlan};

use crate::hash::hash_frame;
use crate::spill::concat;

/// What is hashed already needs no hashing.
#[derive(Default)]
struct Low(u64);

impl Hasher for Low {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

/// Groups seen so far, with their keys.
pub struct Groups {
    plan: HashPlan,
    numbers: HashMap<u128, u32, BuildHasherDefault<Low>>,
    hashes: Vec<u128>,
    keys: Vec<DataFrame>,
}

impl Groups {
    /// Without key columns there is one group, even where there is no row.
    pub fn new(keys: Vec<HashColumn>) -> Self {
        let hashes = if keys.is_empty() { vec![0] } else { Vec::new() };
        let plan = HashPlan { columns: Some(keys), with_row_hash: false, partitions: 1 };
        Self { plan, numbers: HashMap::default(), hashes, keys: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The hashes of the groups' keys, in their order.
    pub fn hashes(&self) -> &[u128] {
        &self.hashes
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        self.plan.columns.iter().flatten().map(|c| c.name.as_str())
    }

    /// The number of each row's group; `None` for rows of groups whose hash is not wanted.
    pub fn ids_where(
        &mut self,
        frame: &DataFrame,
        height: usize,
        wanted: impl Fn(u128) -> bool,
    ) -> Result<Vec<Option<u32>>, Failure> {
        if self.columns().next().is_none() {
            return Ok(vec![Some(0); height]);
        }
        let mut first_rows: Vec<IdxSize> = Vec::new();
        let mut ids = Vec::with_capacity(height);
        let mut last: Option<(u128, Option<u32>)> = None;
        for (row, hash) in (0..).zip(hash_frame(frame, &self.plan)?.keys) {
            let id = match last {
                // Rows of a group often follow one another.
                Some((before, id)) if before == hash => id,
                _ if !wanted(hash) => None,
                _ => {
                    let next = self.hashes.len() as u32;
                    let id = *self.numbers.entry(hash).or_insert(next);
                    if id == next {
                        self.hashes.push(hash);
                        first_rows.push(row);
                    }
                    Some(id)
                }
            };
            last = Some((hash, id));
            ids.push(id);
        }
        if !first_rows.is_empty() {
            let rows = IdxCa::from_vec("i".into(), first_rows);
            let keys: Vec<Column> = self
                .columns()
                .map(|name| frame.column(name).and_then(|c| c.take(&rows)))
                .collect::<Result<_, _>>()
                .map_err(Failure::internal)?;
            self.keys.push(DataFrame::new(rows.len(), keys).map_err(Failure::internal)?);
        }
        Ok(ids)
    }

    /// The number of each row's group.
    pub fn ids(&mut self, frame: &DataFrame, height: usize) -> Result<Vec<u32>, Failure> {
        Ok(self.ids_where(frame, height, |_| true)?.into_iter().flatten().collect())
    }

    /// The keys of the groups in their order; without key columns a frame without columns.
    pub fn keys(&mut self) -> Result<DataFrame, Failure> {
        match concat(self.keys.drain(..))? {
            Some(keys) => {
                self.keys.push(keys.clone());
                Ok(keys)
            }
            None => Ok(DataFrame::empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::df;

    fn key(name: &str) -> HashColumn {
        HashColumn { name: name.into(), dtype: None }
    }

    #[test]
    fn groups_are_numbered_as_they_come_over_several_frames() {
        let mut groups = Groups::new(vec![key("s"), key("x")]);
        let a = df!("s" => [Some("a"), None, Some("a"), None], "x" => [0.0, f64::NAN, -0.0, f64::NAN]).unwrap();
        assert_eq!(groups.ids(&a, 4).unwrap(), [0, 1, 0, 1]);
        let b = df!("x" => [1.0, 0.0], "s" => [Some("a"), Some("a")]).unwrap();
        assert_eq!(groups.ids(&b, 2).unwrap(), [2, 0]);
        assert_eq!(groups.len(), 3);
        let keys = groups.keys().unwrap();
        assert!(keys.equals_missing(&df!("s" => [Some("a"), None, Some("a")], "x" => [0.0, f64::NAN, 1.0]).unwrap()));
        let hash = groups.hashes()[1];
        let some = groups.ids_where(&a, 4, |h| h != hash).unwrap();
        assert_eq!(some, [Some(0), None, Some(0), None]);
    }

    #[test]
    fn without_keys_all_is_one_group() {
        let mut groups = Groups::new(Vec::new());
        assert_eq!(groups.ids(&df!("x" => [1i64, 2]).unwrap(), 2).unwrap(), [0, 0]);
        assert_eq!((groups.len(), groups.keys().unwrap().width()), (1, 0));
    }
}
