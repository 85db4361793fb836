//! Matching the hashes of two datasets: which rows of each side have partners on the other. Where this file says shard, it means a
//! group of shards that were hashed by one task and count as one.
//!
//! Rows of one key are a group. A row of the driving side is told the group of its partners, not the partners, and the other
//! side's rows are told who wants their group: what is written grows with the rows, not with the pairs.

use std::ops::AddAssign;

use polars::prelude::{DataFrame, NamedFrom, Series};
use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::compare::{How, MatchTask, Matching, Validate};
use shardmill_common::task::{PartitionSize, TaskOutput, TaskRange};

use super::Context;
use super::duplicates::ByHash;
use super::hash::read_hashes;

/// Rows of one side within a partition, in dataset order.
struct Side {
    hashes: Vec<u128>,
    /// (shard, row).
    positions: Vec<(u32, u32)>,
    row_hashes: Option<Vec<u128>>,
}

/// The rows of a side by key. A group is named by its first row.
struct Groups {
    firsts: ByHash<u32>,
    /// The group of each row.
    of: Vec<u32>,
    /// Rows of the group that this row names.
    sizes: Vec<u32>,
}

impl Groups {
    fn of(side: &Side) -> Self {
        let rows = side.hashes.len();
        let mut firsts: ByHash<u32> = ByHash::with_capacity_and_hasher(rows, Default::default());
        let mut sizes = vec![0; rows];
        let of = (0u32..).zip(&side.hashes).map(|(n, hash)| *firsts.entry(*hash).or_insert(n)).collect::<Vec<_>>();
        for first in &of {
            sizes[*first as usize] += 1;
        }
        Self { firsts, of, sizes }
    }
}

/// Rows of one shard of the driving side that stay, in no order.
#[derive(Clone, Default)]
struct Kept {
    rows: Vec<u32>,
    /// How many partners each has.
    partners: Vec<u32>,
    /// The group of its partners, where the partners' columns are to be delivered.
    groups: Vec<u64>,
}

/// What one shard of the other side is to deliver.
#[derive(Clone, Default)]
struct Wanted {
    /// Its rows that have partners, with their groups.
    rows: Vec<u32>,
    groups: Vec<u64>,
    /// Which shards of the driving side want which of these groups.
    drivers: Vec<u32>,
    wants: Vec<u64>,
}

/// What goes to each shard.
struct Outgoing {
    driver: Vec<Kept>,
    /// Rows that only the other side has.
    other_only: Vec<Vec<u32>>,
    /// By shard of the other side, where anything is delivered.
    wanted: Vec<Wanted>,
    left_only: u64,
    right_only: u64,
    both: u64,
    dropped: u64,
}

pub fn run(context: &Context, task: &MatchTask) -> Result<TaskOutput, Failure> {
    let driver_is_left = task.how != How::Right;
    let (driver_range, other_range) = if driver_is_left { (task.left, task.right) } else { (task.right, task.left) };
    let count = |r: TaskRange| (r.to - r.from) as usize;
    let (drivers, others) = (count(driver_range), count(other_range));
    let mut out = Outgoing {
        driver: vec![Kept::default(); drivers],
        other_only: vec![Vec::new(); others],
        wanted: vec![Wanted::default(); if task.deliver { others } else { 0 }],
        dropped: 0,
        left_only: 0,
        right_only: 0,
        both: 0,
    };
    let (from, to) = task.partitions;
    let mut left_input = context.shuffle(&[task.left], from, to);
    let mut right_input = context.shuffle(&[task.right], from, to);
    for partition in from..to {
        let left = read_side(task.left, &mut left_input)?;
        let mut right = read_side(task.right, &mut right_input)?;
        if task.matching == Matching::Comparison {
            right = drop_exact_duplicates(right, task.right_has_row_hash)?;
        }
        check_unique(task, &left, &right)?;
        context.advance((left.hashes.len() + right.hashes.len()) as u64, 0);
        let (driver, other) = if driver_is_left { (&left, &right) } else { (&right, &left) };
        match task.matching {
            Matching::Semi => drop_by_partner(&mut out, driver, &Groups::of(other), false),
            Matching::Anti => drop_by_partner(&mut out, driver, &Groups::of(other), true),
            Matching::Comparison | Matching::Join => pair(&mut out, task, partition, driver, other),
        }
    }
    let mut counters = Counters::default();
    match task.matching {
        Matching::Semi | Matching::Anti => counters.add(Counter::RowsDropped, out.dropped),
        Matching::Comparison | Matching::Join => {
            counters.add(Counter::LeftOnly, out.left_only);
            counters.add(Counter::RightOnly, out.right_only);
            counters.add(Counter::Both, out.both);
        }
    }
    Ok(TaskOutput { shuffle: Some(write(context, task.deliver, out)?), counters, ..Default::default() })
}

