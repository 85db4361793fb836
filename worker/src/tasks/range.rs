//! Sending the rows of some shards to the ranges they belong to.

use polars::prelude::DataFrame;
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::sort::RangeTask;
use shardmill_common::task::TaskOutput;

use super::Context;
use super::hash::u32s;
use super::sample::{KEY, ORDINAL, ROW};
use crate::shuffle::partition_rows;
use crate::spill::KeyColumns;

pub fn run(context: &Context, task: &RangeTask) -> Result<TaskOutput, Failure> {
    let bounds = Bounds::read(context, task)?;
    let mut output = TaskOutput::default();
    let mut whole: Option<DataFrame> = None;
    let mut of: Vec<u32> = Vec::new();
    let mut key = Vec::new();
    for input in &task.inputs {
        let frame = context.open(input, &task.schema)?;
        let columns = KeyColumns::of(&frame, &task.order)?;
        of.extend((0..frame.height()).map(|row| {
            key.clear();
            columns.put(row, &mut key);
            bounds.range_of(&key, (input.ordinal, row as u32))
        }));
        output.counters.add(Counter::RowsIn, frame.height() as u64);
        match &mut whole {
            None => whole = Some(frame),
            Some(whole) => {
                whole.vstack_mut(&frame).map_err(Failure::internal)?;
            }
        }
        context.check()?;
    }
    let mut frame = whole.unwrap_or_default();
    if task.inputs.len() > 1 {
        frame.rechunk_mut();
    }
    let rows = partition_rows(&frame, &of, task.partitions)?;
    drop(frame);
    let mut writer = context.shuffle_writer(true)?;
    for range in 0..task.partitions.max(1) as usize {
        writer.partition(&mut [rows.part(range)])?;
    }
    output.shuffle = Some(writer.finish()?);
    Ok(output)
}

/// The first row of every range but the first: its key and its position.
#[derive(Default)]
struct Bounds {
    /// Bytes that every key here begins with, and the eight that follow, as a number: most rows are placed by these alone.
    common: Vec<u8>,
    heads: Vec<u64>,
    bounds: Vec<(Vec<u8>, (u32, u32))>,
}

fn head(rest: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = rest.len().min(8);
    bytes[..length].copy_from_slice(&rest[..length]);
    u64::from_be_bytes(bytes)
}

impl Bounds {
    fn read(context: &Context, task: &RangeTask) -> Result<Self, Failure> {
        let mut bounds = Vec::new();
        for data in context.partitions(task.bounds, 0) {
            for frame in crate::shuffle::frames(data?) {
                let frame = frame?;
                let keys = frame.column(KEY).and_then(|c| c.binary()).map_err(Failure::internal)?;
                let positions = u32s(&frame, ORDINAL)?.into_iter().zip(u32s(&frame, ROW)?);
                bounds.extend(keys.iter().map(|key| key.unwrap_or_default().to_vec()).zip(positions));
            }
        }
        if bounds.len() as u64 >= u64::from(task.partitions.max(1)) {
            return Err(Failure::internal("there are more bounds than ranges"));
        }
        Ok(Self::new(bounds))
    }

    fn new(bounds: Vec<(Vec<u8>, (u32, u32))>) -> Self {
        // They are sorted, so what the first and the last have in common all have.
        let common = match (bounds.first(), bounds.last()) {
            (Some((first, _)), Some((last, _))) => {
                let length = first.iter().zip(last).take_while(|(a, b)| a == b).count();
                first[..length].to_vec()
            }
            _ => Vec::new(),
        };
        let heads = bounds.iter().map(|(key, _)| head(&key[common.len()..])).collect();
        Self { common, heads, bounds }
    }

    /// How many bounds are at most this key at this position.
    fn range_of(&self, key: &[u8], position: (u32, u32)) -> u32 {
        let Some(rest) = key.strip_prefix(self.common.as_slice()) else {
            return if key < self.common.as_slice() { 0 } else { self.bounds.len() as u32 };
        };
        let head = head(rest);
        let from = self.heads.partition_point(|h| *h < head);
        let alike = self.heads[from..].iter().take_while(|h| **h == head).count();
        let below = self.bounds[from..from + alike].partition_point(|(k, p)| (k.as_slice(), *p) <= (key, position));
        (from + below) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_placed_as_by_comparing_with_every_bound() {
        let words = ["", "a", "aa", "ab", "abcdefgh", "abcdefghi", "abcdefghij", "abd", "b", "commonA", "commonB"];
        for (start, from, to) in
            [("", 0, 11), ("", 4, 7), ("a beginning longer than a head ", 0, 11), ("", 9, 11), ("", 0, 0)]
        {
            let mut keys: Vec<Vec<u8>> = words.iter().map(|w| format!("{start}{w}\0").into_bytes()).collect();
            keys.sort();
            // Some bounds twice, at different positions.
            let mut bounds: Vec<(Vec<u8>, (u32, u32))> =
                keys[from..to].iter().flat_map(|k| [(k.clone(), (0, 7)), (k.clone(), (2, 0))]).collect();
            bounds.sort();
            let fast = Bounds::new(bounds.clone());
            let others =
                ["", "\u{1}", "zzz", "abcdefgh", "com", "commonAA", "a beginning", "a beginning longer than a head"];
            for key in keys.iter().cloned().chain(others.iter().map(|w| format!("{w}\0").into_bytes())) {
                for position in [(0, 6), (0, 7), (1, 0), (2, 0), (3, 9)] {
                    let slow = bounds.iter().filter(|b| (b.0.as_slice(), b.1) <= (key.as_slice(), position)).count();
                    assert_eq!(fast.range_of(&key, position), slow as u32, "{key:?} {position:?}");
                }
            }
        }
    }
}
