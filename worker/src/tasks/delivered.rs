//! What was delivered to a driving shard, by group: whole where it fits in memory, otherwise the groups of some rows at a time.

use hashbrown::{HashMap, HashSet};
use polars::prelude::{BooleanChunked, DataFrame, IntoColumn, NewChunkedArray, StringChunked};
use shardmill_common::failure::Failure;
use shardmill_common::task::TaskRange;

use super::Context;
use super::deliver::GROUP;
use super::hash::u64s;

/// The delivered rows of a shard, as the deliver tasks wrote them.
pub struct Delivered<'a> {
    pub context: &'a Context,
    pub range: TaskRange,
    /// The shard's.
    pub partition: u32,
}

/// How much there is.
pub struct Sizes {
    /// Rows by group.
    pub rows: HashMap<u64, u32>,
    /// Bytes of a row, about.
    pub row_bytes: usize,
}

/// Rows in memory, by group.
#[derive(Default)]
pub struct Grouped {
    pub frame: Option<DataFrame>,
    groups: HashMap<u64, (u32, u32)>,
    places: Vec<u32>,
}

impl Grouped {
    fn of(frame: Option<DataFrame>) -> Result<Self, Failure> {
        let Some(mut frame) = frame else { return Ok(Self::default()) };
        frame.rechunk_mut();
        let names = u64s(&frame, GROUP)?;
        let mut groups: HashMap<u64, (u32, u32)> = HashMap::new();
        for name in &names {
            groups.entry(*name).or_insert((0, 0)).1 += 1;
        }
        let mut from = 0;
        for name in &names {
            // The first time a group is seen, its place is behind those of the groups before it.
            if let Some((start, len)) = groups.get_mut(name)
                && *start == 0
            {
                // Counted from 1 until all places are given out.
                *start = from + 1;
                from += *len;
            }
        }
        let mut next: HashMap<u64, u32> = groups.iter().map(|(name, (start, _))| (*name, *start - 1)).collect();
        let mut places = vec![0; names.len()];
        for (row, name) in (0u32..).zip(&names) {
            if let Some(next) = next.get_mut(name) {
                places[*next as usize] = row;
                *next += 1;
            }
        }
        groups.values_mut().for_each(|(start, _)| *start -= 1);
        Ok(Self { frame: Some(frame), groups, places })
    }

    /// Where a group's rows are in the frame, in their order.
    pub fn places(&self, group: u64) -> &[u32] {
        let (start, len) = self.groups.get(&group).copied().unwrap_or((0, 0));
        self.places.get(start as usize..(start + len) as usize).unwrap_or_default()
    }
}

impl Delivered<'_> {
    /// The frames, in the order of the other side's shards.
    pub fn frames(&self) -> impl Iterator<Item = Result<DataFrame, Failure>> {
        self.context.partitions(self.range, self.partition).flat_map(|data| {
            let (frames, failed) = match data {
                Ok(data) => (Some(crate::shuffle::frames(data)), None),
                Err(failure) => (None, Some(Err(failure))),
            };
            frames.into_iter().flatten().chain(failed)
        })
    }

    /// Everything, unless it takes more than `limit` bytes.
    pub fn all(&self, limit: u64) -> Result<Option<Grouped>, Failure> {
        let (mut whole, mut bytes) = (None, 0);
        for frame in self.frames() {
            let frame = frame?;
            bytes += frame.estimated_size() as u64;
            if bytes > limit {
                return Ok(None);
            }
            append(&mut whole, frame)?;
        }
        Grouped::of(whole).map(Some)
    }

    pub fn sizes(&self) -> Result<Sizes, Failure> {
        let mut sizes = Sizes { rows: HashMap::new(), row_bytes: 0 };
        let (mut bytes, mut rows) = (0, 0);
        for frame in self.frames() {
            let frame = frame?;
            bytes += frame.estimated_size();
            rows += frame.height();
            for group in u64s(&frame, GROUP)? {
                *sizes.rows.entry(group).or_default() += 1;
            }
        }
        sizes.row_bytes = bytes.div_ceil(rows.max(1));
        Ok(sizes)
    }

    /// The rows of these groups.
    pub fn some(&self, groups: &HashSet<u64>) -> Result<Grouped, Failure> {
        let mut whole = None;
        for frame in self.frames() {
            let frame = of_groups(&frame?, |group| groups.contains(&group))?;
            if frame.height() > 0 {
                append(&mut whole, frame)?;
            }
        }
        Grouped::of(whole)
    }
}

/// The rows of a frame whose group is wanted.
pub fn of_groups(frame: &DataFrame, wanted: impl Fn(u64) -> bool) -> Result<DataFrame, Failure> {
    let keep: Vec<bool> = u64s(frame, GROUP)?.into_iter().map(wanted).collect();
    let some = frame.filter(&BooleanChunked::from_slice("keep".into(), &keep)).map_err(Failure::internal)?;
    if some.height() == frame.height() { Ok(some) } else { without_the_rest(&some) }
}

/// Texts that were filtered still lie in the buffers of all: they are copied, so that those can go.
fn without_the_rest(frame: &DataFrame) -> Result<DataFrame, Failure> {
    let columns = frame.columns().iter().map(|column| match column.str() {
        Ok(texts) => StringChunked::from_iter_options(texts.name().clone(), texts.iter()).into_column(),
        Err(_) => column.clone(),
    });
    DataFrame::new(frame.height(), columns.collect()).map_err(Failure::internal)
}

fn append(whole: &mut Option<DataFrame>, frame: DataFrame) -> Result<(), Failure> {
    match whole {
        None => *whole = Some(frame),
        Some(whole) => {
            whole.vstack_mut(&frame).map_err(Failure::internal)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::df;

    #[test]
    fn rows_of_a_group_keep_their_order() {
        let frame = df!("group" => [7u64, 7, 3, 9, 3, 7], "c:x" => [0i64, 1, 2, 3, 4, 5]).unwrap();
        let grouped = Grouped::of(Some(frame.clone())).unwrap();
        assert_eq!(grouped.places(7), [0, 1, 5]);
        assert_eq!(grouped.places(3), [2, 4]);
        assert_eq!(grouped.places(9), [3]);
        assert!(grouped.places(1).is_empty() && Grouped::of(None).unwrap().places(7).is_empty());
        assert_eq!(of_groups(&frame, |g| g == 3).unwrap().height(), 2);
    }
}
