//! Rows in the shuffle: which partition each belongs to, and whole rows written partition by partition, in their order.

use polars::prelude::{DataFrame, IdxCa};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::{HashColumn, HashPlan};
use shardmill_common::task::PartitionSize;

use super::ShuffleWriter;
use crate::hash::{hash_frame, partition_of};

/// Rows brought into the order of their partitions.
pub struct Partitioned {
    /// The rows, partition after partition; within one in their old order.
    pub frame: DataFrame,
    /// Where each partition begins, and where the last one ends.
    pub starts: Vec<usize>,
}

impl Partitioned {
    /// The rows of one partition.
    pub fn part(&self, partition: usize) -> DataFrame {
        let (from, to) = (self.starts[partition], self.starts[partition + 1]);
        self.frame.slice(from as i64, to - from)
    }
}

/// Brings rows into the order of `of`, the partition of each (below `partitions`).
pub fn partition_rows(frame: &DataFrame, of: &[u32], partitions: u32) -> Result<Partitioned, Failure> {
    let mut starts = vec![0usize; partitions.max(1) as usize + 1];
    for partition in of {
        starts[*partition as usize + 1] += 1;
    }
    for n in 1..starts.len() {
        starts[n] += starts[n - 1];
    }
    if starts.len() == 2 {
        return Ok(Partitioned { frame: frame.clone(), starts });
    }
    let mut next = starts.clone();
    let mut order = vec![0; of.len()];
    for (row, partition) in (0..).zip(of) {
        let slot = &mut next[*partition as usize];
        order[*slot] = row;
        *slot += 1;
    }
    let frame = frame.take(&IdxCa::from_vec("i".into(), order)).map_err(Failure::internal)?;
    Ok(Partitioned { frame, starts })
}

/// Writes the rows of a frame by the hash of their keys (all to one partition where there are no keys).
pub fn shuffle_rows(
    mut writer: ShuffleWriter,
    frame: &DataFrame,
    keys: &[HashColumn],
    partitions: u32,
) -> Result<Vec<PartitionSize>, Failure> {
    let of: Vec<u32> = if keys.is_empty() || partitions <= 1 {
        vec![0; frame.height()]
    } else {
        let plan = HashPlan { columns: Some(keys.to_vec()), with_row_hash: false, partitions };
        hash_frame(frame, &plan)?.keys.into_iter().map(|hash| partition_of(hash, partitions) as u32).collect()
    };
    let rows = partition_rows(frame, &of, partitions)?;
    for partition in 0..partitions.max(1) as usize {
        let part = rows.part(partition);
        if part.height() == 0 {
            writer.partition(&mut [])?;
        } else {
            writer.partition(&mut [part])?;
        }
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::super::{partition_in_file, to_frame};
    use super::*;
    use polars::df;

    #[test]
    fn rows_keep_their_order_within_their_partition() {
        let frame = df!("k" => [3i64, 1, 3, 2, 1], "n" => [0i64, 1, 2, 3, 4]).unwrap();
        let parts = partition_rows(&frame, &[1, 0, 1, 2, 0], 4).unwrap();
        let of = |n| parts.part(n).column("n").unwrap().i64().unwrap().into_no_null_iter().collect::<Vec<_>>();
        assert_eq!([of(0), of(1), of(2), of(3)], [vec![1, 4], vec![0, 2], vec![3], vec![]]);
    }

    #[test]
    fn equal_keys_meet_in_one_partition() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let frame = df!("k" => ["a", "b", "a", "c", "b"], "n" => [0i64, 1, 2, 3, 4]).unwrap();
        let keys = [HashColumn { name: "k".into(), dtype: None }];
        let sizes = shuffle_rows(ShuffleWriter::create(&path, true).unwrap(), &frame, &keys, 8).unwrap();
        assert_eq!(sizes.iter().map(|s| s.rows).sum::<u64>(), 5);
        let mut seen = Vec::new();
        for partition in 0..8 {
            if let Some(part) = to_frame(partition_in_file(&path, partition).unwrap()).unwrap() {
                let mut keys: Vec<String> =
                    part.column("k").unwrap().str().unwrap().iter().map(|k| k.unwrap().to_owned()).collect();
                keys.dedup();
                seen.extend(keys);
            }
        }
        seen.sort();
        let before = seen.len();
        seen.dedup();
        assert_eq!((before, seen.len()), (3, 3), "a key is in one partition, its rows together in order");
    }
}
