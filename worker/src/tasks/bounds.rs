//! The bounds between ranges: the sampled keys that cut the rows into equal shares. A bound is a key and a position, so that
//! rows of one key that repeats without end are cut too.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::sort::BoundsTask;
use shardmill_common::task::TaskOutput;

use super::Context;
use super::hash::u32s;
use super::sample::{KEY, ORDINAL, ROW, WEIGHT, positions};
use crate::spill::Keys;

pub fn run(context: &Context, task: &BoundsTask) -> Result<TaskOutput, Failure> {
    let mut samples: Vec<Sample> = Vec::new();
    for data in context.partitions(task.samples, 0) {
        for frame in crate::shuffle::frames(data?) {
            let frame = frame?;
            let keys = frame.column(KEY).and_then(|c| c.binary()).map_err(Failure::internal)?;
            let weights = frame.column(WEIGHT).and_then(|c| c.u64()).map_err(Failure::internal)?;
            let (ordinals, rows) = (u32s(&frame, ORDINAL)?, u32s(&frame, ROW)?);
            for (((key, weight), ordinal), row) in keys.iter().zip(weights.into_no_null_iter()).zip(ordinals).zip(rows)
            {
                samples.push(Sample { key: key.unwrap_or_default().to_vec(), ordinal, row, weight });
            }
        }
    }
    context.check()?;
    samples.sort_unstable();
    let (mut keys, mut ordinals, mut rows) = (Keys::default(), Vec::new(), Vec::new());
    for n in cuts(&samples, task.partitions) {
        keys.push(&samples[n].key);
        ordinals.push(samples[n].ordinal);
        rows.push(samples[n].row);
    }
    let mut writer = context.shuffle_writer(true)?;
    writer.partition(&mut [positions(&keys, ordinals, rows)?])?;
    Ok(TaskOutput { shuffle: Some(writer.finish()?), ..Default::default() })
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sample {
    key: Vec<u8>,
    ordinal: u32,
    row: u32,
    weight: u64,
}

/// The samples, of sorted ones, that begin the ranges after the first.
fn cuts(samples: &[Sample], partitions: u32) -> Vec<usize> {
    let total: u128 = samples.iter().map(|s| u128::from(s.weight)).sum();
    let mut cuts: Vec<usize> = Vec::new();
    let (mut before, mut cut) = (0u128, 1u128);
    for (n, sample) in samples.iter().enumerate() {
        // A sample stands for the rows around it, so half of its weight lies before it.
        let place = (2 * before + u128::from(sample.weight)) * u128::from(partitions);
        let mut reached = false;
        while cut < u128::from(partitions) && place >= 2 * total * cut {
            cut += 1;
            reached = true;
        }
        if reached {
            cuts.push(n);
        }
        before += u128::from(sample.weight);
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(weights: &[u64]) -> Vec<Sample> {
        let of = |(row, weight): (u32, &u64)| Sample { key: Vec::new(), ordinal: 0, row, weight: *weight };
        (0..).zip(weights).map(of).collect()
    }

    #[test]
    fn ranges_have_equal_shares_by_weight() {
        let cuts_of = |weights: &[u64], partitions| cuts(&samples(weights), partitions);
        assert_eq!(cuts_of(&[1; 8], 4), [2, 4, 6]);
        assert_eq!(cuts_of(&[6, 1, 1, 1, 1, 1, 1], 2), [1]);
        assert!(cuts_of(&[], 4).is_empty());
        assert!(cuts_of(&[1; 8], 1).is_empty());
        // Fewer samples than ranges: some ranges stay empty.
        assert_eq!(cuts_of(&[5, 5], 100), [0, 1]);
    }
}
