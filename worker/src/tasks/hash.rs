//! Hashing the rows of a shard for the shuffle.

use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use shardmill_common::failure::Failure;
use shardmill_common::task::{HashPlan, HashTask, PartitionSize, TaskOutput};

use super::Context;
use crate::hash::{RowHashes, hash_frame, partition_of};

pub fn run(context: &Context, task: &HashTask) -> Result<TaskOutput, Failure> {
    let columns: Option<Vec<String>> = match (&task.plan.columns, task.plan.with_row_hash) {
        (Some(columns), false) => Some(columns.iter().map(|c| c.name.clone()).collect()),
        _ => None,
    };
    let frame = context.open_columns(&task.input, &task.schema, columns.as_deref())?;
    let mut output = TaskOutput { shuffle: Some(shuffle_hashes(context, &frame, &task.plan)?), ..Default::default() };
    output.counters.add("rows_in", frame.height() as u64);
    Ok(output)
}

/// Writes (hash, row) of every row of a frame to the attempt's shuffle file, partition by partition, rows in order.
pub fn shuffle_hashes(context: &Context, frame: &DataFrame, plan: &HashPlan) -> Result<Vec<PartitionSize>, Failure> {
    let RowHashes { keys, rows } = hash_frame(frame, plan)?;
    let partitions = plan.partitions.max(1) as usize;
    let mut starts = vec![0usize; partitions + 1];
    for hash in &keys {
        starts[partition_of(*hash, plan.partitions) + 1] += 1;
    }
    for n in 1..=partitions {
        starts[n] += starts[n - 1];
    }
    let mut next = starts.clone();
    let mut order = vec![0u32; keys.len()];
    for (row, hash) in (0u32..).zip(&keys) {
        let slot = &mut next[partition_of(*hash, plan.partitions)];
        order[*slot] = row;
        *slot += 1;
    }
    let mut writer = context.shuffle_writer(false)?;
    for n in 0..partitions {
        let members = &order[starts[n]..starts[n + 1]];
        if members.is_empty() {
            writer.partition(&mut [])?;
            continue;
        }
        let halves = |hashes: &[u128], hi: &str, lo: &str| -> [Column; 2] {
            let high: Vec<u64> = members.iter().map(|r| (hashes[*r as usize] >> 64) as u64).collect();
            let low: Vec<u64> = members.iter().map(|r| hashes[*r as usize] as u64).collect();
            [Series::new(hi.into(), high).into(), Series::new(lo.into(), low).into()]
        };
        let mut columns = halves(&keys, "hi", "lo").to_vec();
        columns.push(Series::new("row".into(), members).into());
        if let Some(rows) = &rows {
            columns.extend(halves(rows, "row_hi", "row_lo"));
        }
        writer.partition(&mut [DataFrame::new(members.len(), columns).map_err(Failure::internal)?])?;
    }
    writer.finish()
}

/// One shard's hashes of one partition, as they were shuffled.
pub struct HashedRows {
    pub hashes: Vec<u128>,
    pub rows: Vec<u32>,
    pub row_hashes: Option<Vec<u128>>,
}

/// Reads what [`shuffle_hashes`] wrote.
pub fn read_hashes(data: bytes::Bytes) -> Result<HashedRows, Failure> {
    let mut out = HashedRows { hashes: Vec::new(), rows: Vec::new(), row_hashes: None };
    for frame in crate::shuffle::frames(data) {
        let frame = frame?;
        join_halves(&frame, "hi", "lo", &mut out.hashes)?;
        out.rows.extend(u32s(&frame, "row")?);
        if frame.column("row_hi").is_ok() {
            join_halves(&frame, "row_hi", "row_lo", out.row_hashes.get_or_insert_default())?;
        }
    }
    Ok(out)
}

fn join_halves(frame: &DataFrame, hi: &str, lo: &str, out: &mut Vec<u128>) -> Result<(), Failure> {
    let high = frame.column(hi).and_then(|c| c.u64()).map_err(Failure::internal)?;
    let low = frame.column(lo).and_then(|c| c.u64()).map_err(Failure::internal)?;
    out.extend(
        high.into_no_null_iter().zip(low.into_no_null_iter()).map(|(h, l)| (u128::from(h) << 64) | u128::from(l)),
    );
    Ok(())
}

/// A column of numbers without nulls.
pub fn u32s(frame: &DataFrame, name: &str) -> Result<Vec<u32>, Failure> {
    Ok(frame.column(name).and_then(|c| c.u32()).map_err(Failure::internal)?.into_no_null_iter().collect())
}
