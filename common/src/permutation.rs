//! Which row of a group goes to which side of a split: shares as exact numbers of rows, and a keyed permutation of the rows.
//!
//! Both are part of the format: a split with the same seed puts the same rows into the same sides in every version of the
//! program, on every machine and with any number of workers, so nothing in here may change.
//!
//! The permutation is a Feistel network over the fewest bits (but at least 8) that hold the group's rows, keyed by the seed
//! and the group's value; places beyond the group are walked through the network again until one lies within (cycle
//! walking: Black and Rogaway 2002). So a row's place is found without a look at any other row.

/// Of a network over so few bits, this many half rounds leave no pattern that a split could show.
const ROUNDS: usize = 8;
/// Over fewer bits a network has too few functions to choose from: some rows would be seen more often in some places.
const MIN_BITS: u32 = 8;

/// A permutation of `0..total`.
#[derive(Clone, Debug)]
pub struct Permutation {
    total: u64,
    /// Bits of the right part; the left part has as many or one more.
    right_bits: u32,
    left_mask: u64,
    right_mask: u64,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// `group` is the value that the group's rows share, `None` being a value of its own.
    pub fn new(seed: u64, group: Option<&str>, total: u64) -> Self {
        let bits = (u64::BITS - total.saturating_sub(1).leading_zeros()).max(MIN_BITS);
        let right_bits = bits / 2;
        let mask = |bits: u32| u64::MAX >> (u64::BITS - bits);
        let key = key(seed, group);
        let keys = std::array::from_fn(|round| mix(key.wrapping_add(GOLDEN.wrapping_mul(round as u64 + 1))));
        Self { total, right_bits, left_mask: mask(bits - right_bits), right_mask: mask(right_bits), keys }
    }

    /// The place of a row; rows from `total` on stay where they are.
    pub fn place(&self, row: u64) -> u64 {
        if row >= self.total {
            return row;
        }
        // The walk ends: the network permutes a set that the row itself, which lies within, belongs to.
        let mut place = self.pass(row);
        while place >= self.total {
            place = self.pass(place);
        }
        place
    }

