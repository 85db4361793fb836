//! Counting different values exactly: pairs of a group and a value, each once. Numbers are known by their bits, text by the
//! 128-bit hash that tells rows apart everywhere else.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashSet;
use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, Series};
use shardmill_common::failure::Failure;
use shardmill_common::task::HashColumn;

use super::cells::Cells;
use crate::spill::{HashSplit, SplitPart};
use crate::tasks::Context;

pub const GROUP: &str = "g";
const LOW: &str = "low";
const HIGH: &str = "high";

/// Parts that pairs are split into when they do not fit in memory.
const PARTS: u32 = 16;
/// Pairs that are set aside at once.
const BLOCK: usize = 1 << 16;

/// Mixes the bits of a pair.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(29) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    // How long the array is says nothing.
    fn write_usize(&mut self, _length: usize) {}
}

type Set<V> = HashSet<(u32, V), BuildHasherDefault<Mix>>;

/// Different pairs of a group's number and a value.
enum Pairs {
    /// Values of 64 bits.
    Narrow(Set<u64>),
    /// Hashes: the low half is hashed again, the high half only compared.
    Wide(Set<Wide>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Wide {
    high: u64,
    low: u64,
}

impl std::hash::Hash for Wide {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

impl Pairs {
    fn new(narrow: bool) -> Self {
        if narrow { Pairs::Narrow(Set::default()) } else { Pairs::Wide(Set::default()) }
    }

    fn insert(&mut self, block: &PairBlock) {
        match self {
            Pairs::Narrow(set) => set.extend(block.groups.iter().copied().zip(block.low.iter().copied())),
            Pairs::Wide(set) => {
                let values = block.high.iter().zip(&block.low).map(|(high, low)| Wide { high: *high, low: *low });
                set.extend(block.groups.iter().copied().zip(values));
            }
        }
    }

    /// Bytes of memory.
    fn bytes(&self) -> u64 {
        match self {
            Pairs::Narrow(set) => set.allocation_size() as u64,
            Pairs::Wide(set) => set.allocation_size() as u64,
        }
    }

    fn len(&self) -> usize {
        match self {
            Pairs::Narrow(set) => set.len(),
            Pairs::Wide(set) => set.len(),
        }
    }

    /// Gives the pairs away, in no order.
    fn drain(&mut self, mut f: impl FnMut(u32, u64, u64)) {
        match self {
            Pairs::Narrow(set) => set.drain().for_each(|(group, low)| f(group, 0, low)),
            Pairs::Wide(set) => set.drain().for_each(|(group, value)| f(group, value.high, value.low)),
        }
    }
}

/// Pairs as they travel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairBlock {
    pub groups: Vec<u32>,
    low: Vec<u64>,
    /// Empty for values of 64 bits.
    high: Vec<u64>,
}

fn column(name: &str, values: &[u64]) -> Column {
    let values: Vec<i64> = values.iter().map(|v| *v as i64).collect();
    Series::new(name.into(), values).into_column()
}

fn bits(frame: &DataFrame, name: &str) -> Result<Vec<u64>, Failure> {
    let values = frame.column(name).and_then(|c| c.i64()).map_err(Failure::internal)?;
    Ok(values.into_no_null_iter().map(|v| v as u64).collect())
}

impl PairBlock {
    pub fn to_frame(&self) -> Result<DataFrame, Failure> {
        let groups: Vec<i64> = self.groups.iter().map(|g| i64::from(*g)).collect();
        let mut columns = vec![Series::new(GROUP.into(), groups).into_column(), column(LOW, &self.low)];
        if !self.high.is_empty() {
            columns.push(column(HIGH, &self.high));
        }
        DataFrame::new(self.groups.len(), columns).map_err(Failure::internal)
    }

    pub fn from_frame(frame: &DataFrame) -> Result<Self, Failure> {
        let groups = bits(frame, GROUP)?.into_iter().map(|g| g as u32).collect();
        let high = if frame.column(HIGH).is_ok() { bits(frame, HIGH)? } else { Vec::new() };
        Ok(Self { groups, low: bits(frame, LOW)?, high })
    }

    fn push(&mut self, narrow: bool, group: u32, high: u64, low: u64) {
        self.groups.push(group);
        self.low.push(low);
        if !narrow {
            self.high.push(high);
        }
    }

    /// The pairs of groups that `of` still knows, under their new numbers.
    pub fn renumbered(self, of: &[Option<u32>]) -> Self {
        let narrow = self.high.is_empty();
        let mut out = PairBlock::default();
        for (n, group) in self.groups.iter().enumerate() {
            if let Some(group) = of.get(*group as usize).copied().flatten() {
                out.push(narrow, group, self.high.get(n).copied().unwrap_or(0), self.low[n]);
            }
        }
        out
    }
}

/// The different pairs of a shard.
pub struct DistinctPairs {
    pairs: Pairs,
    narrow: bool,
}

impl DistinctPairs {
    pub fn of(cells: &Cells, ids: &[u32]) -> Self {
        let narrow = cells.is_narrow();
        let mut pairs = Pairs::new(narrow);
        match &mut pairs {
            Pairs::Narrow(set) => cells.each_bits(ids, |id, bits| {
                set.insert((id as u32, bits));
            }),
            Pairs::Wide(set) => cells.each_hash(ids, |id, [high, low]| {
                set.insert((id as u32, Wide { high, low }));
            }),
        }
        Self { pairs, narrow }
    }

    /// A block a partition: `rank` is the place of each group among all in the order of partitions, which begin at `starts`.
    pub fn blocks(mut self, rank: &[u32], starts: &[usize]) -> Vec<PairBlock> {
        let mut blocks = vec![PairBlock::default(); starts.len().saturating_sub(1)];
        let narrow = self.narrow;
        self.pairs.drain(|group, high, low| {
            let place = rank[group as usize] as usize;
            let partition = starts.partition_point(|start| *start <= place) - 1;
            blocks[partition].push(narrow, (place - starts[partition]) as u32, high, low);
        });
        blocks
    }
}

/// Counts the different values of each group within a budget; what does not fit is split on disk.
pub struct DistinctCounter<'a> {
    context: &'a Context,
    room: u64,
    pub counts: Vec<i64>,
    pub spilled: u64,
}

impl<'a> DistinctCounter<'a> {
    /// `room`: bytes of memory to stay within.
    pub fn new(context: &'a Context, groups: usize, room: u64) -> Self {
        Self { context, room, counts: vec![0; groups], spilled: 0 }
    }

