//! Windows of counts: what is written when, and what is aged.

use shardmill_common::endpoint::Watched;

use super::*;
use crate::rows::{Store, Write};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn counted(variant: &str, requests: u64) -> Vec<Counted> {
    let tally = Tally { requests, rows: 2 * requests, ..Default::default() };
    let watched = Watched { variant: variant.into(), model: "m@1".parse().unwrap(), tally };
    vec![Counted { endpoint: "e".parse().unwrap(), watched }]
}

fn due(windows: &mut Windows, now: i64) -> Vec<Write> {
    let mut ledger = Ledger::default();
    windows.due(&mut ledger, Timestamp(now));
    assert!(!ledger.promised, "nobody is told of it");
    ledger.writes
}

fn put(writes: &[Write]) -> Vec<(u64, i64, String, u64)> {
    let mut store = Store::default();
    writes.iter().for_each(|w| store.apply(w));
    let rows = store.table::<tables::Windows>().unwrap();
    rows.into_iter()
        .map(|((seconds, start, _, variant, ..), tally)| (seconds, start, variant, tally.requests))
        .collect()
}

#[test]
fn counts_wait_for_the_journal_and_a_window_is_written_whole() {
    let mut windows = Windows::new(1);
    let now = HOUR + 3 * MINUTE + 5;
    assert_eq!(put(&due(&mut windows, now)), []);
    windows.count(Timestamp(now), counted("a", 1));
    windows.count(Timestamp(now), counted("b", 10));
    windows.count(Timestamp(now + 1000), counted("a", 2));
    let minute = HOUR + 3 * MINUTE;
    let row = |seconds, start, variant: &str, requests| (seconds, start, variant.to_owned(), requests);
    assert_eq!(
        put(&due(&mut windows, now + 1000)),
        [row(60, minute, "a", 3), row(60, minute, "b", 10), row(3600, HOUR, "a", 3), row(3600, HOUR, "b", 10)]
    );
    windows.count(Timestamp(now + 2000), counted("a", 4));
    assert_eq!(due(&mut windows, now + 5000), [], "it was written a moment ago");
    let later = now + 60_000;
    windows.count(Timestamp(later), counted("a", 5));
    let next = minute + MINUTE;
    assert_eq!(
        put(&due(&mut windows, later)),
        [row(60, minute, "a", 7), row(60, next, "a", 5), row(3600, HOUR, "a", 12)]
    );
    let mut ledger = Ledger::default();
    windows.flush(&mut ledger, Timestamp(later));
    assert_eq!(ledger.writes, []);
    windows.count(Timestamp(later), counted("a", 6));
    assert_eq!(put(&due(&mut windows, 5)).len(), 2, "a clock that is set back keeps nothing waiting");
}

#[test]
fn old_windows_are_removed_once_a_minute() {
    let mut windows = Windows::new(1);
    let day = 24 * HOUR;
    let mut rows = Vec::new();
    for start in [10 * day - HOUR, 10 * day, 100 * day] {
        windows.count(Timestamp(start), counted("a", 1));
        let mut ledger = Ledger::default();
        windows.flush(&mut ledger, Timestamp(start));
        rows.extend(ledger.writes);
    }
    let now = 100 * day + 30 * MINUTE + 7;
    let aged = due(&mut windows, now);
    assert_eq!(aged.len(), 2);
    rows.extend(aged);
    let left: Vec<(u64, i64)> = put(&rows).into_iter().map(|(seconds, start, ..)| (seconds, start)).collect();
    assert_eq!(left, [(60, 100 * day), (3600, 10 * day), (3600, 100 * day)]);
    assert_eq!(due(&mut windows, now + 1000), []);
    assert_eq!(due(&mut windows, now + MINUTE).len(), 2);
}
