//! Splitting rows on disk by the hash of their keys: every row of a key lands in one part, in the old order.

use std::rc::Rc;

use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::{HashColumn, HashPlan};

use super::file::{Piece, SpillFile, held_bytes, pieces};
use super::order::concat;
use crate::hash::hash_frame;
use crate::shuffle::partition_rows;
use crate::tasks::Context;

/// Rows are gathered in memory up to this share of the budget before they are written.
const SHARE: u64 = 6;

/// Takes rows and writes them to parts by the bits of their keys' hashes that follow the first `skip_bits`: the shuffle used
/// those, so rows of one of its partitions differ only below.
pub struct HashSplit<'a> {
    context: &'a Context,
    plan: HashPlan,
    parts: u32,
    skip_bits: u32,
    room: u64,
    held: Vec<DataFrame>,
    held_bytes: u64,
    file: Option<SpillFile<'a>>,
    pieces: Vec<Vec<Piece>>,
}

impl<'a> HashSplit<'a> {
    /// `parts`: a power of two.
    pub fn new(context: &'a Context, keys: Vec<HashColumn>, parts: u32, skip_bits: u32) -> Self {
        let parts = parts.max(1).next_power_of_two();
        let plan = HashPlan { columns: Some(keys), with_row_hash: false, partitions: parts };
        Self {
            context,
            plan,
            parts,
            skip_bits,
            room: (context.budget / SHARE).max(1),
            held: Vec::new(),
            held_bytes: 0,
            file: None,
            pieces: vec![Vec::new(); parts as usize],
        }
    }

    /// Adds rows, all of the same columns and types.
    pub fn push(&mut self, frame: &DataFrame) -> Result<(), Failure> {
        for piece in pieces(frame, self.room) {
            let bytes = held_bytes(&piece);
            if self.held_bytes > 0 && self.held_bytes + bytes > self.room {
                self.flush()?;
            }
            self.held_bytes += bytes;
            self.held.push(piece);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.held_bytes = 0;
        let Some(frame) = concat(self.held.drain(..))?.filter(|f| f.height() > 0) else { return Ok(()) };
        let hashes = hash_frame(&frame, &self.plan)?.keys;
        let of: Vec<u32> = hashes.into_iter().map(|hash| part_of(hash, self.parts, self.skip_bits)).collect();
        let rows = partition_rows(&frame, &of, self.parts)?;
        drop(frame);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(SpillFile::create(self.context)?),
        };
        for (n, part) in self.pieces.iter_mut().enumerate() {
            let members = rows.part(n);
            if members.height() > 0 {
                part.push(file.append(&members)?);
            }
        }
        Ok(())
    }

    /// Bytes written to disk so far; those of all parts together say what it was in the end.
    pub fn spilled(&self) -> u64 {
        self.file.as_ref().map_or(0, SpillFile::written)
    }

    /// The parts, in the order of their bits, empty ones too.
    pub fn finish(mut self) -> Result<Vec<SplitPart<'a>>, Failure> {
        self.flush()?;
        let file = self.file.map(Rc::new);
        Ok(self.pieces.into_iter().map(|pieces| SplitPart { file: file.clone(), pieces }).collect())
    }
}

/// The part of a hash: `parts` is a power of two.
fn part_of(hash: u128, parts: u32, skip_bits: u32) -> u32 {
    let rest = hash.checked_shl(skip_bits).unwrap_or(0);
    crate::hash::partition_of(rest, parts) as u32
}

/// Rows of some keys.
pub struct SplitPart<'a> {
    file: Option<Rc<SpillFile<'a>>>,
    pieces: Vec<Piece>,
}

impl SplitPart<'_> {
    pub fn rows(&self) -> u64 {
        self.pieces.iter().map(|p| p.rows).sum()
    }

    /// Bytes of its rows in memory.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|p| p.bytes).sum()
    }

    /// Bytes that it takes on disk.
    pub fn spilled(&self) -> u64 {
        self.pieces.iter().map(Piece::on_disk).sum()
    }

    /// Its rows in the order they came in.
    pub fn frames(&self) -> impl Iterator<Item = Result<DataFrame, Failure>> + '_ {
        self.pieces.iter().filter_map(|piece| self.file.as_ref().map(|file| file.read(piece)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use polars::df;

    #[test]
    fn the_rows_of_a_key_stay_together_in_their_order() {
        let bench = Bench::new();
        let context = bench.context(0, 0).with_limits(4 << 10, 1, false);
        let keys: Vec<i64> = (0..5000).map(|n| n * 7919 % 61).collect();
        let names: Vec<String> =
            keys.iter().map(|k| format!("name of {k}, long enough not to lie in its view")).collect();
        let frame = df!("k" => &keys, "name" => names, "n" => (0..5000i64).collect::<Vec<_>>()).unwrap();
        let columns = vec![HashColumn { name: "k".into(), dtype: None }];
        let mut split = HashSplit::new(&context, columns.clone(), 8, 3);
        for at in (0..5000).step_by(700) {
            split.push(&frame.slice(at, 700)).unwrap();
        }
        assert!(split.spilled() > 0, "the rows do not fit the budget");
        let parts = split.finish().unwrap();
        assert_eq!(parts.iter().map(SplitPart::rows).sum::<u64>(), 5000);
        assert!(parts.iter().filter(|p| p.rows() > 0 && p.bytes() > 0).count() > 4, "keys are spread");
        let mut seen = std::collections::HashSet::new();
        for part in &parts {
            let mut last = std::collections::HashMap::new();
            for piece in part.frames() {
                let piece = piece.unwrap();
                let column = |name: &str| piece.column(name).unwrap().i64().unwrap().clone();
                for (k, n) in column("k").into_no_null_iter().zip(column("n").into_no_null_iter()) {
                    assert_eq!(keys[n as usize], k);
                    assert!(last.insert(k, n).is_none_or(|before| before < n), "the old order");
                }
            }
            assert!(last.into_keys().all(|k| seen.insert(k)), "a key is in one part");
        }
        assert_eq!(seen.len(), 61);
    }

    #[test]
    fn bits_the_shuffle_used_are_skipped() {
        let hash = 0b1011_0110u128 << 120;
        assert_eq!(part_of(hash, 4, 0), 0b10);
        assert_eq!(part_of(hash, 4, 2), 0b11);
        assert_eq!(part_of(hash, 16, 4), 0b0110);
        assert_eq!(part_of(hash, 16, 128), 0);
        assert_eq!(part_of(hash, 1, 3), 0);
    }
}