/// Puts out the rows that have a partner, or those that have none.
fn drop_by_partner(out: &mut Outgoing, driver: &Side, groups: &Groups, with_partner: bool) {
    for (hash, (shard, row)) in driver.hashes.iter().zip(&driver.positions) {
        if groups.firsts.contains_key(hash) == with_partner {
            out.driver[*shard as usize].rows.push(*row);
            out.dropped += 1;
        }
    }
}

/// Finds the partners of one partition's rows. Pairs are counted, never listed: there may be more of them than fit anywhere.
fn pair(out: &mut Outgoing, task: &MatchTask, partition: u32, driver: &Side, other: &Side) {
    let groups = Groups::of(other);
    let name = |first: u32| u64::from(partition) << 32 | u64::from(first);
    let mut matched = vec![false; other.hashes.len()];
    // Rows come shard after shard, so a group that the shard under way wants already was wanted by it last.
    let mut wanted_last = vec![u32::MAX; if task.deliver { other.hashes.len() } else { 0 }];
    let mut wants: Vec<(u32, u32)> = Vec::new();
    let mut driver_only = 0;
    for (hash, (shard, row)) in driver.hashes.iter().zip(&driver.positions) {
        let kept = &mut out.driver[*shard as usize];
        let first = groups.firsts.get(hash).copied();
        if first.is_none() {
            if task.how == How::Inner {
                continue;
            }
            driver_only += 1;
        }
        let partners = first.map_or(0, |first| groups.sizes[first as usize]);
        out.both += u64::from(partners);
        kept.rows.push(*row);
        kept.partners.push(partners);
        if task.deliver {
            kept.groups.push(first.map_or(0, name));
        }
        let Some(first) = first else { continue };
        matched[first as usize] = true;
        if let Some(last) = wanted_last.get_mut(first as usize)
            && *last != *shard
        {
            *last = *shard;
            wants.push((first, *shard));
        }
    }
    if task.how == How::Right { &mut out.right_only } else { &mut out.left_only }.add_assign(driver_only);
    if task.how == How::Outer {
        for (group, (shard, row)) in groups.of.iter().zip(&other.positions) {
            if !matched[*group as usize] {
                out.right_only += 1;
                out.other_only[*shard as usize].push(*row);
            }
        }
    }
    if !task.deliver {
        return;
    }
    wants.sort_unstable();
    let mut told_last = vec![u32::MAX; other.hashes.len()];
    for (group, (shard, row)) in groups.of.iter().zip(&other.positions) {
        if !matched[*group as usize] {
            continue;
        }
        let wanted = &mut out.wanted[*shard as usize];
        wanted.rows.push(*row);
        wanted.groups.push(name(*group));
        // The first of the group's rows in this shard tells who wants them.
        let told = &mut told_last[*group as usize];
        if *told != *shard {
            *told = *shard;
            let from = wants.partition_point(|(g, _)| g < group);
            for (_, driver) in wants[from..].iter().take_while(|(g, _)| g == group) {
                wanted.drivers.push(*driver);
                wanted.wants.push(name(*group));
            }
        }
    }
}

