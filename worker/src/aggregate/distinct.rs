//! Counting different values exactly: pairs of a group and a value, each once. Numbers are known by their bits, text by the
//! 128-bit hash that tells rows apart everywhere else.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use hashbrown::HashSet;
use polars::prelude::{Column, DataFrame, Int64Chunked, IntoColumn, UInt32Chunked};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::HashColumn;

use super::cells::Cells;
use super::groups::Place;
use crate::spill::{HashSplit, SplitPart};
use crate::tasks::Context;

const GROUP: &str = "g";
const LOW: &str = "low";
const HIGH: &str = "high";

/// Parts that pairs are split into when they do not fit in memory.
const PARTS: u32 = 16;
/// Pairs are counted bucket by bucket, so that the set of those seen stays in the processor's cache.
const BUCKETS: usize = 256;
/// Pairs of a shard after which it is first seen whether they repeat: if they hardly do, they are sent as they come.
const TRIAL: usize = 1 << 15;

/// A value of 64 bits or a hash of 128, as it is compared.
trait Value: Copy + Eq + Hash {
    fn new(high: i64, low: i64) -> Self;
    fn parts(self) -> (i64, i64);
}

impl Value for i64 {
    fn new(_high: i64, low: i64) -> Self {
        low
    }

    fn parts(self) -> (i64, i64) {
        (0, self)
    }
}

/// The low half is hashed again, the high half only compared.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wide {
    high: i64,
    low: i64,
}

impl Hash for Wide {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_i64(self.low);
    }
}

impl Value for Wide {
    fn new(high: i64, low: i64) -> Self {
        Self { high, low }
    }

    fn parts(self) -> (i64, i64) {
        (self.high, self.low)
    }
}

/// Mixes the bits of a pair.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_i64(&mut self, n: i64) {
        self.write_u64(n as u64);
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(29) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

type Set<V> = HashSet<(u32, V), BuildHasherDefault<Mix>>;

fn mixed<V: Value>(pair: &(u32, V)) -> u64 {
    let mut mix = Mix::default();
    pair.hash(&mut mix);
    mix.finish()
}

/// Pairs as they travel: the group's place in its partition, and the value.
#[derive(Default)]
struct Block {
    groups: Vec<u32>,
    low: Vec<i64>,
    /// Empty for values of 64 bits.
    high: Vec<i64>,
}

impl Block {
    fn into_frame(self) -> Result<DataFrame, Failure> {
        let height = self.groups.len();
        let mut columns = vec![
            UInt32Chunked::from_vec(GROUP.into(), self.groups).into_column(),
            Int64Chunked::from_vec(LOW.into(), self.low).into_column(),
        ];
        if !self.high.is_empty() {
            columns.push(Int64Chunked::from_vec(HIGH.into(), self.high).into_column());
        }
        DataFrame::new(height, columns).map_err(Failure::internal)
    }
}

/// Whether the pairs of a shard are looked through for those that repeat.
struct Seen<V> {
    set: Option<Set<V>>,
    looked_at: usize,
    next_check: usize,
}

impl<V: Value> Seen<V> {
    fn new() -> Self {
        Self { set: Some(Set::default()), looked_at: 0, next_check: TRIAL }
    }

    /// Whether this pair has to be sent.
    #[inline]
    fn is_new(&mut self, pair: (u32, V)) -> bool {
        let Some(set) = &mut self.set else { return true };
        self.looked_at += 1;
        let is_new = set.insert(pair);
        if self.looked_at == self.next_check {
            self.next_check *= 2;
            if set.len() > self.looked_at / 4 * 3 {
                self.set = None;
            }
        }
        is_new
    }
}

enum AnySeen {
    Narrow(Seen<i64>),
    Wide(Seen<Wide>),
}

/// The pairs of a shard by partition: each at least once, and where values repeat often, once.
pub struct DistinctPairs {
    blocks: Vec<Block>,
    seen: Option<AnySeen>,
}

impl DistinctPairs {
    pub fn new(partitions: usize) -> Self {
        Self { blocks: (0..partitions).map(|_| Block::default()).collect(), seen: None }
    }

