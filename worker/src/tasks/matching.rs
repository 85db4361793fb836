//! Matching the hashes of two datasets: which rows of each side have partners on the other.

use polars::prelude::{DataFrame, NamedFrom, Series};
use shardmill_common::failure::Failure;
use shardmill_common::spec::{How, Validate};
use shardmill_common::task::{MatchTask, TaskOutput, TaskRange};

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

const END: u32 = u32::MAX;

/// Rows of a side by key: chains through `next`, in order.
struct Chains {
    heads: ByHash<(u32, u32)>,
    next: Vec<u32>,
}

impl Chains {
    fn of(side: &Side) -> Self {
        let mut heads: ByHash<(u32, u32)> = ByHash::with_capacity_and_hasher(side.hashes.len(), Default::default());
        let mut next = vec![END; side.hashes.len()];
        for (n, hash) in (0u32..).zip(&side.hashes) {
            heads
                .entry(*hash)
                .and_modify(|(_, tail)| {
                    next[*tail as usize] = n;
                    *tail = n;
                })
                .or_insert((n, n));
        }
        Self { heads, next }
    }
}

/// What goes to each shard.
struct Outgoing {
    /// Rows of the driving side that stay, and whether they have a partner.
    driver: Vec<(Vec<u32>, Vec<bool>)>,
    /// Rows that only the other side has.
    other_only: Vec<Vec<u32>>,
    /// Pairs by shard of the other side: its row, the driver's shard, the driver's row.
    pairs: Vec<[Vec<u32>; 3]>,
}

pub fn run(context: &Context, task: &MatchTask) -> Result<TaskOutput, Failure> {
    let driver_is_left = task.how != How::Right;
    let (driver_range, other_range) = if driver_is_left { (task.left, task.right) } else { (task.right, task.left) };
    let count = |r: TaskRange| (r.to - r.from) as usize;
    let mut out = Outgoing {
        driver: vec![Default::default(); count(driver_range)],
        other_only: vec![Vec::new(); count(other_range)],
        pairs: vec![Default::default(); if task.deliver { count(other_range) } else { 0 }],
    };
    let (mut both, mut driver_only, mut other_only) = (0u64, 0u64, 0u64);
    let keeps_driver_only = task.how != How::Inner;
    for partition in task.partitions.0..task.partitions.1 {
        let left = read_side(context, task.left, partition)?;
        let right = drop_exact_duplicates(read_side(context, task.right, partition)?, task.right_has_row_hash)?;
        check_unique(task, &left, &right)?;
        context.advance((left.hashes.len() + right.hashes.len()) as u64, 0);
        let (driver, other) = if driver_is_left { (&left, &right) } else { (&right, &left) };
        let chains = Chains::of(other);
        let mut matched = vec![false; other.hashes.len()];
        for (hash, (shard, row)) in driver.hashes.iter().zip(&driver.positions) {
            let kept = &mut out.driver[*shard as usize];
            let Some((head, _)) = chains.heads.get(hash) else {
                if keeps_driver_only {
                    driver_only += 1;
                    kept.0.push(*row);
                    kept.1.push(false);
                }
                continue;
            };
            let mut at = *head;
            while at != END {
                both += 1;
                matched[at as usize] = true;
                kept.0.push(*row);
                kept.1.push(true);
                let (other_shard, other_row) = other.positions[at as usize];
                if let Some(pairs) = out.pairs.get_mut(other_shard as usize) {
                    pairs[0].push(other_row);
                    pairs[1].push(*shard);
                    pairs[2].push(*row);
                }
                at = chains.next[at as usize];
            }
        }
        if task.how == How::Outer {
            for ((shard, row), matched) in other.positions.iter().zip(&matched) {
                if !matched {
                    other_only += 1;
                    out.other_only[*shard as usize].push(*row);
                }
            }
        }
    }
    let mut output = TaskOutput { shuffle: Some(write(context, out)?), ..Default::default() };
    let (left_only, right_only) = if driver_is_left { (driver_only, other_only) } else { (other_only, driver_only) };
    output.counters.add("left_only", left_only);
    output.counters.add("right_only", right_only);
    output.counters.add("both", both);
    Ok(output)
}

fn read_side(context: &Context, range: TaskRange, partition: u32) -> Result<Side, Failure> {
    let mut side = Side { hashes: Vec::new(), positions: Vec::new(), row_hashes: None };
    for (shard, data) in (0u32..).zip(context.partitions(range, partition)) {
        let read = read_hashes(data?)?;
        side.hashes.extend(read.hashes);
        side.positions.extend(read.rows.iter().map(|row| (shard, *row)));
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

fn write(context: &Context, out: Outgoing) -> Result<Vec<shardmill_common::task::PartitionSize>, Failure> {
    let mut writer = context.shuffle_writer(false)?;
    let mut put = |rows: usize, columns: Vec<Series>| -> Result<(), Failure> {
        if rows == 0 {
            return writer.partition(&mut []);
        }
        let columns = columns.into_iter().map(Into::into).collect();
        writer.partition(&mut [DataFrame::new(rows, columns).map_err(Failure::internal)?])
    };
    for (rows, both) in &out.driver {
        put(rows.len(), vec![Series::new("row".into(), rows.as_slice()), Series::new("both".into(), both.as_slice())])?;
    }
    for rows in &out.other_only {
        put(rows.len(), vec![Series::new("row".into(), rows.as_slice())])?;
    }
    for [other_row, shard, row] in &out.pairs {
        let columns = vec![
            Series::new("row".into(), other_row.as_slice()),
            Series::new("driver".into(), shard.as_slice()),
            Series::new("driver_row".into(), row.as_slice()),
        ];
        put(other_row.len(), columns)?;
    }
    writer.finish()
}
