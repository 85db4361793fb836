//! Whole sorts over shards on a disk, by any number of ranges.

use polars::df;
use polars::prelude::DataFrame;
use shardmill_common::kinds::sort::{BoundsTask, RangeTask, SampleTask, SortKey, SortOrder};
use shardmill_common::task::{PartitionSize, ShardInput, ShardRef, TaskPlace, TaskRange};

use super::super::{bounds, range, sample};
use super::*;
use crate::frame::schema_of;
use crate::spill::sort_frame;
use crate::spill::testing::Bench;

/// The rows in order, and how many each range had.
fn sorted(shards: &[DataFrame], order: &SortOrder, partitions: u32, key_bytes: u64) -> (DataFrame, Vec<u64>) {
    let bench = Bench::new();
    let schema = schema_of(&shards[0]).unwrap();
    let count = shards.len() as u32;
    let stage = |stage, to| TaskRange { stage, from: 0, to };
    let mut inputs = Vec::new();
    let (mut samples, mut ranges): (Vec<TaskPlace>, Vec<TaskPlace>) = (Vec::new(), Vec::new());
    for (n, shard) in (0u32..).zip(shards) {
        let context = bench.context(0, n);
        let entry = context.write_shard(&mut shard.clone()).unwrap();
        let input = ShardInput { shard: ShardRef::Stored(entry), ordinal: n };
        inputs.push(input.clone());
        let (schema, order) = (schema.clone().into(), order.clone().into());
        sample::run(&context, &SampleTask { inputs: vec![input], schema, order, first: 1, step: 3, bytes: key_bytes })
            .unwrap();
        samples.push(bench.place(0, n, Vec::new()));
    }
    let task = BoundsTask { samples: stage(0, count), partitions };
    bounds::run(&bench.context_with(1, 0, samples), &task).unwrap();
    let found = vec![bench.place(1, 0, Vec::new())];
    let mut sizes = vec![PartitionSize::default(); partitions as usize];
    for (n, input) in (0u32..).zip(inputs) {
        let context = bench.context_with(2, n, found.clone());
        let (schema, order) = (schema.clone().into(), order.clone().into());
        let task = RangeTask { inputs: vec![input], schema, order, bounds: stage(1, 1), partitions };
        let output = range::run(&context, &task).unwrap();
        sizes.iter_mut().zip(output.shuffle.unwrap()).for_each(|(sum, size)| sum.rows += size.rows);
        ranges.push(bench.place(2, n, Vec::new()));
    }
    let mut whole: Option<DataFrame> = None;
    for partition in 0..partitions {
        let context = bench.context_with(3, partition, ranges.clone());
        let rows = Unsorted::Range { runs: stage(2, count), partition };
        let output =
            run(&context, &MergeTask { rows, schema: schema.clone().into(), order: order.clone().into() }).unwrap();
        for entry in output.shards() {
            let input = ShardInput { shard: ShardRef::Stored(entry.clone()), ordinal: 0 };
            let frame = context.open(&input, &schema).unwrap();
            match &mut whole {
                None => whole = Some(frame),
                Some(whole) => {
                    whole.vstack_mut(&frame).unwrap();
                }
            }
        }
    }
    (whole.unwrap_or_default(), sizes.into_iter().map(|size| size.rows).collect())
}

fn by(columns: &[(&str, bool)], nulls_last: bool) -> SortOrder {
    let by = columns.iter().map(|(column, descending)| SortKey { column: (*column).into(), descending: *descending });
    SortOrder { by: by.collect(), nulls_last }
}

fn shards() -> Vec<DataFrame> {
    let of = |from: i64, to: i64| {
        let n: Vec<i64> = (from..to).collect();
        let mixed = |n: &i64| n * 7919 % 601;
        let text: Vec<Option<String>> = n.iter().map(|n| (n % 13 != 0).then(|| format!("{}", mixed(n)))).collect();
        // What differs comes after all that is sampled of a key.
        let long: Vec<String> = n.iter().map(|n| format!("{}{:03}", "x".repeat(5_000), mixed(n))).collect();
        let same = vec![7i64; n.len()];
        df!("text" => text, "long" => long, "same" => same, "n" => n).unwrap()
    };
    vec![of(0, 300), of(300, 300), of(300, 310), of(310, 800)]
}

#[test]
fn any_number_of_ranges_gives_the_same_rows() {
    let shards = shards();
    let mut whole = shards[0].clone();
    shards[1..].iter().for_each(|shard| {
        whole.vstack_mut(shard).unwrap();
    });
    let orders = [
        by(&[("text", false)], false),
        by(&[("text", true), ("n", true)], true),
        by(&[("long", false)], false),
        by(&[("same", false)], false),
        by(&[("same", true), ("text", false)], true),
    ];
    for order in &orders {
        let wanted = sort_frame(&whole, order).unwrap();
        for (partitions, key_bytes) in [(1, 1 << 20), (7, 1 << 20), (7, 60), (300, 1 << 20)] {
            let (found, sizes) = sorted(&shards, order, partitions, key_bytes);
            assert!(found.equals_missing(&wanted), "{order:?} in {partitions} ranges");
            assert_eq!(sizes.iter().sum::<u64>(), 800);
            let is_long = order.by[0].column == "long";
            if partitions == 7 && key_bytes > 60 && !is_long {
                assert!(sizes.iter().all(|rows| (100..130).contains(rows)), "{order:?}: {sizes:?}");
            }
        }
    }
}
