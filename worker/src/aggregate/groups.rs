//! Numbering groups in the order in which they first come.

use hashbrown::HashTable;
use polars::prelude::{Column, DataFrame, IdxCa, IdxSize};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::{HashColumn, HashPlan};

use crate::hash::{hash_frame, partition_of};
use crate::spill::concat;

/// Where a group's state goes: the partition, and its place among the groups there in the order in which they first came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub partition: u32,
    pub index: u32,
}

/// Groups seen so far, with their keys.
pub struct Groups {
    plan: HashPlan,
    /// Numbers, found by their hashes.
    numbers: HashTable<u32>,
    hashes: Vec<u128>,
    keys: Vec<DataFrame>,
    places: Vec<Place>,
    /// Groups of each partition.
    sizes: Vec<u32>,
}

impl Groups {
    /// Without key columns there is one group, even where there is no row.
    pub fn new(keys: Vec<HashColumn>, partitions: u32) -> Self {
        let partitions = partitions.max(1);
        let everything = keys.is_empty();
        let plan = HashPlan { columns: Some(keys), with_row_hash: false, partitions };
        let mut groups = Self {
            plan,
            numbers: HashTable::new(),
            hashes: Vec::new(),
            keys: Vec::new(),
            places: Vec::new(),
            sizes: vec![0; partitions as usize],
        };
        if everything {
            groups.add(0);
        }
        groups
    }

    fn add(&mut self, hash: u128) {
        let partition = partition_of(hash, self.plan.partitions) as u32;
        let index = self.sizes[partition as usize];
        self.sizes[partition as usize] += 1;
        self.places.push(Place { partition, index });
        self.hashes.push(hash);
    }

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Where each group goes.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The numbers of the groups in the order of their places, and where each partition begins among them and the last ends.
    pub fn in_order(&self) -> (Vec<IdxSize>, Vec<usize>) {
        let mut starts = vec![0usize];
        starts.extend(self.sizes.iter().scan(0, |sum, size| {
            *sum += *size as usize;
            Some(*sum)
        }));
        let mut order = vec![0; self.len()];
        for (group, place) in (0..).zip(&self.places) {
            order[starts[place.partition as usize] + place.index as usize] = group;
        }
        (order, starts)
    }

    /// The number of a hash, and whether it is new.
    #[inline]
    fn number(&mut self, hash: u128) -> (u32, bool) {
        let next = self.hashes.len() as u32;
        let hashes = &self.hashes;
        // What is hashed already needs no hashing.
        let entry = self.numbers.entry(hash as u64, |n| hashes[*n as usize] == hash, |n| hashes[*n as usize] as u64);
        let number = *entry.or_insert(next).get();
        if number == next {
            self.add(hash);
        }
        (number, number == next)
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
                    let (id, is_new) = self.number(hash);
                    if is_new {
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
        let mut groups = Groups::new(vec![key("s"), key("x")], 2);
        let a = df!("s" => [Some("a"), None, Some("a"), None], "x" => [0.0, f64::NAN, -0.0, f64::NAN]).unwrap();
        assert_eq!(groups.ids(&a, 4).unwrap(), [0, 1, 0, 1]);
        let b = df!("x" => [1.0, 0.0], "s" => [Some("a"), Some("a")]).unwrap();
        assert_eq!(groups.ids(&b, 2).unwrap(), [2, 0]);
        assert_eq!(groups.len(), 3);
        let keys = groups.keys().unwrap();
        assert!(keys.equals_missing(&df!("s" => [Some("a"), None, Some("a")], "x" => [0.0, f64::NAN, 1.0]).unwrap()));
        let (order, starts) = groups.in_order();
        assert_eq!((starts.len(), starts[2]), (3, 3));
        for (number, place) in (0..).zip(groups.places()) {
            assert_eq!(order[starts[place.partition as usize] + place.index as usize], number);
        }
        let hash = groups.hashes[1];
        let some = groups.ids_where(&a, 4, |h| h != hash).unwrap();
        assert_eq!(some, [Some(0), None, Some(0), None]);
    }

    #[test]
    fn without_keys_all_is_one_group() {
        let mut groups = Groups::new(Vec::new(), 1);
        assert_eq!(groups.ids(&df!("x" => [1i64, 2]).unwrap(), 2).unwrap(), [0, 0]);
        assert_eq!((groups.len(), groups.keys().unwrap().width()), (1, 0));
    }
}
