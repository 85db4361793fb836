//! A partition as far as it fits in memory: whole, or split on disk by its keys into parts that do.

use hashbrown::HashSet;
use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::{HashColumn, HashPlan};

use crate::hash::hash_frame;
use crate::spill::{HashSplit, SplitPart};
use crate::tasks::Context;

/// A partition that does not fit is split into so many parts at a time.
const PARTS: u32 = 16;
/// A hash has no more bits to split by.
const BITS: u32 = 120;

/// Frames of every side.
pub type Sides = Vec<Vec<DataFrame>>;
type Source<'s> = Box<dyn Iterator<Item = Result<DataFrame, Failure>> + 's>;

pub enum Loaded<'a> {
    Whole(Sides),
    /// A part's rows are the same element of every side.
    Split(Vec<Vec<SplitPart<'a>>>),
}

/// How a partition is taken apart.
pub struct Loader<'a> {
    pub context: &'a Context,
    pub keys: &'a [HashColumn],
    /// Bytes of rows that may be reduced at once.
    pub limit: u64,
    pub spilled: u64,
}

impl<'a> Loader<'a> {
    /// Takes the rows of every side into memory if they fit; otherwise splits them by the bits of their keys' hashes after
    /// the first `skip_bits`.
    pub fn load(&mut self, sources: Vec<Source<'_>>, skip_bits: u32) -> Result<Loaded<'a>, Failure> {
        let mut held: Sides = sources.iter().map(|_| Vec::new()).collect();
        let mut splits: Option<Vec<HashSplit<'a>>> = None;
        let mut bytes = 0;
        for (n, source) in sources.into_iter().enumerate() {
            for frame in source {
                let frame = frame?;
                if let Some(split) = splits.as_mut().and_then(|s| s.get_mut(n)) {
                    split.push(&frame)?;
                    continue;
                }
                bytes += frame.estimated_size() as u64;
                if let Some(side) = held.get_mut(n) {
                    side.push(frame);
                }
                if bytes > self.limit && !self.keys.is_empty() && skip_bits < BITS {
                    splits = Some(self.split(&mut held, skip_bits)?);
                }
            }
        }
        let Some(splits) = splits else { return Ok(Loaded::Whole(held)) };
        let parts = splits.into_iter().map(HashSplit::finish).collect::<Result<Vec<_>, _>>()?;
        self.spilled += parts.iter().flatten().map(SplitPart::bytes).sum::<u64>();
        Ok(Loaded::Split(parts))
    }

    fn split(&self, held: &mut Sides, skip_bits: u32) -> Result<Vec<HashSplit<'a>>, Failure> {
        held.iter_mut()
            .map(|side| {
                let mut split = HashSplit::new(self.context, self.keys.to_vec(), PARTS, skip_bits);
                for frame in side.drain(..) {
                    split.push(&frame)?;
                }
                Ok(split)
            })
            .collect()
    }

