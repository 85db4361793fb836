//! Rounds of k-means: seeding (k-means||) and assignment to the nearest centre.

use shardmill_common::failure::Failure;
use shardmill_common::model::{CentroidSums, Packed, SeedRound, Seeds};

use super::kernel::WIDE;
use super::session::Session;

/// Rows that are expanded and assigned at a time.
const BLOCK: usize = 128;
const BLOCKS_A_LOOK: usize = 32;

/// Points by lanes of eight coordinates, padded with zeros: the padding adds nothing to a distance.
struct Points {
    width: usize,
    lanes: usize,
    coordinates: Vec<[f64; WIDE]>,
}

impl Points {
    fn new(width: usize, count: usize) -> Self {
        let lanes = width.div_ceil(WIDE);
        Self { width, lanes, coordinates: vec![[0.0; WIDE]; lanes * count] }
    }

    fn of(centers: &[Packed], width: usize) -> Result<Self, Failure> {
        let mut points = Self::new(width, centers.len());
        for (n, center) in centers.iter().enumerate() {
            if center.0.len() != width {
                return Err(Failure::internal(format!("a centre of {} numbers, not {width}", center.0.len())));
            }
            points.get_mut(n).copy_from_slice(&center.0);
        }
        Ok(points)
    }

    fn lanes(&self, n: usize) -> &[[f64; WIDE]] {
        &self.coordinates[n * self.lanes..][..self.lanes]
    }

    fn get(&self, n: usize) -> &[f64] {
        &self.lanes(n).as_flattened()[..self.width]
    }

    fn get_mut(&mut self, n: usize) -> &mut [f64] {
        let width = self.width;
        &mut self.coordinates[n * self.lanes..][..self.lanes].as_flattened_mut()[..width]
    }
}

/// A point's nearest centre, the first of several, and the squared distance.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Nearest {
    center: u32,
    distance: f64,
}

#[inline(always)]
fn nearest_all(points: &Points, centers: &Points, count: usize, out: &mut [Nearest; BLOCK]) {
    for (n, slot) in out.iter_mut().enumerate().take(count) {
        let mut best = Nearest { center: 0, distance: f64::INFINITY };
        let x = points.lanes(n);
        for (center, c) in centers.coordinates.chunks_exact(centers.lanes.max(1)).enumerate() {
            let mut s = [0.0; WIDE];
            for (x, c) in x.iter().zip(c) {
                for k in 0..WIDE {
                    let off = x[k] - c[k];
                    s[k] += off * off;
                }
            }
            let distance = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
            if distance < best.distance {
                best = Nearest { center: center as u32, distance };
            }
        }
        *slot = best;
    }
}

/// The same code compiled for four numbers at a time; the bits are the same (see `kernel`).
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn nearest_avx2(points: &Points, centers: &Points, count: usize, out: &mut [Nearest; BLOCK]) {
    nearest_all(points, centers, count, out);
}

fn nearest(points: &Points, centers: &Points, count: usize, out: &mut [Nearest; BLOCK]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, which is all that the function needs beyond the baseline.
        return unsafe { nearest_avx2(points, centers, count, out) };
    }
    nearest_all(points, centers, count, out);
}

/// Calls `each` with every row, in order: its number in the matrix, its coordinates and its nearest centre.
fn for_each_row(
    session: &Session,
    centers: &Points,
    check: &dyn Fn() -> Result<(), Failure>,
    mut each: impl FnMut(usize, &[f64], Nearest),
) -> Result<(), Failure> {
    let matrix = &session.matrix;
    let mut points = Points::new(matrix.width, BLOCK);
    let mut found = [Nearest { center: 0, distance: 0.0 }; BLOCK];
    for (n, at) in (0..matrix.rows).step_by(BLOCK).enumerate() {
        if n % BLOCKS_A_LOOK == 0 {
            check()?;
        }
        let count = BLOCK.min(matrix.rows - at);
        (0..count).for_each(|r| matrix.expand(at + r, points.get_mut(r)));
        nearest(&points, centers, count, &mut found);
        for (r, found) in found.iter().enumerate().take(count) {
            each(at + r, points.get(r), *found);
        }
    }
    Ok(())
}

