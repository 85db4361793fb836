//! Whole aggregates over shards on a disk, within budgets of any size.

use polars::df;
use shardmill_common::kinds::aggregate::{Aggregate, AggregateTask, Function};
use shardmill_common::task::PartitionSizes;
use shardmill_common::task::{ShardInput, ShardRef, TaskRange};

use super::*;
use crate::frame::schema_of;
use crate::spill::testing::Bench;

fn aggregate(function: Function, column: &str) -> Aggregate {
    let name = format!("{}_{column}", function.name());
    Aggregate { name, function, column: Some(column.to_owned()).filter(|c| !c.is_empty()) }
}

/// Aggregates shards in one or several final tasks; the rows and the bytes spilled.
fn aggregated(
    shards: &[DataFrame],
    by: &[&str],
    aggregates: &[Aggregate],
    partitions: u32,
    tasks: u32,
    budget: u64,
) -> Result<(DataFrame, u64), Failure> {
    let bench = Bench::new();
    let by: Vec<String> = by.iter().map(|b| (*b).to_owned()).collect();
    let schema = schema_of(&shards[0])?;
    let (mut places, mut sizes) = (Vec::new(), vec![PartitionSize::default(); partitions as usize]);
    for (n, shard) in (0u32..).zip(shards) {
        let context = bench.context(0, n);
        let entry = context.write_shard(&mut shard.clone())?;
        let task = AggregateTask {
            inputs: vec![ShardInput { shard: ShardRef::Stored(entry), ordinal: n }],
            schema: schema.clone().into(),
            by: by.clone().into(),
            aggregates: aggregates.to_vec().into(),
            partitions,
        };
        let output = super::super::aggregate::run(&context, &task)?;
        for (sum, size) in sizes.iter_mut().zip(output.shuffle.iter().flatten()) {
            sum.rows += size.rows;
            sum.bytes += size.bytes;
        }
        places.push(bench.place(0, n, Vec::new()));
    }
    let mut rows: Option<DataFrame> = None;
    let mut spilled = 0;
    for n in 0..tasks {
        let context = bench.context_with(1, n, places.clone()).with_limits(budget, 1, false);
        let (from, to) = (partitions * n / tasks, partitions * (n + 1) / tasks);
        let task = MergeGroupsTask {
            runs: TaskRange { stage: 0, from: 0, to: shards.len() as u32 },
            partitions: (from, to),
            sizes: PartitionSizes(sizes.clone()).into(),
            of: partitions,
            schema: schema.clone().into(),
            by: by.clone().into(),
            aggregates: aggregates.to_vec().into(),
            sorted: tasks == 1,
            source_name: "t@1".into(),
        };
        let output = run(&context, &task)?;
        spilled += output.spilled;
        for entry in output.shards() {
            let input = ShardInput { shard: ShardRef::Stored(entry.clone()), ordinal: 0 };
            let frame = context.open(&input, output.schema.as_ref().unwrap())?;
            match &mut rows {
                None => rows = Some(frame),
                Some(rows) => {
                    rows.vstack_mut(&frame).unwrap();
                }
            }
        }
    }
    Ok((rows.unwrap_or_default(), spilled))
}

fn every_function() -> Vec<Aggregate> {
    use Function::*;
    let of_x = [Count, Sum, Mean, Min, Max, Variance, StdDev, Distinct, ApproxDistinct, Quantile(0.5)];
    let of_i = [Sum, Mean, Min, Variance, Distinct, Quantile(0.9)];
    let of_s = [Count, Min, Max, Distinct, ApproxDistinct];
    let mut all = vec![aggregate(Count, "")];
    all.extend(of_x.map(|f| aggregate(f, "x")));
    all.extend(of_i.map(|f| aggregate(f, "i")));
    all.extend(of_s.map(|f| aggregate(f, "s")));
    all
}

fn shards(rows: i64, groups: i64) -> Vec<DataFrame> {
    let of = |from: i64, to: i64| {
        let n: Vec<i64> = (from..to).collect();
        let key: Vec<Option<i64>> = n.iter().map(|n| Some(n * 7919 % groups).filter(|k| *k != 3)).collect();
        let x: Vec<Option<f64>> = n
            .iter()
            .map(|n| match n % 17 {
                0 => None,
                1 if n % groups == 5 => Some(f64::NAN),
                _ => Some((n * 31 % 1009) as f64 / 8.0),
            })
            .collect();
        let i: Vec<i64> = n.iter().map(|n| n * n % 97 - 40).collect();
        let s: Vec<String> = n.iter().map(|n| format!("text {}", n * 13 % 301)).collect();
        df!("key" => key, "x" => x, "i" => i, "s" => s).unwrap()
    };
    vec![of(0, rows / 3), of(rows / 3, rows / 3), of(rows / 3, rows / 2), of(rows / 2, rows)]
}

