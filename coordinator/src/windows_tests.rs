//! Windows of counts: what is written when, and what is aged.

use shardmill_common::endpoint::Watched;

use super::*;
use crate::journal::{Journal, Write};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn counted(endpoint: &str, variant: &str, requests: u64) -> Counted {
    let tally = Tally { requests, rows: 2 * requests, ..Default::default() };
    let watched = Watched { variant: variant.into(), model: "m@1".parse().unwrap(), tally };
    Counted { endpoint: endpoint.parse().unwrap(), watched }
}

fn added(writes: &[WindowWrite]) -> Vec<(i64, u64, &str, u64)> {
    let added = writes.iter().filter_map(|w| match w {
        WindowWrite::Add(w) => Some((w.start.0, w.seconds, w.variant.as_str(), w.tally.requests)),
        WindowWrite::Age { .. } => None,
    });
    added.collect()
}

#[test]
fn counts_wait_for_the_journal_and_are_told_once() {
    let mut windows = Windows::default();
    let now = Timestamp(HOUR + 3 * MINUTE + 5);
    assert_eq!(added(&windows.due(now)), []);
    windows.count(now, vec![counted("e", "a", 1), counted("e", "b", 10)]);
    windows.count(Timestamp(now.0 + 1000), vec![counted("e", "a", 2)]);
    let minute = HOUR + 3 * MINUTE;
    let writes = windows.due(Timestamp(now.0 + 1000));
    assert_eq!(
        added(&writes),
        [(minute, 60, "a", 3), (HOUR, 3600, "a", 3), (minute, 60, "b", 10), (HOUR, 3600, "b", 10)]
    );
    windows.count(Timestamp(now.0 + 2000), vec![counted("e", "a", 4)]);
    assert_eq!(windows.due(Timestamp(now.0 + 5000)), [], "it was written a moment ago");
    let later = Timestamp(now.0 + 60_000);
    windows.count(later, vec![counted("e", "a", 5)]);
    let writes = windows.due(later);
    let next = minute + MINUTE;
    assert_eq!(added(&writes), [(minute, 60, "a", 4), (HOUR, 3600, "a", 4), (next, 60, "a", 5), (HOUR, 3600, "a", 5)]);
    assert_eq!(windows.flush(later), []);
    windows.count(later, vec![counted("e", "a", 6)]);
    assert_eq!(added(&windows.due(Timestamp(5))).len(), 2, "a clock that is set back keeps nothing waiting");
}

#[test]
fn old_windows_are_removed_once_a_minute() {
    let mut windows = Windows::default();
    let now = Timestamp(100 * 24 * HOUR + 30 * MINUTE + 7);
    let aged = windows.due(now);
    let minutes = Timestamp(100 * 24 * HOUR + 30 * MINUTE - 3 * HOUR);
    assert_eq!(
        aged,
        [
            WindowWrite::Age { every: Every::Minute, before: minutes },
            WindowWrite::Age { every: Every::Hour, before: Timestamp(10 * 24 * HOUR) }
        ]
    );
    assert_eq!(windows.due(Timestamp(now.0 + 1000)), []);
    assert_eq!(windows.due(Timestamp(now.0 + MINUTE)).len(), 2);
}

#[test]
fn the_journal_adds_up_keeps_and_forgets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.redb");
    let write = |journal: &Journal, writes: Vec<WindowWrite>| {
        journal.write(&writes.into_iter().map(Write::Window).collect::<Vec<_>>()).unwrap();
    };
    let name: EndpointName = "e".parse().unwrap();
    let (journal, _) = Journal::open(&path).unwrap();
    let mut windows = Windows::default();
    for minute in 0..240 {
        let now = Timestamp(minute * MINUTE);
        windows.count(now, vec![counted("e", "a", 1), counted("other", "a", 1)]);
        write(&journal, windows.flush(now));
    }
    journal.sync().unwrap();
    drop(journal);
    let (journal, _) = Journal::open(&path).unwrap();
    windows.count(Timestamp(239 * MINUTE), vec![counted("e", "a", 7)]);
    let writes = windows.due(Timestamp(239 * MINUTE + 11_000));
    write(&journal, writes);
    let read = |every, since| journal.windows().read(every, Timestamp(since), Some(&name)).unwrap();
    let minutes = read(Every::Minute, 0);
    assert_eq!((minutes.len(), minutes[0].start.0, minutes[180].tally.requests), (181, 59 * MINUTE, 8));
    assert_eq!(read(Every::Minute, 230 * MINUTE).len(), 10);
    let hours = read(Every::Hour, 0);
    assert_eq!(hours.iter().map(|w| w.tally.requests).collect::<Vec<_>>(), [60, 60, 60, 67]);
    assert_eq!((hours[3].seconds, hours[3].variant.as_str(), &hours[3].model), (3600, "a", &"m@1".parse().unwrap()));
    assert_eq!(journal.windows().read(Every::Hour, Timestamp(0), None).unwrap().len(), 8);
    let one = merged(hours);
    assert_eq!((one.len(), one[0].tally.requests, one[0].tally.rows), (1, 247, 494));
}
