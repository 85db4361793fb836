//! Joining shards with the whole of a small dataset: the small one's rows are looked up by the hash of their keys, as the
//! shuffled join matches them, so that both find the same partners.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use polars::prelude::DataFrame;
use roaring::RoaringBitmap;
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::{HashColumn, HashPlan};
use shardmill_common::kinds::join::{JoinHow, LookupTask, TooLarge};
use shardmill_common::manifest::{ShardEntry, ShardIdentity};
use shardmill_common::schema::{DataType, Schema};
use shardmill_common::shared::Shared;
use shardmill_common::task::TaskOutput;

use super::Context;
use super::deliver::delivered_name;
use super::drop::Dropping;
use super::duplicates::ByHash;
use super::hash::set_nulls_apart;
use super::merged::{MergedRows, NONE};
use crate::hash::hash_frame;
use crate::shard;

/// Bytes of the table of hashes that a row takes, with room.
const ROW_OF_TABLE: u64 = 64;

/// The small side: its rows by key, in their order, and the columns that the result shows.
struct Table {
    frame: Option<DataFrame>,
    /// Where a key's rows are in `places`, and how many.
    keys: ByHash<(u32, u32)>,
    places: Vec<u32>,
}

/// What makes two tables the same: shards as a version shows them, columns, keys, and what nulls are.
#[derive(Clone, PartialEq)]
struct TableKey {
    shards: Vec<ShardIdentity>,
    columns: Vec<String>,
    keys: Shared<Vec<HashColumn>>,
    schema: Shared<Schema>,
    nulls_equal: bool,
}

/// Tables that tasks of this process use just now: tasks that run at the same time, or right after one another, share one.
static TABLES: Mutex<Vec<(TableKey, Weak<Table>)>> = Mutex::new(Vec::new());

pub fn run(context: &Context, task: &LookupTask) -> Result<TaskOutput, Failure> {
    let others = task.others.iter().map(|input| context.entry(input)).collect::<Result<Vec<_>, _>>()?;
    let (needs, has) = (size_in_memory(task, &others), context.budget / 2);
    if needs > has {
        return TaskOutput::reporting::<LookupTask>(&TooLarge { needs, has });
    }
    let table = shared_table(context, task, &others)?;
    match task.how {
        JoinHow::Semi => keep(context, task, &table, true),
        JoinHow::Anti => keep(context, task, &table, false),
        JoinHow::Inner | JoinHow::Left | JoinHow::Right | JoinHow::Outer => join(context, task, &table),
    }
}

/// What the small side takes, from what is known without reading it.
fn size_in_memory(task: &LookupTask, others: &[ShardEntry]) -> u64 {
    let wanted = payload(task);
    let width = |dtype| match dtype {
        DataType::String | DataType::Binary => 24,
        DataType::Decimal { .. } => 16,
        _ => 8,
    };
    let fields = task.other_schema.fields.iter().filter(|f| wanted.contains(&f.name));
    let row: u64 = fields.map(|f| width(f.dtype)).sum::<u64>() + ROW_OF_TABLE;
    others
        .iter()
        .map(|e| e.rows().saturating_mul(row).max(e.object.bytes.saturating_mul(4)))
        .fold(0, u64::saturating_add)
}

/// The columns that the result takes from the small side.
fn payload(task: &LookupTask) -> Vec<String> {
    let of_other = |c: &shardmill_common::kinds::compare::MergedColumn| c.other.clone().filter(|_| c.driver.is_none());
    task.columns.iter().filter_map(of_other).collect()
}

fn shared_table(context: &Context, task: &LookupTask, others: &[ShardEntry]) -> Result<Arc<Table>, Failure> {
    let key = TableKey {
        shards: others.iter().map(ShardEntry::identity).collect(),
        columns: payload(task),
        keys: task.other_keys.clone(),
        schema: task.other_schema.clone(),
        nulls_equal: task.nulls_equal,
    };
    // Held while a table is made: whoever wants the same waits for it instead of making another.
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    tables.retain(|(_, table)| table.strong_count() > 0);
    if let Some(table) = tables.iter().find(|(k, _)| *k == key).and_then(|(_, table)| table.upgrade()) {
        return Ok(table);
    }
    let table = Arc::new(read_table(context, task, others, &key.columns)?);
    tables.push((key, Arc::downgrade(&table)));
    Ok(table)
}

fn read_table(
    context: &Context,
    task: &LookupTask,
    others: &[ShardEntry],
    payload: &[String],
) -> Result<Table, Failure> {
    let mut wanted = payload.to_vec();
    wanted.extend(task.other_keys.iter().map(|k| k.name.clone()).filter(|name| !payload.contains(name)));
    let (mut whole, mut hashes): (Option<DataFrame>, Vec<u128>) = (None, Vec::new());
    for (ordinal, entry) in (0u32..).zip(others) {
        context.check()?;
        let frame = shard::open_columns(&context.fetch, &context.place, entry, &task.other_schema, Some(&wanted))?;
        hashes.extend(hash_keys(&frame, &task.other_keys, task.nulls_equal, (1, ordinal))?);
        let columns = payload.iter().map(|name| {
            let column = frame.column(name).map_err(Failure::internal)?;
            Ok(column.clone().with_name(delivered_name(name).into()))
        });
        let columns = columns.collect::<Result<Vec<_>, Failure>>()?;
        let part = DataFrame::new(frame.height(), columns).map_err(Failure::internal)?;
        match &mut whole {
            None => whole = Some(part),
            Some(_) if payload.is_empty() => {}
            Some(whole) => {
                whole.vstack_mut(&part).map_err(Failure::internal)?;
            }
        }
    }
    if let Some(whole) = &mut whole {
        whole.rechunk_mut();
    }
    Ok(Table::of(whole, &hashes))
}

