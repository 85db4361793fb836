//! A partition as far as it fits in memory: whole, or split on disk by its keys into parts that do.

use hashbrown::HashSet;
use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::task::{HashColumn, HashPlan};

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