    /// Adds the values of some rows.
    pub fn add(&mut self, cells: &Cells, ids: &[u32], places: &[Place]) {
        let blocks = &mut self.blocks;
        let seen = self.seen.get_or_insert_with(|| {
            if cells.is_narrow() { AnySeen::Narrow(Seen::new()) } else { AnySeen::Wide(Seen::new()) }
        });
        match seen {
            AnySeen::Narrow(seen) => cells.each_bits(ids, |id, bits| {
                let low = bits as i64;
                if seen.is_new((id as u32, low)) {
                    let block = &mut blocks[places[id].partition as usize];
                    block.groups.push(places[id].index);
                    block.low.push(low);
                }
            }),
            AnySeen::Wide(seen) => cells.each_hash(ids, |id, [high, low]| {
                let (high, low) = (high as i64, low as i64);
                if seen.is_new((id as u32, Wide { high, low })) {
                    let block = &mut blocks[places[id].partition as usize];
                    block.groups.push(places[id].index);
                    block.low.push(low);
                    block.high.push(high);
                }
            }),
        }
    }

    /// Whether the values are hashes, which nothing compresses.
    pub fn are_hashes(&self) -> bool {
        matches!(self.seen, Some(AnySeen::Wide(_)))
    }

    /// A frame a partition.
    pub fn frames(self) -> impl Iterator<Item = Result<DataFrame, Failure>> {
        self.blocks.into_iter().map(Block::into_frame)
    }
}

/// Pairs in memory, by bits of their hashes.
struct Buckets<V> {
    buckets: Vec<Vec<(u32, V)>>,
    len: usize,
}

impl<V: Value> Buckets<V> {
    fn new() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Vec::new()).collect(), len: 0 }
    }

    #[inline]
    fn push(&mut self, group: u32, value: V) {
        let pair = (group, value);
        // The set of a bucket uses the others.
        let bucket = (mixed(&pair) >> 48) as usize % BUCKETS;
        self.buckets[bucket].push(pair);
        self.len += 1;
    }

    /// A bucket grows by doubling, and for a moment is there twice.
    fn bytes(&self) -> u64 {
        (self.len * size_of::<(u32, V)>() * 2) as u64
    }

    fn count(self, counts: &mut [i64]) {
        let mut set: Set<V> = Set::default();
        for bucket in self.buckets {
            set.clear();
            for pair in bucket {
                if set.insert(pair) {
                    counts[pair.0 as usize] += 1;
                }
            }
        }
    }

    /// The pairs as frames, a bucket each.
    fn frames(self) -> impl Iterator<Item = Result<DataFrame, Failure>> {
        self.buckets.into_iter().map(|bucket| {
            let groups = bucket.iter().map(|(group, _)| i64::from(*group)).collect();
            let (high, low): (Vec<i64>, Vec<i64>) = bucket.iter().map(|(_, value)| value.parts()).unzip();
            numbered(groups, low, if size_of::<V>() > 8 { high } else { Vec::new() })
        })
    }
}

/// Pairs with the groups' numbers, as they are set aside.
fn numbered(groups: Vec<i64>, low: Vec<i64>, high: Vec<i64>) -> Result<DataFrame, Failure> {
    let height = groups.len();
    let column = |name: &str, values| -> Column { Int64Chunked::from_vec(name.into(), values).into_column() };
    let mut columns = vec![column(GROUP, groups), column(LOW, low)];
    if !high.is_empty() {
        columns.push(column(HIGH, high));
    }
    DataFrame::new(height, columns).map_err(Failure::internal)
}

enum Pairs {
    Narrow(Buckets<i64>),
    Wide(Buckets<Wide>),
}

impl Pairs {
    fn new(narrow: bool) -> Self {
        if narrow { Pairs::Narrow(Buckets::new()) } else { Pairs::Wide(Buckets::new()) }
    }

    fn push(&mut self, groups: impl Iterator<Item = Option<u32>>, low: &[i64], high: &[i64]) {
        match self {
            Pairs::Narrow(buckets) => groups.zip(low).for_each(|(group, low)| {
                if let Some(group) = group {
                    buckets.push(group, *low);
                }
            }),
            Pairs::Wide(buckets) => groups.zip(low.iter().zip(high)).for_each(|(group, (low, high))| {
                if let Some(group) = group {
                    buckets.push(group, Value::new(*high, *low));
                }
            }),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Pairs::Narrow(buckets) => buckets.bytes(),
            Pairs::Wide(buckets) => buckets.bytes(),
        }
    }

    fn count(self, counts: &mut [i64]) {
        match self {
            Pairs::Narrow(buckets) => buckets.count(counts),
            Pairs::Wide(buckets) => buckets.count(counts),
        }
    }

    fn set_aside(self, split: &mut HashSplit<'_>) -> Result<(), Failure> {
        match self {
            Pairs::Narrow(buckets) => buckets.frames().try_for_each(|frame| split.push(&frame?)),
            Pairs::Wide(buckets) => buckets.frames().try_for_each(|frame| split.push(&frame?)),
        }
    }
}

