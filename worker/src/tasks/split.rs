//! One side's rows of a shard: the shard as it is, with a deletion vector, or written anew, whatever is least.

use hashbrown::HashMap;
use roaring::RoaringBitmap;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::split::{SplitGroup, SplitTask};
use shardmill_common::permutation::Permutation;
use shardmill_common::task::TaskOutput;

use super::Context;
use super::count::texts;
use super::drop::Dropping;

pub fn run(context: &Context, task: &SplitTask) -> Result<TaskOutput, Failure> {
    let entry = context.entry(&task.input)?;
    let groups = task.groups();
    let mut groups: Vec<Group> = groups.iter().map(|g| Group::new(g, task.seed)).collect();
    let dropped = match &task.stratify {
        None => dropped_of_one(groups.first_mut(), entry.rows()),
        Some(column) => {
            let frame = context.open_columns(&task.input, &task.schema, Some(std::slice::from_ref(column)))?;
            let texts = texts(&frame, column)?;
            dropped_of_strata(&mut groups, texts.str().map_err(Failure::internal)?.iter())
        }
    };
    context.check()?;
    let mut dropping = Dropping::new(context, &task.schema);
    dropping.take(&task.input, &dropped)?;
    let shard = dropping.finish()?.pop();
    Ok(TaskOutput { shard, ..Default::default() })
}

/// A group of rows as it is walked through.
struct Group<'a> {
    spec: &'a SplitGroup,
    permutation: Permutation,
    /// The number of its next row.
    next: u64,
}

impl<'a> Group<'a> {
    fn new(spec: &'a SplitGroup, seed: u64) -> Self {
        Self { spec, permutation: Permutation::new(seed, spec.value.as_deref(), spec.total), next: spec.first }
    }

    /// Whether this side takes the group's next row.
    fn takes(&mut self) -> bool {
        let place = self.permutation.place(self.next);
        self.next += 1;
        (self.spec.from..self.spec.to).contains(&place)
    }
}

/// Rows of a shard are numbered in 32 bits; the store cuts shards long before.
fn dropped_of_one(group: Option<&mut Group<'_>>, rows: u64) -> RoaringBitmap {
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    match group {
        None => (0..rows).collect(),
        Some(group) => (0..rows).filter(|_| !group.takes()).collect(),
    }
}

/// Rows of a stratum that is not listed are none of this side's.
fn dropped_of_strata<'a>(groups: &mut [Group<'_>], values: impl Iterator<Item = Option<&'a str>>) -> RoaringBitmap {
    let places: HashMap<Option<&str>, usize> =
        groups.iter().enumerate().map(|(n, g)| (g.spec.value.as_deref(), n)).collect();
    let mut dropped = RoaringBitmap::new();
    for (row, value) in (0u32..).zip(values) {
        let group = places.get(&value).and_then(|n| groups.get_mut(*n));
        if !group.is_some_and(Group::takes) {
            dropped.insert(row);
        }
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(value: Option<&str>, first: u64, total: u64, from: u64, to: u64) -> SplitGroup {
        SplitGroup { value: value.map(str::to_owned), first, total, from, to }
    }

    #[test]
    fn sides_part_the_rows_of_every_shard() {
        let (shards, seed) = ([400u64, 0, 300, 1], 9);
        let total = shards.iter().sum();
        let (mut first, mut sums) = (0, [0, 0]);
        for rows in shards {
            let sides = [group(None, first, total, 0, 500), group(None, first, total, 500, total)];
            let dropped = sides.each_ref().map(|side| dropped_of_one(Some(&mut Group::new(side, seed)), rows));
            assert!(dropped[0].is_disjoint(&dropped[1]));
            assert_eq!((&dropped[0] | &dropped[1]).len(), rows);
            sums[0] += rows - dropped[0].len();
            sums[1] += rows - dropped[1].len();
            first += rows;
        }
        assert_eq!(sums, [500, 201]);
        assert_eq!(dropped_of_one(None, 3).len(), 3);
    }

    #[test]
    fn strata_are_parted_each_by_itself() {
        let values: Vec<Option<&str>> =
            (0..90).map(|n| if n % 3 == 0 { None } else { Some(["a", "b"][n % 2]) }).collect();
        let count = |value: Option<&str>| values.iter().filter(|v| **v == value).count() as u64;
        let kept = |side: usize| -> Vec<usize> {
            let specs = [None, Some("a"), Some("b")].map(|value| {
                let (total, half) = (count(value), count(value) / 2);
                let (from, to) = if side == 0 { (0, half) } else { (half, total) };
                group(value, 0, total, from, to)
            });
            let mut groups: Vec<Group> = specs.iter().map(|g| Group::new(g, 1)).collect();
            let dropped = dropped_of_strata(&mut groups, values.iter().copied());
            (0..90).filter(|row| !dropped.contains(*row as u32)).collect()
        };
        let (train, test) = (kept(0), kept(1));
        assert_eq!(train.len() + test.len(), 90);
        assert!(train.iter().all(|row| !test.contains(row)));
        for value in [None, Some("a"), Some("b")] {
            assert_eq!(train.iter().filter(|row| values[**row] == value).count() as u64, count(value) / 2);
        }
        let dropped = dropped_of_strata(&mut [], values.iter().copied());
        assert_eq!(dropped.len(), 90, "rows of strata that are not listed are dropped");
    }
}