fn read_side(
    range: TaskRange,
    input: &mut impl Iterator<Item = Result<bytes::Bytes, Failure>>,
) -> Result<Side, Failure> {
    let mut side = Side { hashes: Vec::new(), positions: Vec::new(), row_hashes: None };
    for (task, data) in (0u32..).zip(input.take((range.to - range.from) as usize)) {
        let read = read_hashes(data?)?;
        side.hashes.extend(read.hashes);
        side.positions.extend(read.rows.iter().map(|row| (task, *row)));
        if let Some(rows) = read.row_hashes {
            side.row_hashes.get_or_insert_default().extend(rows);
        }
    }
    Ok(side)
}

/// The first of each set of equal rows stays. Equal rows have equal keys, so they are all in this partition.
fn drop_exact_duplicates(side: Side, by_row: bool) -> Result<Side, Failure> {
    let hashes = match (&side.row_hashes, by_row) {
        (Some(rows), true) => rows,
        (None, true) if !side.hashes.is_empty() => return Err(Failure::internal("the right side has no row hashes")),
        _ => &side.hashes,
    };
    let mut seen: ByHash<()> = ByHash::with_capacity_and_hasher(hashes.len(), Default::default());
    let keep: Vec<bool> = hashes.iter().map(|h| seen.insert(*h, ()).is_none()).collect();
    if keep.iter().all(|k| *k) {
        return Ok(side);
    }
    let kept = |n: &usize| keep[*n];
    Ok(Side {
        hashes: (0..keep.len()).filter(kept).map(|n| side.hashes[n]).collect(),
        positions: (0..keep.len()).filter(kept).map(|n| side.positions[n]).collect(),
        row_hashes: None,
    })
}

fn check_unique(task: &MatchTask, left: &Side, right: &Side) -> Result<(), Failure> {
    let (left_too, right_too, name) = match task.validate {
        Validate::ManyToMany => return Ok(()),
        Validate::OneToOne => (true, true, "1:1"),
        Validate::OneToMany => (true, false, "1:m"),
        Validate::ManyToOne => (false, true, "m:1"),
    };
    for (side, first_rows, what, wanted) in
        [(left, &task.left_first_rows, "left", left_too), (right, &task.right_first_rows, "right", right_too)]
    {
        if !wanted {
            continue;
        }
        let row_number = |n: usize| {
            let (shard, row) = side.positions[n];
            first_rows.get(shard as usize).copied().unwrap_or(0) + u64::from(row) + 1
        };
        let mut seen: ByHash<usize> = ByHash::with_capacity_and_hasher(side.hashes.len(), Default::default());
        for (n, hash) in side.hashes.iter().enumerate() {
            if let Some(first) = seen.insert(*hash, n) {
                return Err(Failure::bad_input(format!(
                    "keys of the {what} side are not unique, as {name} requires: its rows {} and {} have the same key (dedup --keys removes such rows; --validate m:m allows them)",
                    row_number(first),
                    row_number(n)
                )));
            }
        }
    }
    Ok(())
}

fn write(context: &Context, deliver: bool, out: Outgoing) -> Result<Vec<PartitionSize>, Failure> {
    let mut writer = context.shuffle_writer(false)?;
    let table = |columns: Vec<Series>| {
        let rows = columns.first().map_or(0, |column| column.len());
        DataFrame::new(rows, columns.into_iter().map(Into::into).collect()).map_err(Failure::internal)
    };
    for kept in out.driver {
        let mut columns = vec![Series::new("row".into(), kept.rows)];
        if !kept.partners.is_empty() {
            columns.push(Series::new("partners".into(), kept.partners));
        }
        if deliver {
            columns.push(Series::new("group".into(), kept.groups));
        }
        writer.partition(&mut [table(columns)?])?;
    }
    for rows in out.other_only {
        writer.partition(&mut [table(vec![Series::new("row".into(), rows)])?])?;
    }
    for wanted in out.wanted {
        let rows = table(vec![Series::new("row".into(), wanted.rows), Series::new("group".into(), wanted.groups)])?;
        let wants =
            table(vec![Series::new("driver".into(), wanted.drivers), Series::new("group".into(), wanted.wants)])?;
        writer.partition(&mut [rows, wants])?;
    }
    writer.finish()
}