/// The random number of a row: the finaliser of splitmix64 over all that identifies it. It is part of what a seed means and
/// never changes.
fn number(seed: u64, round: u32, ordinal: u32, row: u64) -> u64 {
    let mix = |state: u64, part: u64| {
        let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ part;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    [u64::from(round), u64::from(ordinal), row].into_iter().fold(mix(0, seed), mix)
}

/// In `0..1`.
fn uniform(number: u64) -> f64 {
    (number >> 11) as f64 / (1u64 << 53) as f64
}

/// A round of seeding over the shard at `ordinal`.
pub fn seeds(
    session: &Session,
    ordinal: u32,
    round: &SeedRound,
    check: &dyn Fn() -> Result<(), Failure>,
) -> Result<Seeds, Failure> {
    let matrix = &session.matrix;
    let random = |row: usize| number(round.seed, round.round, ordinal, session.shard_row(row));
    let mut seeds = Seeds { rows: matrix.rows as u64, cost: 0.0, chosen: Vec::new() };
    if round.centers.is_empty() {
        check()?;
        if let Some((number, row)) = (0..matrix.rows).map(|row| (random(row), row)).min() {
            let mut x = vec![0.0; matrix.width];
            matrix.expand(row, &mut x);
            seeds.chosen.push((number, Packed(x)));
        }
        return Ok(seeds);
    }
    let centers = Points::of(&round.centers, matrix.width)?;
    let (mut cost, mut block) = (0.0, 0.0);
    for_each_row(session, &centers, check, |row, x, nearest| {
        if row % BLOCK == 0 {
            cost += std::mem::take(&mut block);
        }
        block += nearest.distance;
        let number = random(row);
        if uniform(number) < round.rate * nearest.distance {
            seeds.chosen.push((number, Packed(x.to_vec())));
        }
    })?;
    seeds.cost = cost + block;
    Ok(seeds)
}

/// Assigns the shard's rows to centres.
pub fn centroids(
    session: &Session,
    centers: &[Packed],
    check: &dyn Fn() -> Result<(), Failure>,
) -> Result<CentroidSums, Failure> {
    if centers.is_empty() {
        return Err(Failure::internal("no centres"));
    }
    let width = session.matrix.width;
    let points = Points::of(centers, width)?;
    let mut counts = vec![0u64; centers.len()];
    let mut sums = vec![vec![0.0; width]; centers.len()];
    let (mut inertia, mut block) = (0.0, 0.0);
    let mut farthest: Option<(f64, usize)> = None;
    for_each_row(session, &points, check, |row, x, nearest| {
        if row % BLOCK == 0 {
            inertia += std::mem::take(&mut block);
        }
        block += nearest.distance;
        let n = nearest.center as usize;
        counts[n] += 1;
        for ((sum, x), c) in sums[n].iter_mut().zip(x).zip(points.get(n)) {
            *sum += x - c;
        }
        if farthest.is_none_or(|(distance, _)| nearest.distance > distance) {
            farthest = Some((nearest.distance, row));
        }
    })?;
    let farthest = farthest.map(|(distance, row)| {
        let mut x = vec![0.0; width];
        session.matrix.expand(row, &mut x);
        (distance, Packed(x))
    });
    Ok(CentroidSums { counts, sums: sums.into_iter().map(Packed).collect(), inertia: inertia + block, farthest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Targets;
    use shardmill_serving::model::{Codes, Matrix};

    fn session(rows: usize) -> Session {
        let values = (0..rows * 9).map(|n| uniform(number(1, 2, 3, n as u64))).collect();
        let codes = vec![Codes { first: 4, categories: 2, codes: (0..rows).map(|n| (n % 3) as u32).collect() }];
        let dense = (0..4).chain(6..11).collect();
        let matrix = Matrix { rows, width: 11, dense, values, codes };
        Session {
            matrix,
            rows: None,
            targets: Targets::None,
            weights: None,
            shard_rows: rows as u64,
            counters: Default::default(),
        }
    }

    fn points(session: &Session, rows: &[usize]) -> Vec<Packed> {
        let mut x = vec![0.0; 11];
        rows.iter()
            .map(|row| {
                session.matrix.expand(*row, &mut x);
                Packed(x.clone())
            })
            .collect()
    }

    fn naive(x: &[f64], centers: &[Packed]) -> (usize, f64) {
        let distance = |c: &Packed| x.iter().zip(&c.0).map(|(x, c)| (x - c).powi(2)).sum::<f64>();
        let mut best = (0, f64::INFINITY);
        for (n, c) in centers.iter().enumerate() {
            if distance(c) < best.1 {
                best = (n, distance(c));
            }
        }
        best
    }

    #[test]
    fn rows_go_to_their_nearest_centre() {
        let session = session(700);
        let centers = points(&session, &[5, 5, 300, 699]);
        let found = centroids(&session, &centers, &|| Ok(())).unwrap();
        let (mut counts, mut inertia, mut far) = (vec![0u64; 4], 0.0, (0.0, 0));
        let mut sums = vec![vec![0.0; 11]; 4];
        for (row, x) in points(&session, &(0..700).collect::<Vec<_>>()).iter().enumerate() {
            let (n, d) = naive(&x.0, &centers);
            counts[n] += 1;
            inertia += d;
            if d > far.0 {
                far = (d, row);
            }
            (0..11).for_each(|j| sums[n][j] += x.0[j] - centers[n].0[j]);
        }
        assert_eq!(found.counts, counts);
        assert_eq!(found.counts[1], 0, "the first of two equal centres has the rows");
        assert!((found.inertia - inertia).abs() < 1e-9);
        for (a, b) in found.sums.iter().flat_map(|s| &s.0).zip(sums.iter().flatten()) {
            assert!((a - b).abs() < 1e-10);
        }
        let farthest = found.farthest.unwrap();
        assert!((farthest.0 - far.0).abs() < 1e-12);
        assert_eq!(farthest.1, points(&session, &[far.1])[0]);
    }

    #[test]
    fn vector_code_computes_the_same_bits() {
        let session = session(BLOCK);
        let centers = Points::of(&points(&session, &[1, 2, 3]), 11).unwrap();
        let all = Points::of(&points(&session, &(0..BLOCK).collect::<Vec<_>>()), 11).unwrap();
        let zero = [Nearest { center: 9, distance: -1.0 }; BLOCK];
        let (mut fast, mut portable) = (zero, zero);
        nearest(&all, &centers, BLOCK, &mut fast);
        nearest_all(&all, &centers, BLOCK, &mut portable);
        assert!(fast.iter().zip(&portable).all(|(a, b)| a == b && a.distance.to_bits() == b.distance.to_bits()));
    }

    #[test]
    fn seeds_depend_on_the_row_alone() {
        let all = session(1000);
        let first = |s: &Session| {
            let round = SeedRound { seed: 7, round: 0, centers: vec![], rate: 0.0 };
            seeds(s, 3, &round, &|| Ok(())).unwrap()
        };
        let one = first(&all);
        assert_eq!((one.rows, one.cost, one.chosen.len()), (1000, 0.0, 1));
        let smallest = (0..1000).map(|row| number(7, 0, 3, row)).min().unwrap();
        assert_eq!(one.chosen[0].0, smallest);
        let round = SeedRound { seed: 7, round: 1, centers: points(&all, &[0]), rate: 0.1 };
        let found = seeds(&all, 3, &round, &|| Ok(())).unwrap();
        let expected = found.cost * 0.1;
        assert!((found.chosen.len() as f64 - expected).abs() < 6.0 * expected.sqrt(), "{expected}");
        // A row keeps its number where others were left out.
        let mut some = all.clone();
        some.rows = Some((1000..2000).collect());
        assert_ne!(first(&some).chosen[0].0, smallest);
        assert_eq!(first(&some).chosen[0].0, (1000..2000).map(|row| number(7, 0, 3, row)).min().unwrap());
        assert_eq!(number(1, 2, 3, 4), 0x0569_c3cc_35ce_2988, "the numbers never change");
    }

    #[test]
    fn random_numbers_are_even() {
        let mut bins = [0u32; 16];
        (0..16_000).for_each(|row| bins[(uniform(number(0, 0, 0, row)) * 16.0) as usize] += 1);
        assert!(bins.iter().all(|n| (850..1150).contains(n)), "{bins:?}");
    }

    #[test]
    fn centres_of_another_width_are_refused() {
        assert!(centroids(&session(3), &[Packed(vec![1.0])], &|| Ok(())).is_err());
        assert!(centroids(&session(3), &[], &|| Ok(())).is_err());
    }
}