    /// Counts these pairs, which are all of their groups'.
    pub fn count(&mut self, blocks: &mut dyn Iterator<Item = Result<PairBlock, Failure>>) -> Result<(), Failure> {
        self.count_below(blocks, 0)
    }

    fn count_below(
        &mut self,
        blocks: &mut dyn Iterator<Item = Result<PairBlock, Failure>>,
        skip_bits: u32,
    ) -> Result<(), Failure> {
        let mut pairs: Option<Pairs> = None;
        let mut split: Option<HashSplit<'a>> = None;
        for block in blocks {
            let block = block?;
            self.context.check()?;
            if let Some(split) = &mut split {
                split.push(&block.to_frame()?)?;
                continue;
            }
            let set = pairs.get_or_insert_with(|| Pairs::new(block.high.is_empty()));
            set.insert(&block);
            // When it grows it needs three times as much for a moment.
            if set.bytes() > self.room / 3 && skip_bits < 64 {
                split = Some(self.set_aside(set, skip_bits)?);
                pairs = None;
            }
        }
        if let Some(mut pairs) = pairs {
            pairs.drain(|group, _, _| self.counts[group as usize] += 1);
        }
        let Some(split) = split else { return Ok(()) };
        let parts = split.finish()?;
        self.spilled += parts.iter().map(SplitPart::spilled).sum::<u64>();
        for part in parts {
            let mut blocks = part.frames().map(|frame| PairBlock::from_frame(&frame?));
            self.count_below(&mut blocks, skip_bits + PARTS.trailing_zeros())?;
        }
        Ok(())
    }

