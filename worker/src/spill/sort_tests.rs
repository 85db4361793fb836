//! Sorting within tiny budgets against sorting in memory.

use polars::df;
use polars::prelude::{NamedFrom, Series};
use proptest::prelude::*;
use shardmill_common::kinds::sort::SortKey;

use super::super::testing::Bench;
use super::*;

fn key(column: &str, descending: bool) -> SortKey {
    SortKey { column: column.into(), descending }
}

/// Rows with a number of their own, sorted by a comparison written anew.
fn expected(rows: &[(Option<f64>, Option<String>)], order: &SortOrder) -> Vec<i64> {
    use std::cmp::Ordering;
    fn cell<T>(
        a: &Option<T>,
        b: &Option<T>,
        nulls_last: bool,
        desc: bool,
        cmp: impl Fn(&T, &T) -> Ordering,
    ) -> Ordering {
        match (a, b) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => {
                if nulls_last {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (Some(_), None) => {
                if nulls_last {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (Some(a), Some(b)) => {
                if desc {
                    cmp(b, a)
                } else {
                    cmp(a, b)
                }
            }
        }
    }
    let number = |a: &f64, b: &f64| match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => a.partial_cmp(b).unwrap(),
    };
    let mut numbers: Vec<i64> = (0..rows.len() as i64).collect();
    numbers.sort_by(|a, b| {
        let (a, b) = (&rows[*a as usize], &rows[*b as usize]);
        order.by.iter().fold(Ordering::Equal, |so_far, by| {
            so_far.then_with(|| match by.column.as_str() {
                "x" => cell(&a.0, &b.0, order.nulls_last, by.descending, number),
                _ => cell(&a.1, &b.1, order.nulls_last, by.descending, |a: &String, b: &String| a.cmp(b)),
            })
        })
    });
    numbers
}

fn frame(rows: &[(Option<f64>, Option<String>)]) -> DataFrame {
    let x: Vec<Option<f64>> = rows.iter().map(|r| r.0).collect();
    let s: Vec<Option<&str>> = rows.iter().map(|r| r.1.as_deref()).collect();
    let n: Vec<i64> = (0..rows.len() as i64).collect();
    df!("x" => x, "s" => s, "n" => n).unwrap()
}

fn numbers(sorted: Sorted<'_>) -> Vec<i64> {
    sorted
        .flat_map(|f| f.unwrap().column("n").unwrap().i64().unwrap().into_no_null_iter().collect::<Vec<_>>())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..Default::default() })]
    #[test]
    fn any_budget_gives_the_order_of_a_sort_in_memory(
        rows in prop::collection::vec((
            prop::option::weighted(0.9, prop_oneof![Just(f64::NAN), Just(-0.0), Just(0.0), (-3i32..3).prop_map(f64::from), any::<f64>()]),
            prop::option::weighted(0.9, prop_oneof!["[ab\\x00\\x01]{0,3}", "a common beginning of keys [ab]{0,2}[a-z]{0,30}"]),
        ), 0..300),
        by_number_first: bool, both: bool, descending: (bool, bool), nulls_last: bool,
        budget in 200u64..40_000, fan_in in 2usize..6, step in 1usize..80,
    ) {
        let mut by = vec![key("x", descending.0), key("s", descending.1)];
        if !by_number_first { by.reverse(); }
        if !both { by.pop(); }
        let order = SortOrder { by, nulls_last };
        let bench = Bench::new();
        let context = bench.context(0, 0);
        let mut sort = ExternalSort::new(&context, order.clone(), budget).with_fan_in(fan_in);
        let whole = frame(&rows);
        for from in (0..rows.len()).step_by(step) {
            sort.push(whole.slice(from as i64, step)).unwrap();
        }
        prop_assert_eq!(numbers(sort.finish().unwrap()), expected(&rows, &order));
    }
}

#[test]
fn what_fits_is_not_spilled_and_what_does_not_is_merged_in_passes() {
    let bench = Bench::new();
    let context = bench.context(0, 0);
    let order = SortOrder { by: vec![key("k", false)], nulls_last: false };
    let k: Vec<i64> = (0..20_000).map(|n| n * 7919 % 101).collect();
    let whole = df!("k" => &k, "n" => (0..20_000i64).collect::<Vec<_>>()).unwrap();
    let mut expected: Vec<i64> = (0..20_000).collect();
    expected.sort_by_key(|n| k[*n as usize]);
    let run = |budget: u64| {
        let mut sort = ExternalSort::new(&context, order.clone(), budget);
        for from in (0..20_000).step_by(1000) {
            sort.push(whole.slice(from, 1000)).unwrap();
        }
        let sorted = sort.finish().unwrap();
        (sorted.spilled(), numbers(sorted))
    };
    let (spilled, in_memory) = run(1 << 24);
    assert_eq!((spilled, in_memory), (0, expected.clone()));
    let (once, merged) = run(96_000);
    assert!(once > 0);
    assert_eq!(merged, expected);
    // 3,200 bytes of rows a run: 100 runs, more than are merged at once.
    let (twice, merged) = run(9_600);
    assert!(twice > once * 3 / 2, "{once} {twice}");
    assert_eq!(merged, expected);
    let left = std::fs::read_dir(context.fetch.store.layout.tmp()).unwrap().count();
    assert_eq!(left, 0, "nothing is left behind");
}

#[test]
fn a_row_larger_than_the_budget_is_still_sorted() {
    let bench = Bench::new();
    let context = bench.context(0, 0);
    let order = SortOrder { by: vec![key("s", true)], nulls_last: true };
    let words: Vec<String> = (0..9).map(|n| format!("{}", n * 5 % 9).repeat(5_000)).collect();
    let frame = DataFrame::new(9, vec![Series::new("s".into(), &words).into()]).unwrap();
    let mut sort = ExternalSort::new(&context, order, 1_000);
    sort.push(frame.clone()).unwrap();
    sort.push(frame.slice(0, 0)).unwrap();
    let got: Vec<String> = sort
        .finish()
        .unwrap()
        .flat_map(|f| {
            f.unwrap()
                .column("s")
                .unwrap()
                .str()
                .unwrap()
                .iter()
                .map(|s| s.unwrap()[..1].to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(got.concat(), "876543210");
}

#[test]
fn nothing_sorts_to_nothing_and_an_attempt_that_is_stopped_stops() {
    let bench = Bench::new();
    let context = bench.context(0, 0);
    let order = SortOrder { by: vec![key("n", false)], nulls_last: false };
    assert_eq!(ExternalSort::new(&context, order.clone(), 100).finish().unwrap().count(), 0);
    let frame = df!("n" => (0..1000i64).rev().collect::<Vec<_>>()).unwrap();
    let mut sort = ExternalSort::new(&context, order.clone(), 600);
    sort.push(frame.clone()).unwrap();
    context.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(sort.push(frame.clone()), Err(Failure::Killed)));
    context.cancelled.store(false, std::sync::atomic::Ordering::Relaxed);
    let mut sort = ExternalSort::new(&context, SortOrder { by: vec![key("m", false)], nulls_last: false }, 600);
    assert!(matches!(sort.push(frame), Err(Failure::BadInput { message }) if message.contains("`m`")));
}
