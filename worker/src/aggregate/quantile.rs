//! Exact quantiles: the values of each group, sorted, with how often each occurs.

use polars::prelude::{DataFrame, Float64Chunked, Int64Chunked, IntoColumn};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::sort::{SortKey, SortOrder};

use super::cells::Cells;
use super::groups::Place;
use crate::hash::canonical;
use crate::spill::ExternalSort;
use crate::tasks::Context;

const GROUP: &str = "g";
const VALUE: &str = "v";
const TIMES: &str = "n";

/// The values of a shard's groups, by partition. NaNs, which are more than any number, are counted elsewhere.
pub struct ValueCounts(Vec<Vec<(u32, f64)>>);

impl ValueCounts {
    pub fn new(partitions: usize) -> Self {
        Self(vec![Vec::new(); partitions])
    }

    /// Adds the values of some rows.
    pub fn add(&mut self, cells: &Cells, ids: &[u32], places: &[Place]) {
        cells.each_float(ids, |id, x| {
            if !x.is_nan() {
                let place = places[id];
                self.0[place.partition as usize].push((place.index, canonical(x)));
            }
        });
    }

    /// A frame a partition: each group's values in order, each once, with how often it occurs.
    pub fn frames(self) -> impl Iterator<Item = Result<DataFrame, Failure>> {
        self.0.into_iter().map(|mut pairs| {
            pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            let (mut groups, mut values, mut times) = (Vec::new(), Vec::new(), Vec::new());
            for same in pairs.chunk_by(|a, b| a == b) {
                groups.push(i64::from(same[0].0));
                values.push(same[0].1);
                times.push(same.len() as i64);
            }
            frame(groups, values, times)
        })
    }
}

fn frame(groups: Vec<i64>, values: Vec<f64>, times: Vec<i64>) -> Result<DataFrame, Failure> {
    let height = groups.len();
    let columns = vec![
        Int64Chunked::from_vec(GROUP.into(), groups).into_column(),
        Float64Chunked::from_vec(VALUE.into(), values).into_column(),
        Int64Chunked::from_vec(TIMES.into(), times).into_column(),
    ];
    DataFrame::new(height, columns).map_err(Failure::internal)
}

struct Values {
    groups: Vec<i64>,
    values: Vec<f64>,
    times: Vec<i64>,
}

impl Values {
    fn of(frame: &DataFrame) -> Result<Self, Failure> {
        let ints = |name: &str| -> Result<Vec<i64>, Failure> {
            Ok(frame.column(name).and_then(|c| c.i64()).map_err(Failure::internal)?.into_no_null_iter().collect())
        };
        let values =
            frame.column(VALUE).and_then(|c| c.f64()).map_err(Failure::internal)?.into_no_null_iter().collect();
        Ok(Self { groups: ints(GROUP)?, values, times: ints(TIMES)? })
    }
}

/// For each share a value a group.
pub type OfShares = Vec<Vec<Option<f64>>>;

/// Finds the quantiles of each group at some shares.
pub struct Quantiles<'a> {
    sort: ExternalSort<'a>,
    shares: Vec<f64>,
    /// Numbers and NaNs of each group.
    tally: Vec<(i64, i64)>,
}

impl<'a> Quantiles<'a> {
    /// `room`: bytes of memory to stay within.
    pub fn new(context: &'a Context, tally: &[(i64, i64)], shares: Vec<f64>, room: u64) -> Self {
        let by = [GROUP, VALUE].map(|column| SortKey { column: column.into(), descending: false }).to_vec();
        let sort = ExternalSort::new(context, SortOrder { by, nulls_last: false }, room);
        Self { sort, shares, tally: tally.to_vec() }
    }