    fn set_aside(&self, pairs: &mut Pairs, skip_bits: u32) -> Result<HashSplit<'a>, Failure> {
        let keys = [GROUP, LOW].map(|name| HashColumn { name: name.into(), dtype: None }).to_vec();
        let mut split = HashSplit::new(self.context, keys, PARTS, skip_bits);
        let narrow = matches!(pairs, Pairs::Narrow(_));
        let mut block = PairBlock::default();
        let mut failed = Ok(());
        let mut left = pairs.len();
        pairs.drain(|group, high, low| {
            block.push(narrow, group, high, low);
            left -= 1;
            if (block.groups.len() == BLOCK || left == 0) && failed.is_ok() {
                failed = std::mem::take(&mut block).to_frame().and_then(|frame| split.push(&frame));
            }
        });
        failed.map(|()| split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spill::testing::Bench;
    use polars::df;

    fn cells(frame: &DataFrame, name: &str) -> Cells {
        Cells::of(frame.column(name).unwrap()).unwrap()
    }

    /// Pairs of some shards through blocks of four partitions, and counted.
    fn counted(frame: &DataFrame, column: &str, ids: &[u32], groups: usize, room: u64) -> (Vec<i64>, u64) {
        let bench = Bench::new();
        let context = bench.context(0, 0).with_limits(room, false);
        // Groups in another order, unevenly in partitions, of which one is empty.
        let rank: Vec<u32> = (0..groups as u32).rev().collect();
        let starts = [0, groups / 3, groups / 3, groups - 1, groups];
        let mut counter = DistinctCounter::new(&context, groups, room);
        let mut all: Vec<Result<PairBlock, Failure>> = Vec::new();
        for half in 0..2 {
            let (from, to) = (frame.height() * half / 2, frame.height() * (half + 1) / 2);
            let some = cells(&frame.slice(from as i64, to - from), column);
            let blocks = DistinctPairs::of(&some, &ids[from..to]).blocks(&rank, &starts);
            for (n, block) in blocks.into_iter().enumerate() {
                let block = PairBlock::from_frame(&block.to_frame().unwrap()).unwrap();
                let back: Vec<Option<u32>> =
                    (starts[n]..starts[n + 1]).map(|place| Some((groups - 1 - place) as u32)).collect();
                all.push(Ok(block.renumbered(&back)));
            }
        }
        counter.count(&mut all.into_iter()).unwrap();
        (counter.counts, counter.spilled)
    }

    #[test]
    fn counts_are_exact_in_memory_and_on_disk() {
        let rows = 20_000i64;
        let ids: Vec<u32> = (0..rows).map(|n| (n * n % 11) as u32).collect();
        let x: Vec<Option<i64>> = (0..rows).map(|n| (n % 5 != 0).then_some(n * 7919 % 3001)).collect();
        let text: Vec<Option<String>> = x.iter().map(|x| x.map(|x| format!("value {x}"))).collect();
        let mut wanted = vec![std::collections::HashSet::new(); 11];
        ids.iter().zip(&x).for_each(|(id, x)| wanted[*id as usize].extend(*x));
        let wanted: Vec<i64> = wanted.iter().map(|s| s.len() as i64).collect();
        let frame = df!("x" => x, "text" => text).unwrap();
        for column in ["x", "text"] {
            assert_eq!(counted(&frame, column, &ids, 11, 1 << 26), (wanted.clone(), 0));
            let (counts, spilled) = counted(&frame, column, &ids, 11, 9_000);
            assert_eq!(counts, wanted);
            assert!(spilled > 50_000, "{spilled}");
        }
    }

    #[test]
    fn zeros_and_nans_are_one_value_each_and_nulls_none() {
        let frame = df!(
            "x" => [Some(0.0), Some(-0.0), Some(f64::NAN), Some(-f64::NAN), None, Some(1.0)],
            "b" => [Some(true), None, Some(false), Some(true), None, None],
        )
        .unwrap();
        assert_eq!(counted(&frame, "x", &[0; 6], 3, 1 << 20).0, [3, 0, 0]);
        assert_eq!(counted(&frame, "b", &[2, 2, 2, 2, 1, 1], 3, 1 << 20).0, [0, 0, 2]);
    }
}
