//! Hashing the rows of a shard for the shuffle.

use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::{HashColumn, HashPlan, HashTask};
use shardmill_common::task::{PartitionSize, TaskOutput};
use xxhash_rust::xxh3::xxh3_128;

use super::Context;
use crate::hash::{RowHashes, hash_frame, partition_of};

pub fn run(context: &Context, task: &HashTask) -> Result<TaskOutput, Failure> {
    let columns: Option<Vec<String>> = match (&task.plan.columns, task.plan.with_row_hash) {
        (Some(columns), false) => Some(columns.iter().map(|c| c.name.clone()).collect()),
        _ => None,
    };
    let mut hashes = RowHashes { keys: Vec::new(), rows: None };
    let mut output = TaskOutput::default();
    for input in &task.inputs {
        let frame = context.open_columns(input, &task.schema, columns.as_deref())?;
        let mut here = hash_frame(&frame, &task.plan)?;
        if let (Some(side), Some(columns)) = (task.nulls_apart, &task.plan.columns) {
            let first = (side, task.group, hashes.keys.len() as u32);
            set_nulls_apart(&frame, columns, first, &mut here.keys)?;
        }
        output.counters.add(Counter::RowsIn, frame.height() as u64);
        if hashes.keys.is_empty() {
            hashes = here;
            continue;
        }
        hashes.keys.append(&mut here.keys);
        if let Some(mut rows) = here.rows {
            hashes.rows.get_or_insert_default().append(&mut rows);
        }
    }
    output.shuffle = Some(write_hashes(context, &hashes, task.plan.partitions)?);
    Ok(output)
}

/// Rows without a value in one of the columns get hashes that follow from where they are, and equal no other. `first` is where the
/// first of them is: side, group, and number there.
pub fn set_nulls_apart(
    frame: &DataFrame,
    columns: &[HashColumn],
    (side, group, first): (u32, u32, u32),
    hashes: &mut [u128],
) -> Result<(), Failure> {
    for column in columns {
        let column = frame.column(&column.name).map_err(Failure::internal)?;
        if column.null_count() == 0 {
            continue;
        }
        for (row, (hash, is_null)) in (0u32..).zip(hashes.iter_mut().zip(column.is_null().iter())) {
            if is_null == Some(true) {
                *hash = hash_of_place(side, group, first + row);
            }
        }
    }
    Ok(())
}

/// No cell begins with this byte, so no row's cells have this hash.
fn hash_of_place(side: u32, ordinal: u32, row: u32) -> u128 {
    let mut bytes = [u8::MAX; 13];
    for (to, from) in bytes[1..].chunks_exact_mut(4).zip([side, ordinal, row]) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    xxh3_128(&bytes)
}

/// Writes (hash, row) of every row of a frame to the attempt's shuffle file, partition by partition, rows in order.
pub fn shuffle_hashes(context: &Context, frame: &DataFrame, plan: &HashPlan) -> Result<Vec<PartitionSize>, Failure> {
    write_hashes(context, &hash_frame(frame, plan)?, plan.partitions)
}

fn write_hashes(context: &Context, hashes: &RowHashes, count: u32) -> Result<Vec<PartitionSize>, Failure> {
    let RowHashes { keys, rows } = hashes;
    let partitions = count.max(1) as usize;
    let mut starts = vec![0usize; partitions + 1];
    for hash in keys {
        starts[partition_of(*hash, count) + 1] += 1;
    }
    for n in 1..=partitions {
        starts[n] += starts[n - 1];
    }
    let mut next = starts.clone();
    let mut order = vec![0u32; keys.len()];
    for (row, hash) in (0u32..).zip(keys) {
        let slot = &mut next[partition_of(*hash, count)];
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
        let mut columns = halves(keys, "hi", "lo").to_vec();
        columns.push(Series::new("row".into(), members).into());
        if let Some(rows) = rows {
            columns.extend(halves(rows, "row_hi", "row_lo"));
        }
        writer.partition(&mut [DataFrame::new(members.len(), columns).map_err(Failure::internal)?])?;
    }
    writer.finish()
}

/// The hashes of one group in one partition, as they were shuffled.
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
pub fn u64s(frame: &DataFrame, name: &str) -> Result<Vec<u64>, Failure> {
    Ok(frame.column(name).and_then(|c| c.u64()).map_err(Failure::internal)?.into_no_null_iter().collect())
}

/// A column of numbers without nulls.
pub fn u32s(frame: &DataFrame, name: &str) -> Result<Vec<u32>, Failure> {
    Ok(frame.column(name).and_then(|c| c.u32()).map_err(Failure::internal)?.into_no_null_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::df;

    #[test]
    fn rows_without_a_key_equal_no_other() {
        let frame =
            df!("a" => [Some(1i64), None, None, Some(1)], "b" => [Some("x"), Some("x"), Some("x"), None]).unwrap();
        let columns = ["a", "b"].map(|n| HashColumn { name: n.into(), dtype: None });
        let plan = HashPlan { columns: Some(columns.to_vec()), with_row_hash: false, partitions: 1 };
        let plain = hash_frame(&frame, &plan).unwrap().keys;
        assert_eq!(plain[1], plain[2]);
        let apart = |side, ordinal| {
            let mut keys = plain.clone();
            set_nulls_apart(&frame, &columns, (side, ordinal, 0), &mut keys).unwrap();
            keys
        };
        let mut all = [apart(0, 0), apart(0, 1), apart(1, 0)].concat();
        assert!((0..3).all(|n| all[n * 4] == plain[0]), "a row with its whole key keeps its hash");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1 + 9);
    }
}
