//! The rows of the training data from which a baseline is made.

use serde::{Deserialize, Serialize};

use crate::model::Packed;

/// Some rows of a shard as they are before training: what a model's baseline is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub rows: u64,
    /// Of each numeric column of the profile the rows' values, NaN where there is none.
    pub numeric: Vec<Packed>,
    /// The rows' labels, where they are numbers.
    #[serde(default)]
    pub label: Packed,
}

/// The row that is sampled of the `block`-th `every` rows of a dataset, by its number in it. An even sample that does not depend
/// on shards or workers; the place in the block is drawn anew for each, so that data with a period is not met in step.
pub fn sampled_row(block: u64, every: u64) -> u64 {
    // The finaliser of splitmix64 (Steele, Lea, Flood 2014).
    let mut z = block.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    block.saturating_mul(every).saturating_add(z % every.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_has_one_row_and_no_period() {
        let every = 24;
        let rows: Vec<u64> = (0..24_000).map(|block| sampled_row(block, every)).collect();
        assert!(rows.iter().zip(0u64..).all(|(row, block)| row / every == block));
        // Data that repeats every 24 rows: each of its rows is met, about a thousand times.
        let mut met = [0u32; 24];
        rows.iter().for_each(|row| met[(row % every) as usize] += 1);
        assert!(met.iter().all(|n| (850..1150).contains(n)), "{met:?}");
        assert_eq!(sampled_row(7, 1), 7);
        assert_eq!(sampled_row(3, 0), 0, "no division by nothing");
    }
}