impl Table {
    fn of(frame: Option<DataFrame>, hashes: &[u128]) -> Self {
        let mut keys: ByHash<(u32, u32)> = ByHash::with_capacity_and_hasher(hashes.len(), Default::default());
        for hash in hashes {
            keys.entry(*hash).or_insert((0, 0)).1 += 1;
        }
        let mut from = 0;
        let mut places = vec![0; hashes.len()];
        // A key gets its room when it is first seen; `given` is how much of it is taken.
        let mut given: ByHash<u32> = ByHash::with_capacity_and_hasher(keys.len(), Default::default());
        for (row, hash) in (0u32..).zip(hashes) {
            let Some((start, len)) = keys.get_mut(hash) else { continue };
            let taken = given.entry(*hash).or_insert_with(|| {
                *start = from;
                from += *len;
                0
            });
            places[(*start + *taken) as usize] = row;
            *taken += 1;
        }
        Self { frame, keys, places }
    }

    fn partners(&self, hash: u128) -> &[u32] {
        let (start, len) = self.keys.get(&hash).copied().unwrap_or((0, 0));
        self.places.get(start as usize..(start + len) as usize).unwrap_or_default()
    }
}

/// The hashes by which rows are partners; a row without a key is nobody's.
fn hash_keys(
    frame: &DataFrame,
    keys: &[HashColumn],
    nulls_equal: bool,
    place: (u32, u32),
) -> Result<Vec<u128>, Failure> {
    let plan = HashPlan { columns: Some(keys.to_vec()), with_row_hash: false, partitions: 1 };
    let mut hashes = hash_frame(frame, &plan)?.keys;
    if !nulls_equal {
        let (side, ordinal) = place;
        set_nulls_apart(frame, keys, (side, ordinal, 0), &mut hashes)?;
    }
    Ok(hashes)
}

/// Keeps the rows that have a partner, or those that have none, by dropping the others where they lie.
fn keep(context: &Context, task: &LookupTask, table: &Table, with_partner: bool) -> Result<TaskOutput, Failure> {
    let names: Vec<String> = task.keys.iter().map(|k| k.name.clone()).collect();
    let mut output = TaskOutput::default();
    let mut dropping = Dropping::new(context, &task.schema);
    for input in &task.inputs {
        let frame = context.open_columns(input, &task.schema, Some(&names))?;
        let hashes = hash_keys(&frame, &task.keys, task.nulls_equal, (0, input.ordinal))?;
        let to_drop = |hash: &u128| table.keys.contains_key(hash) != with_partner;
        let drops: RoaringBitmap = (0u32..).zip(&hashes).filter(|(_, h)| to_drop(h)).map(|(n, _)| n).collect();
        drop(frame);
        output.counters.add(Counter::RowsDropped, drops.len());
        dropping.take(input, &drops)?;
    }
    Ok(output.and_shards(dropping.finish()?))
}

fn join(context: &Context, task: &LookupTask, table: &Table) -> Result<TaskOutput, Failure> {
    let frame = context.open_all(&task.inputs, &task.schema, None)?;
    // Rows without a key are told apart by their places; numbered from the first shard on, they are all different.
    let first = task.inputs.first().map_or(0, |input| input.ordinal);
    let hashes = hash_keys(&frame, &task.keys, task.nulls_equal, (0, first))?;
    let other = table.frame.as_ref();
    let mut rows = MergedRows::new(context, &task.columns, &frame, None);
    rows.set_other_size(other.map_or(0, DataFrame::estimated_size), table.places.len());
    for (row, hash) in (0u32..).zip(&hashes) {
        let partners = table.partners(*hash);
        if !partners.is_empty() {
            rows.push(row, partners.iter().copied(), other)?;
        } else if task.how != JoinHow::Inner {
            rows.push(row, [NONE], other)?;
        }
    }
    let mut output = TaskOutput::default();
    let (both, alone) = (rows.both, rows.driver_only);
    let (left, right) = if task.driver_is_left { (alone, 0) } else { (0, alone) };
    output.counters.add(Counter::LeftOnly, left);
    output.counters.add(Counter::RightOnly, right);
    output.counters.add(Counter::Both, both);
    rows.finish(other, &mut output)?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_come_in_their_order() {
        let table = Table::of(None, &[9, 4, 9, 1 << 100, 4, 9]);
        assert_eq!(table.partners(9), [0, 2, 5]);
        assert_eq!(table.partners(4), [1, 4]);
        assert_eq!(table.partners(1 << 100), [3]);
        assert!(table.partners(0).is_empty());
    }
}