    /// Adds what a shard sent; `of` says which of its groups are meant and what their numbers are here.
    pub fn push(&mut self, sent: &DataFrame, of: &[Option<u32>]) -> Result<(), Failure> {
        let sent = Values::of(sent)?;
        let (mut groups, mut values, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for (n, group) in sent.groups.iter().enumerate() {
            if let Some(group) = of.get(*group as usize).copied().flatten() {
                groups.push(i64::from(group));
                values.push(sent.values[n]);
                times.push(sent.times[n]);
            }
        }
        self.sort.push(frame(groups, values, times)?)
    }

    /// The quantiles, and the bytes that were written to disk.
    pub fn finish(self) -> Result<(OfShares, u64), Failure> {
        let groups = self.tally.len();
        // The values at either side of each share's place.
        let mut sides = vec![vec![(f64::NAN, f64::NAN); groups]; self.shares.len()];
        let sorted = self.sort.finish()?;
        let spilled = sorted.spilled();
        let (mut current, mut before) = (usize::MAX, 0i64);
        for frame in sorted {
            let frame = Values::of(&frame?)?;
            for ((group, value), times) in frame.groups.into_iter().zip(frame.values).zip(frame.times) {
                let group = group as usize;
                if group != current {
                    (current, before) = (group, 0);
                }
                let here = before..before + times;
                for (share, sides) in self.shares.iter().zip(&mut sides) {
                    let (numbers, nans) = self.tally[group];
                    let (low, high, _) = place(*share, numbers + nans);
                    if here.contains(&low) {
                        sides[group].0 = value;
                    }
                    if here.contains(&high) {
                        sides[group].1 = value;
                    }
                }
                before += times;
            }
        }
        let of = |share: f64, sides: Vec<(f64, f64)>| {
            let value = |((numbers, nans), (low, high)): (&(i64, i64), (f64, f64))| match numbers + nans {
                0 => None,
                // Between equal values there is nothing to interpolate; of infinite ones it could not be.
                all if low != high => Some(low + (high - low) * place(share, all).2),
                _ => Some(low),
            };
            self.tally.iter().zip(sides).map(value).collect()
        };
        Ok((self.shares.iter().zip(sides).map(|(share, sides)| of(*share, sides)).collect(), spilled))
    }
}

/// The places of the values at either side of a share of so many, and how far it is from the one to the other.
fn place(share: f64, numbers: i64) -> (i64, i64, f64) {
    let place = share * (numbers - 1).max(0) as f64;
    let low = place.floor();
    let fraction = place - low;
    let low = low as i64;
    if fraction > 0.0 { (low, low + 1, fraction) } else { (low, low, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spill::testing::Bench;
    use polars::df;

    #[test]
    fn quantiles_are_those_of_all_values_together() {
        let bench = Bench::new();
        for room in [1 << 24, 2_000] {
            let context = bench.context(0, 0).with_limits(room, 1, false);
            let ids: Vec<u32> = (0..900).map(|n| n % 3).collect();
            let x: Vec<Option<f64>> = (0..900i32)
                .map(|n| match n % 3 {
                    0 => Some(f64::from(n * 7919 % 41)),
                    1 => (n % 2 == 0).then(|| f64::from(n) / 7.0),
                    _ => Some(f64::NAN),
                })
                .collect();
            let mut of_group = vec![Vec::new(); 3];
            ids.iter().zip(&x).for_each(|(id, x)| of_group[*id as usize].extend(x.filter(|x| !x.is_nan())));
            of_group.iter_mut().for_each(|v| v.sort_by(f64::total_cmp));
            let tally: Vec<(i64, i64)> =
                vec![(of_group[0].len() as i64, 0), (of_group[1].len() as i64, 0), (0, 300), (0, 0)];
            let shares = vec![0.0, 0.25, 0.5, 0.9371, 1.0];
            let mut quantiles = Quantiles::new(&context, &tally, shares.clone(), room);
            let frame = df!("x" => &x).unwrap();
            // Two shards; in the first the groups are numbered backwards.
            for (from, rank, back) in
                [(0, [2u32, 1, 0], [Some(2), Some(1), Some(0)]), (450, [0, 1, 2], [Some(0), Some(1), Some(2)])]
            {
                let cells = Cells::of(frame.slice(from as i64, 450).column("x").unwrap()).unwrap();
                let mut values = ValueCounts::new(1);
                values.add(&cells, &ids[from..from + 450], &rank.map(|index| Place { partition: 0, index }));
                for sent in values.frames() {
                    quantiles.push(&sent.unwrap(), &back).unwrap();
                }
            }
            let (found, spilled) = quantiles.finish().unwrap();
            assert_eq!(spilled > 0, room < 1 << 24);
            for (share, found) in shares.iter().zip(found) {
                for group in 0..2 {
                    let values = &of_group[group];
                    let place = share * (values.len() - 1) as f64;
                    let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
                    let wanted = low + (high - low) * place.fract();
                    assert!((found[group].unwrap() - wanted).abs() < 1e-12, "{share} of group {group}");
                }
                assert!(found[2].unwrap().is_nan() && found[3].is_none());
            }
        }
    }

    #[test]
    fn nan_comes_after_the_numbers() {
        let bench = Bench::new();
        let context = bench.context(0, 0);
        let frame = df!("x" => [f64::NAN, 1.0, 2.0, f64::NAN]).unwrap();
        let mut quantiles = Quantiles::new(&context, &[(2, 2)], vec![0.0, 1.0 / 3.0, 0.5, 1.0], 1 << 20);
        let cells = Cells::of(frame.column("x").unwrap()).unwrap();
        let mut values = ValueCounts::new(1);
        values.add(&cells, &[0; 4], &[Place { partition: 0, index: 0 }]);
        quantiles.push(&values.frames().next().unwrap().unwrap(), &[Some(0)]).unwrap();
        let found: Vec<f64> = quantiles.finish().unwrap().0.into_iter().map(|of| of[0].unwrap()).collect();
        assert!(found[0] == 1.0 && found[1] == 2.0 && found[2].is_nan() && found[3].is_nan(), "{found:?}");
    }

    #[test]
    fn infinities_stay_what_they_are() {
        let bench = Bench::new();
        let context = bench.context(0, 0);
        let x = [f64::INFINITY, f64::INFINITY, 1.0];
        let frame = df!("x" => x).unwrap();
        let mut quantiles = Quantiles::new(&context, &[(3, 0)], vec![0.75, 0.0], 1 << 20);
        let cells = Cells::of(frame.column("x").unwrap()).unwrap();
        let mut values = ValueCounts::new(1);
        values.add(&cells, &[0; 3], &[Place { partition: 0, index: 0 }]);
        quantiles.push(&values.frames().next().unwrap().unwrap(), &[Some(0)]).unwrap();
        assert_eq!(quantiles.finish().unwrap().0, [vec![Some(f64::INFINITY)], vec![Some(1.0)]]);
    }
}