#[test]
fn budgets_partitions_and_tasks_make_no_difference() {
    let shards = shards(3_000, 750);
    let all = every_function();
    let (wanted, spilled) = aggregated(&shards, &["key"], &all, 1, 1, 1 << 30).unwrap();
    assert_eq!((wanted.height(), spilled), (750, 0));
    let keys = wanted.column("key").unwrap().i64().unwrap().iter().collect::<Vec<_>>();
    assert!(keys[..749].windows(2).all(|k| k[0] < k[1]) && keys[749].is_none(), "sorted, without a key last");
    for (partitions, tasks, budget) in [(16, 1, 1 << 30), (16, 1, 300_000), (8, 3, 200_000), (1, 1, 200_000)] {
        let (mut found, spilled) = aggregated(&shards, &["key"], &all, partitions, tasks, budget).unwrap();
        if tasks > 1 {
            let order = SortOrder { by: vec![SortKey { column: "key".into(), descending: false }], nulls_last: true };
            found = crate::spill::sort_frame(&found, &order).unwrap();
        }
        assert!(found.equals_missing(&wanted), "{partitions} {tasks} {budget}\n{found}\n{wanted}");
        // Partitions done one by one, or in passes, may need no disk.
        assert_eq!(spilled > 0, budget <= 300_000 && tasks == 1, "{partitions} {tasks} {budget}");
    }
}

#[test]
fn one_group_over_everything_within_a_small_budget() {
    let shards = shards(30_000, 1_500);
    let all = every_function();
    let (wanted, _) = aggregated(&shards, &[], &all, 1, 1, 1 << 30).unwrap();
    assert_eq!(wanted.height(), 1);
    let int = |name: &str| wanted.column(name).unwrap().i64().unwrap().get(0).unwrap();
    assert_eq!((int("count_"), int("distinct_i"), int("distinct_s")), (30_000, 49, 301));
    assert!((int("approx_distinct_s") - 301).abs() < 10);
    let (found, spilled) = aggregated(&shards, &[], &all, 1, 1, 40_000).unwrap();
    assert!(found.equals_missing(&wanted), "{found:?}\n{wanted:?}");
    assert!(spilled > 0);
}

#[test]
fn groups_without_values_and_no_rows_at_all() {
    let none: [Option<f64>; 2] = [None, None];
    let frame = df!("k" => ["a", "a"], "x" => none, "i" => [None::<i64>, None], "s" => [None::<&str>, None]).unwrap();
    let mut all = every_function();
    all.push(aggregate(Function::Sum, "i"));
    all.last_mut().unwrap().name = "again".into();
    for (shards, by, rows) in [(vec![frame.clone()], &["k"][..], 2), (vec![frame.slice(0, 0)], &[][..], 0)] {
        let (found, _) = aggregated(&shards, by, &all, 2, 1, 1 << 20).unwrap();
        assert_eq!(found.height(), 1);
        for column in &found.columns()[by.len()..] {
            let value = column.get(0).unwrap();
            let counts = [
                "count_x",
                "count_s",
                "distinct_x",
                "distinct_i",
                "distinct_s",
                "approx_distinct_x",
                "approx_distinct_s",
            ];
            match column.name().as_str() {
                "count_" => assert_eq!(value.extract::<i64>(), Some(rows)),
                name if counts.contains(&name) => assert_eq!(value.extract::<i64>(), Some(0), "{name}"),
                name => assert!(value.is_null(), "{name}"),
            }
        }
    }
    let (found, _) = aggregated(&[frame.slice(0, 0)], &["k"], &all, 2, 1, 1 << 20).unwrap();
    assert_eq!(found.height(), 0);
}

#[test]
fn a_sum_that_int64_cannot_hold_is_named() {
    let big = i64::MAX - 1;
    let frame = df!("k" => ["a", "b", "b", "c", "c"], "i" => [big, big, 2, big, -5]).unwrap();
    let sum = [aggregate(Function::Sum, "i"), aggregate(Function::Mean, "i")];
    let error = aggregated(std::slice::from_ref(&frame), &["k"], &sum, 4, 1, 1 << 20).unwrap_err();
    let Failure::BadInput { message } = error else { panic!("{error:?}") };
    assert!(
        message.contains("column `i`") && message.contains(r#"{"k":"b"}"#) && message.contains("9223372036854775808")
    );
    // Partial sums may pass the bounds as long as the whole does not.
    let halves = [frame.slice(1, 1), frame.slice(2, 1), df!("k" => ["b"], "i" => [-3i64]).unwrap()];
    let (found, _) = aggregated(&halves, &["k"], &sum, 1, 1, 1 << 20).unwrap();
    assert_eq!(found.column("sum_i").unwrap().i64().unwrap().get(0), Some(big - 1));
    let error = aggregated(&[frame], &[], &sum, 1, 1, 1 << 20).unwrap_err();
    assert!(error.to_string().contains("all rows"), "{error}");
}

#[test]
fn partitions_are_taken_together_as_long_as_they_fit() {
    let layout = Layout::new(&[], &[aggregate(Function::Count, "")], &Default::default()).unwrap();
    let size = |rows| PartitionSize { rows, bytes: 0 };
    let task = MergeGroupsTask {
        runs: TaskRange::one(0, 0),
        partitions: (10, 16),
        sizes: PartitionSizes(
            [vec![size(0); 10], vec![size(1), size(1), size(10), size(0), size(1), size(1)]].concat(),
        )
        .into(),
        of: 32,
        schema: shardmill_common::schema::Schema::default().into(),
        by: vec!["k".to_owned()].into(),
        aggregates: Vec::new().into(),
        sorted: true,
        source_name: String::new(),
    };
    let shown = |room| {
        let of = |b: &Batch| (b.partitions.0, b.partitions.1, b.pass, b.passes);
        batches(&task, &layout, room).iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(shown(1 << 20), [(10, 16, 0, 1)]);
    // 112 bytes a group.
    assert_eq!(
        shown(400),
        [(10, 12, 0, 1), (12, 13, 0, 4), (12, 13, 1, 4), (12, 13, 2, 4), (12, 13, 3, 4), (13, 16, 0, 1)]
    );
}