    fn pass(&self, number: u64) -> u64 {
        let (mut left, mut right) = (number >> self.right_bits, number & self.right_mask);
        for pair in self.keys.as_chunks::<2>().0 {
            left ^= mix(right ^ pair[0]) & self.left_mask;
            right ^= mix(left ^ pair[1]) & self.right_mask;
        }
        (left << self.right_bits) | right
    }
}

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64 (Stafford's "Mix13").
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Seed, whether there is a value, its length, and its bytes in words of eight, one after another.
fn key(seed: u64, group: Option<&str>) -> u64 {
    let mut key = mix(seed.wrapping_add(GOLDEN));
    let mut absorb = |word: u64| key = mix((key ^ word).wrapping_add(GOLDEN));
    match group {
        None => absorb(0),
        Some(value) => {
            absorb(1);
            absorb(value.len() as u64);
            for chunk in value.as_bytes().chunks(8) {
                let mut word = [0; 8];
                for (slot, byte) in word.iter_mut().zip(chunk) {
                    *slot = *byte;
                }
                absorb(u64::from_le_bytes(word));
            }
        }
    }
    key
}

/// Rows for each share of `total`, by largest remainder: they sum to `total`, and of equal remainders the earlier is served.
pub fn sizes(total: u64, shares: &[f64]) -> Vec<u64> {
    let sum: f64 = shares.iter().sum();
    if shares.is_empty() || !sum.is_finite() || sum <= 0.0 {
        return vec![0; shares.len()];
    }
    let exact: Vec<f64> = shares.iter().map(|share| (share / sum).max(0.0) * total as f64).collect();
    // 0.29 of 100 is 28.999999999999996 in floating point: what is that close to a whole number is meant to be one.
    let whole = |x: f64| if x.round() - x < 1e-9 * x.max(1.0) { x.round().max(x.floor()) } else { x.floor() };
    let mut sizes: Vec<u64> = exact.iter().map(|x| whole(*x) as u64).collect();
    // The rounding above may have given away more than there is.
    let mut over = sizes.iter().sum::<u64>().saturating_sub(total);
    for size in sizes.iter_mut().rev() {
        let taken = over.min(*size);
        *size -= taken;
        over -= taken;
    }
    let remainder = |n: usize| ((exact[n] - sizes[n] as f64) * 1e9).round() as i64;
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_key(|n| (std::cmp::Reverse(remainder(*n)), *n));
    let left = total - sizes.iter().sum::<u64>();
    for n in order.into_iter().cycle().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        sizes[n] += 1;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn places(seed: u64, group: Option<&str>, total: u64) -> Vec<u64> {
        let permutation = Permutation::new(seed, group, total);
        (0..total).map(|row| permutation.place(row)).collect()
    }

    fn is_permutation(places: &[u64]) -> bool {
        let mut sorted = places.to_vec();
        sorted.sort_unstable();
        sorted.into_iter().eq(0..places.len() as u64)
    }

    #[test]
    fn every_small_size_is_permuted() {
        for total in 0..=1025 {
            for (seed, group) in [(0, None), (7, Some("")), (u64::MAX, Some("Rome"))] {
                assert!(is_permutation(&places(seed, group, total)), "{total}");
            }
        }
        assert!(is_permutation(&places(3, None, 100_003)));
        let huge = Permutation::new(1, None, u64::MAX);
        assert_ne!(huge.place(5), huge.place(6));
        assert_eq!(Permutation::new(1, None, 3).place(3), 3);
    }

    #[test]
    fn the_permutation_never_changes() {
        assert_eq!(places(0, None, 10), [8, 1, 2, 9, 0, 6, 3, 5, 7, 4]);
    }

    #[test]
    fn seeds_and_groups_make_different_permutations() {
        let all = [places(0, None, 100), places(1, None, 100), places(0, Some(""), 100), places(0, Some("a"), 100)];
        for (n, one) in all.iter().enumerate() {
            assert!(all[..n].iter().all(|other| other != one));
        }
    }

    #[test]
    fn every_row_is_as_likely_in_every_place() {
        // Chi-squared over (row, place) of many seeds; for 5 rows 16 degrees of freedom, of which 60 is far beyond chance.
        for total in [2u64, 3, 5, 6] {
            let (seeds, n) = (20_000, total as usize);
            let mut counts = vec![0u32; n * n];
            for seed in 0..seeds {
                for (row, place) in places(seed, None, total).into_iter().enumerate() {
                    counts[row * n + place as usize] += 1;
                }
            }
            let expected = seeds as f64 / total as f64;
            let chi: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
            assert!(chi < 60.0, "{total}: {chi}");
        }
    }

    #[test]
    fn sizes_follow_the_largest_remainder() {
        assert_eq!(sizes(10, &[0.8, 0.2]), [8, 2]);
        assert_eq!(sizes(100, &[0.29, 0.71]), [29, 71]);
        assert_eq!(sizes(5, &[0.5, 0.5]), [3, 2]);
        assert_eq!(sizes(1, &[1.0 / 3.0; 3]), [1, 0, 0]);
        assert_eq!(sizes(2, &[0.1, 0.2, 0.7]), [0, 1, 1]);
        assert_eq!(sizes(0, &[0.8, 0.2]), [0, 0]);
        assert_eq!(sizes(7, &[]), Vec::<u64>::new());
    }

    proptest! {
        #[test]
        fn sides_are_disjoint_and_complete(total in 0u64..3000, seed: u64, weights in prop::collection::vec(1u32..1000, 1..6)) {
            let sum: u32 = weights.iter().sum();
            let shares: Vec<f64> = weights.iter().map(|w| f64::from(*w) / f64::from(sum)).collect();
            let sizes = sizes(total, &shares);
            prop_assert_eq!(sizes.iter().sum::<u64>(), total);
            for (size, share) in sizes.iter().zip(&shares) {
                prop_assert!((*size as f64 - share * total as f64).abs() < 1.0 + 1e-6);
            }
            let permutation = Permutation::new(seed, Some("g"), total);
            let mut from = 0;
            let mut taken = vec![0u32; total as usize];
            for size in sizes {
                let rows: Vec<u64> = (0..total).filter(|r| (from..from + size).contains(&permutation.place(*r))).collect();
                prop_assert_eq!(rows.len() as u64, size);
                rows.iter().for_each(|r| taken[*r as usize] += 1);
                from += size;
            }
            prop_assert!(taken.iter().all(|t| *t == 1));
        }

        #[test]
        fn large_groups_are_permuted(total in 1u64..u64::MAX, seed: u64, row: u64) {
            let permutation = Permutation::new(seed, None, total);
            prop_assert!(permutation.place(row % total) < total);
        }
    }
}