fn ints<'a>(frame: &'a DataFrame, name: &str) -> Result<&'a [i64], Failure> {
    frame.column(name).and_then(|c| c.i64()).and_then(|c| c.cont_slice()).map_err(Failure::internal)
}

/// The values of a frame; the high halves are none where values are of 64 bits.
fn values(frame: &DataFrame) -> Result<(&[i64], &[i64]), Failure> {
    Ok((ints(frame, LOW)?, if frame.width() > 2 { ints(frame, HIGH)? } else { &[] }))
}

/// Counts the different values of each group within a budget; what does not fit is split on disk by hash, and counted part
/// by part.
pub struct DistinctCounter<'a> {
    context: &'a Context,
    room: u64,
    counts: Vec<i64>,
    level: Level<'a>,
    spilled: u64,
}

/// Pairs whose hashes begin alike, in so many bits.
struct Level<'a> {
    skip_bits: u32,
    pairs: Option<Pairs>,
    split: Option<HashSplit<'a>>,
}

impl<'a> DistinctCounter<'a> {
    /// `room`: bytes of memory to stay within.
    pub fn new(context: &'a Context, groups: usize, room: u64) -> Self {
        let level = Level { skip_bits: 0, pairs: None, split: None };
        Self { context, room, counts: vec![0; groups], level, spilled: 0 }
    }

    /// Adds what a shard sent; `of` says which of its groups are meant and what their numbers are here.
    pub fn push(&mut self, sent: &DataFrame, of: &[Option<u32>]) -> Result<(), Failure> {
        self.context.check()?;
        let mut sent = sent.clone();
        sent.rechunk_mut();
        let (low, high) = values(&sent)?;
        let groups =
            sent.column(GROUP).and_then(|c| c.u32()).and_then(|c| c.cont_slice()).map_err(Failure::internal)?;
        let groups = groups.iter().map(|group| of.get(*group as usize).copied().flatten());
        self.level.push(self.context, self.room, groups, low, high)
    }

    /// The counts, and the bytes that were written to disk.
    pub fn finish(mut self) -> Result<(Vec<i64>, u64), Failure> {
        self.level.count(self.context, self.room, &mut self.counts, &mut self.spilled)?;
        Ok((self.counts, self.spilled))
    }
}

impl<'a> Level<'a> {
    fn push(
        &mut self,
        context: &'a Context,
        room: u64,
        groups: impl Iterator<Item = Option<u32>>,
        low: &[i64],
        high: &[i64],
    ) -> Result<(), Failure> {
        if let Some(split) = &mut self.split {
            let mut kept = Block::default();
            let mut numbers = Vec::with_capacity(low.len());
            for (n, group) in groups.enumerate() {
                if let Some(group) = group {
                    numbers.push(i64::from(group));
                    kept.low.push(low[n]);
                    kept.high.extend(high.get(n));
                }
            }
            return split.push(&numbered(numbers, kept.low, kept.high)?);
        }
        let pairs = self.pairs.get_or_insert_with(|| Pairs::new(high.is_empty()));
        pairs.push(groups, low, high);
        // More bits than a hash has cannot split further.
        if pairs.bytes() > room && self.skip_bits < 96 {
            let keys = [GROUP, LOW].map(|name| HashColumn { name: name.into(), dtype: None }).to_vec();
            let mut split = HashSplit::new(context, keys, PARTS, self.skip_bits);
            if let Some(pairs) = self.pairs.take() {
                pairs.set_aside(&mut split)?;
            }
            self.split = Some(split);
        }
        Ok(())
    }

    fn count(self, context: &'a Context, room: u64, counts: &mut [i64], spilled: &mut u64) -> Result<(), Failure> {
        if let Some(pairs) = self.pairs {
            pairs.count(counts);
        }
        let Some(split) = self.split else { return Ok(()) };
        let parts = split.finish()?;
        *spilled += parts.iter().map(SplitPart::spilled).sum::<u64>();
        for part in parts {
            let skip_bits = self.skip_bits + PARTS.trailing_zeros();
            let mut level = Level { skip_bits, pairs: None, split: None };
            for frame in part.frames() {
                let frame = frame?;
                let (low, high) = values(&frame)?;
                let groups = ints(&frame, GROUP)?.iter().map(|group| Some(*group as u32));
                level.push(context, room, groups, low, high)?;
            }
            level.count(context, room, counts, spilled)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "distinct_tests.rs"]
mod tests;