    /// Hands every part that fits to `work`, splitting again what does not. A key that is too large by itself is tried as
    /// long as it has a chance.
    pub fn each(
        &mut self,
        sides: &[Vec<SplitPart<'_>>],
        skip_bits: u32,
        work: &mut dyn FnMut(Sides) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let skip_bits = skip_bits + PARTS.trailing_zeros();
        for n in 0..PARTS as usize {
            self.context.check()?;
            let parts: Vec<&SplitPart<'_>> = sides.iter().filter_map(|side| side.get(n)).collect();
            let bytes: u64 = parts.iter().map(|p| p.bytes()).sum();
            if parts.iter().all(|p| p.rows() == 0) {
                continue;
            }
            if bytes <= self.limit || self.is_one_key(&parts, bytes)? {
                work(parts.iter().map(|p| p.frames().collect()).collect::<Result<Sides, _>>()?)?;
                continue;
            }
            let sources = parts.iter().map(|part| -> Source<'_> { Box::new(part.frames()) }).collect();
            match self.load(sources, skip_bits)? {
                Loaded::Whole(frames) => work(frames)?,
                Loaded::Split(deeper) => self.each(&deeper, skip_bits, work)?,
            }
        }
        Ok(())
    }

    /// Whether splitting can do nothing more; a key that cannot be held in any way is an error.
    fn is_one_key(&self, parts: &[&SplitPart<'_>], bytes: u64) -> Result<bool, Failure> {
        let plan = HashPlan { columns: Some(self.keys.to_vec()), with_row_hash: false, partitions: 1 };
        let mut seen: HashSet<u128> = HashSet::new();
        let mut row = None;
        for part in parts {
            for frame in part.frames() {
                let frame = frame?;
                seen.extend(hash_frame(&frame, &plan)?.keys);
                if seen.len() > 1 {
                    return Ok(false);
                }
                if row.is_none() && frame.height() > 0 {
                    row = Some(key_shown(&frame, self.keys, 0)?);
                }
            }
        }
        // A worker's slots share its memory; another one's share may be free, two are not to be counted on.
        if bytes > self.context.budget.saturating_mul(2) {
            return Err(Failure::bad_input(format!(
                "the rows of the key {} take {} MiB, more than a reduce can hold ({} MiB a task): give workers more --memory or fewer --slots, combine or filter in the map, or reduce with a program, which reads them as a stream",
                row.unwrap_or_default(),
                bytes >> 20,
                self.context.budget >> 20
            )));
        }
        Ok(true)
    }
}

/// A row's key, for people.
pub fn key_shown(frame: &DataFrame, keys: &[HashColumn], row: usize) -> Result<String, Failure> {
    let names: Vec<&str> = keys.iter().map(|k| k.name.as_str()).collect();
    let frame = frame.slice(row as i64, 1).select(names).map_err(Failure::internal)?;
    Ok(crate::tasks::raw::row_as_json(&frame, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spill::testing::Bench;
    use polars::df;

    fn keys() -> Vec<HashColumn> {
        vec![HashColumn { name: "k".into(), dtype: None }]
    }

    /// Rows of `count` keys; `most` of them of the first.
    fn rows(count: i64, most: usize) -> DataFrame {
        let k: Vec<i64> = (0..6000).map(|n| if (n as usize) < most { 0 } else { n % count }).collect();
        df!("k" => k, "t" => (0..6000).map(|n| format!("a text that takes some room, number {n}")).collect::<Vec<_>>())
            .unwrap()
    }

    fn sources(frames: &[DataFrame]) -> Vec<Source<'_>> {
        let pieces = |frame: &DataFrame| (0..6).map(|n| Ok(frame.slice(n * 1000, 1000))).collect::<Vec<_>>();
        frames.iter().map(|frame| -> Source<'_> { Box::new(pieces(frame).into_iter()) }).collect()
    }

    #[test]
    fn every_key_is_whole_in_one_part_on_every_side() {
        let bench = Bench::new();
        let context = bench.context(0, 0).with_limits(1 << 20, 1, false);
        let (keys, sides) = (keys(), [rows(97, 0), rows(50, 0)]);
        let mut loader = Loader { context: &context, keys: &keys, limit: 30_000, spilled: 0 };
        let Loaded::Split(parts) = loader.load(sources(&sides), 3).unwrap() else { panic!("it fits") };
        let mut seen: HashSet<i64> = HashSet::new();
        let (mut calls, mut count) = (0, [0, 0]);
        loader
            .each(&parts, 3, &mut |part| {
                let mut here: HashSet<i64> = HashSet::new();
                for (frames, count) in part.iter().zip(&mut count) {
                    for frame in frames {
                        *count += frame.height();
                        here.extend(frame.column("k").unwrap().i64().unwrap().into_no_null_iter());
                    }
                }
                calls += 1;
                assert!(here.iter().all(|k| seen.insert(*k)), "a key is in two parts");
                Ok(())
            })
            .unwrap();
        assert_eq!((count, seen.len()), ([6000, 6000], 97));
        assert!(calls > 16 && loader.spilled > 0, "{calls} parts: some must be split again");
        let Loaded::Whole(_) = Loader { limit: 1 << 30, ..loader }.load(sources(&sides), 3).unwrap() else {
            panic!("what fits is not split")
        };
    }

    #[test]
    fn a_key_that_cannot_be_split_is_tried_and_one_that_is_too_large_is_named() {
        let bench = Bench::new();
        let (keys, sides) = (keys(), [rows(97, 5000)]);
        for (budget, fits) in [(1u64 << 20, true), (100_000, false)] {
            let context = bench.context(0, 0).with_limits(budget, 1, false);
            let mut loader = Loader { context: &context, keys: &keys, limit: 30_000, spilled: 0 };
            let Loaded::Split(parts) = loader.load(sources(&sides), 0).unwrap() else { panic!("it fits") };
            let mut largest = 0;
            let done = loader.each(&parts, 0, &mut |part| {
                largest = largest.max(part.iter().flatten().map(DataFrame::height).sum());
                Ok(())
            });
            if fits {
                assert!(done.is_ok() && largest >= 5000, "{done:?}");
            } else {
                let told = done.unwrap_err().to_string();
                assert!(told.contains("the key {\"k\":0}") && told.contains("--memory"), "{told}");
            }
        }
    }
}
