//! Different values of two shards' groups, against sets of the values themselves.

use std::collections::HashSet as Values;

use polars::df;

use super::*;
use crate::spill::testing::Bench;

fn cells(frame: &DataFrame, name: &str) -> Cells {
    Cells::of(frame.column(name).unwrap()).unwrap()
}

/// Pairs of two shards through four partitions, of which one is empty, and counted; the pairs sent, too.
fn counted(frame: &DataFrame, column: &str, ids: &[u32], groups: usize, room: u64) -> (Vec<i64>, u64, usize) {
    let bench = Bench::new();
    let context = bench.context(0, 0).with_limits(room, 1, false);
    // Groups lie in the partitions backwards, unevenly.
    let starts = [0, groups / 3, groups / 3, groups - 1, groups];
    let places: Vec<Place> = (0..groups)
        .rev()
        .map(|at| {
            let partition = starts.partition_point(|start| *start <= at) - 1;
            Place { partition: partition as u32, index: (at - starts[partition]) as u32 }
        })
        .collect();
    let mut counter = DistinctCounter::new(&context, groups, room);
    let mut sent = 0;
    for half in 0..2 {
        let (from, to) = (frame.height() * half / 2, frame.height() * (half + 1) / 2);
        let mut pairs = DistinctPairs::new(4);
        // In pieces, as the row groups of a shard are.
        for at in (from..to).step_by(777) {
            let some = frame.slice(at as i64, 777.min(to - at));
            pairs.add(&cells(&some, column), &ids[at..at + some.height()], &places);
        }
        for (n, frame) in pairs.frames().enumerate() {
            let frame = frame.unwrap();
            sent += frame.height();
            let back: Vec<Option<u32>> = (starts[n]..starts[n + 1]).map(|at| Some((groups - 1 - at) as u32)).collect();
            counter.push(&frame, &back).unwrap();
        }
    }
    let (counts, spilled) = counter.finish().unwrap();
    (counts, spilled, sent)
}

#[test]
fn counts_are_exact_in_memory_and_on_disk() {
    let rows = 20_000i64;
    let ids: Vec<u32> = (0..rows).map(|n| (n * n % 11) as u32).collect();
    let x: Vec<Option<i64>> = (0..rows).map(|n| (n % 5 != 0).then_some(n * 7919 % 3001)).collect();
    let text: Vec<Option<String>> = x.iter().map(|x| x.map(|x| format!("value {x}"))).collect();
    let mut wanted = vec![Values::new(); 11];
    ids.iter().zip(&x).for_each(|(id, x)| wanted[*id as usize].extend(*x));
    let wanted: Vec<i64> = wanted.iter().map(|s| s.len() as i64).collect();
    let frame = df!("x" => x, "text" => text).unwrap();
    for column in ["x", "text"] {
        let (counts, spilled, sent) = counted(&frame, column, &ids, 11, 1 << 26);
        assert_eq!((counts, spilled), (wanted.clone(), 0));
        assert!(sent < 16_000, "what repeats within a shard is sent once: {sent}");
        let (counts, spilled, _) = counted(&frame, column, &ids, 11, 9_000);
        assert_eq!(counts, wanted);
        assert!(spilled > 50_000, "{spilled}");
    }
}

#[test]
fn values_that_hardly_repeat_are_sent_as_they_come() {
    let rows = 150_000i64;
    let ids: Vec<u32> = (0..rows).map(|n| (n % 7) as u32).collect();
    // The first 100,000 rows differ, the others are one of them.
    let x: Vec<i64> = (0..rows).map(|n| if n < 100_000 { n } else { n % 7 }).collect();
    let wanted: Vec<i64> = (0..7)
        .map(|group| {
            let of: Values<i64> = (0..rows).filter(|n| n % 7 == group).map(|n| x[n as usize]).collect();
            of.len() as i64
        })
        .collect();
    let (counts, _, sent) = counted(&df!("x" => x).unwrap(), "x", &ids, 7, 1 << 26);
    assert_eq!(counts, wanted);
    // Of the second shard some are looked through, of the first none after the trial.
    assert!(sent > 100_000 && sent <= rows as usize, "{sent}");
}

#[test]
fn zeros_and_nans_are_one_value_each_and_nulls_none() {
    let frame = df!(
        "x" => [Some(0.0), Some(-0.0), Some(f64::NAN), Some(-f64::NAN), None, Some(1.0)],
        "b" => [Some(true), None, Some(false), Some(true), None, None],
    )
    .unwrap();
    assert_eq!(counted(&frame, "x", &[0; 6], 3, 1 << 20).0, [3, 0, 0]);
    assert_eq!(counted(&frame, "b", &[2, 2, 2, 2, 1, 1], 3, 1 << 20).0, [0, 0, 2]);
}
