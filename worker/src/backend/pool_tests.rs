//! Statements that backends compute, and what ends a backend.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::Int64Type;

use super::*;

const ENOUGH: u64 = 256 << 20;

fn rows(n: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n));
    let texts: ArrayRef = Arc::new((0..n).map(|n| Some(format!("the text of row {n}"))).collect::<StringViewArray>());
    RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("t", texts, true)]).unwrap()
}

fn backends() -> Backends {
    Backends::new(std::env::temp_dir())
}

fn bounds(memory: u64) -> Bounds<'static> {
    Bounds { memory, wanted: &|| true }
}

fn statement(text: &str) -> Work {
    Work::Statement(text.to_owned())
}

fn ints(rows: &RecordBatch) -> Vec<i64> {
    rows.column(0).as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn one_process_computes_one_statement_after_the_other() {
    let backends = backends();
    let all = rows(20_000);
    for round in 0..5i64 {
        let text = format!("SELECT n, t FROM input WHERE n % 5 = {round} ORDER BY n DESC");
        let made = backends.compute(statement(&text), &[("input", all.clone())], &bounds(ENOUGH)).unwrap();
        let expected: Vec<i64> = (0..20_000).rev().filter(|n| n % 5 == round).collect();
        assert_eq!(ints(&made), expected);
        assert_eq!(made.column(1).as_string_view().value(0), format!("the text of row {}", expected[0]));
    }
    assert_eq!(backends.idle.lock().unwrap().len(), 1);
    let two = [("a", rows(3)), ("b", rows(2))];
    let made = backends.compute(statement("SELECT a.n FROM a JOIN b ON a.n = b.n"), &two, &bounds(ENOUGH)).unwrap();
    assert_eq!(ints(&made), [0, 1]);
    let none = backends.compute(statement("SELECT n FROM a WHERE n < 0"), &two[..1], &bounds(ENOUGH)).unwrap();
    assert_eq!((none.num_rows(), none.schema().field(0).name().as_str()), (0, "n"));
    let value = Work::Expression { text: "abs(n - 5)".into(), functions: vec!["abs".into()] };
    assert_eq!(ints(&backends.compute(value, &[("rows", rows(3))], &bounds(ENOUGH)).unwrap()), [5, 4, 3]);
    let wrong = backends.compute(statement("SELECT CAST(t AS BIGINT) AS n FROM a"), &two[..1], &bounds(ENOUGH));
    assert!(matches!(wrong, Err(Unmade::Sql(SqlError::Rows(_)))), "{wrong:?}");
    assert_eq!(backends.idle.lock().unwrap().len(), 1, "an error of the statement's ends nothing");
}

#[test]
fn what_takes_too_much_ends_its_process_and_says_so() {
    let backends = backends();
    // Nothing of this is counted by the engine: the rows of a window's partition are a list of texts.
    let text = "SELECT LENGTH(STRING_AGG(REPEAT(t, 1000), '') OVER ()) AS n FROM input";
    for _ in 0..2 {
        let failed = backends.compute(statement(text), &[("input", rows(10_000))], &bounds(32 << 20));
        let Err(Unmade::Sql(SqlError::Memory { limit, why })) = &failed else { panic!("{failed:?}") };
        assert_eq!((*limit, why.as_str()), (32 << 20, format!("`{text}` asked for more than that").as_str()));
        assert!(backends.idle.lock().unwrap().is_empty());
    }
    let fits = backends.compute(statement(text), &[("input", rows(10))], &bounds(32 << 20)).unwrap();
    assert_eq!(fits.num_rows(), 10);
    let much = backends.compute(
        statement("SELECT a.n, b.n AS m FROM input a, input b"),
        &[("input", rows(5_000))],
        &bounds(8 << 20),
    );
    let Err(Unmade::Sql(SqlError::Memory { why, .. })) = much else { panic!("{much:?}") };
    assert_eq!(why, "its result is larger");
}

#[test]
fn what_is_no_longer_wanted_is_killed() {
    let backends = backends();
    let asked = AtomicBool::new(true);
    // The first look finds it running.
    let wanted = || asked.swap(false, Ordering::Relaxed);
    let endless = "SELECT SUM(a.n + b.n * c.n) AS n FROM input a, input b, input c";
    let stopped =
        backends.compute(statement(endless), &[("input", rows(100_000))], &Bounds { memory: ENOUGH, wanted: &wanted });
    assert!(matches!(stopped, Err(Unmade::Stopped)), "{stopped:?}");
    assert!(backends.idle.lock().unwrap().is_empty());
}

#[test]
fn a_process_that_somebody_killed_is_replaced_or_told() {
    let backends = backends();
    let one = [("input", rows(1))];
    backends.compute(statement("SELECT n FROM input"), &one, &bounds(ENOUGH)).unwrap();
    let kill = |backend: &Backend| {
        let status = std::process::Command::new("kill").args(["-9", &backend.id().to_string()]).status().unwrap();
        assert!(status.success());
    };
    let mut idle = backends.take().unwrap();
    kill(&idle);
    while idle.is_alive() {
        std::thread::yield_now();
    }
    backends.give_back(idle);
    backends.compute(statement("SELECT n FROM input"), &one, &bounds(ENOUGH)).unwrap();
    let busy = backends.take().unwrap();
    let (pid, killed) = (busy.id(), AtomicBool::new(false));
    backends.give_back(busy);
    let kill_once = || {
        if !killed.swap(true, Ordering::Relaxed) {
            assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
        }
        true
    };
    let endless = "SELECT SUM(a.n + b.n * c.n) AS n FROM input a, input b, input c";
    let bounds = Bounds { memory: ENOUGH, wanted: &kill_once };
    let failed = backends.compute(statement(endless), &[("input", rows(100_000))], &bounds);
    let Err(Unmade::Broken(why)) = failed else { panic!("{failed:?}") };
    assert!(why.contains(endless) && why.contains("was killed"), "{why}");
}

#[test]
fn what_sorts_cannot_hold_lies_in_the_folder_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let backends = Backends::new(folder.path().to_owned());
    let seen = AtomicBool::new(false);
    let files = || walk(folder.path()).len();
    let wanted = || {
        seen.fetch_or(files() > 0, Ordering::Relaxed);
        true
    };
    let bounds = Bounds { memory: 40 << 20, wanted: &wanted };
    let sort =
        statement("SELECT n FROM (SELECT n, REPEAT(t, 20) AS t FROM input) AS q ORDER BY REVERSE(t) LIMIT 100000");
    let made = backends.compute(sort, &[("input", rows(150_000))], &bounds).unwrap();
    assert_eq!(made.num_rows(), 100_000);
    assert!(seen.load(Ordering::Relaxed), "it did not need the disk, or was too quick to be seen");
    assert_eq!(files(), 0, "a file is left");
    drop(backends);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a folder is left");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
