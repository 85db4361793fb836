//! What a statement may do to its worker: nothing. It is computed by a process of its own, whose end is not the worker's, and
//! which ends with the job or the worker at the latest.

use std::process::Child;

use shardmill_tests::{Cluster, Shardmill};

/// Longer than any test waits.
const ENDLESS: &str = "SELECT a.n, SUM(a.n + b.n * c.n) OVER () AS s FROM input a, input b, input c";

fn numbers(sm: &Shardmill, rows: u32) {
    sm.write("numbers.csv", (0..rows).fold("n\n".to_owned(), |text, n| text + &format!("{n}\n")));
    sm.ok(&["ingest", "numbers", "numbers.csv"]);
}

fn map<'a>(statement: &'a str, out: &'a str) -> [&'a str; 7] {
    ["mapreduce", out, "--input", "numbers", "--map", statement, "--per-shard"]
}

/// The processes that compute statements for a process: their ids.
fn backends(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // Behind the name in parentheses: the state, and the parent.
        let behind = stat.rsplit(')').next().unwrap_or_default();
        let parent_of = behind.split_whitespace().nth(1).and_then(|ppid| ppid.parse::<u32>().ok());
        let command = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        parent_of == Some(parent) && command.contains("__compute")
    })
    .collect()
}

fn has_ended(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    !stat.contains(") R") && !stat.contains(") S") && !stat.contains(") D")
}

/// A cluster of one worker that computes an endless statement; the command that waits for it, and the process that computes.
struct Busy {
    _dir: tempfile::TempDir,
    cluster: Cluster,
    command: Child,
    backend: u32,
}

impl Busy {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(dir.path(), 1);
        let sm = cluster.shardmill();
        numbers(&sm, 20_000);
        let command = sm.command(&map(ENDLESS, "endless")).spawn().unwrap();
        let worker = cluster.workers[0].as_ref().unwrap().id();
        cluster.wait("a statement to be computed", || !backends(worker).is_empty());
        let backend = backends(worker)[0];
        Self { _dir: dir, cluster, command, backend }
    }
}

#[test]
fn a_cancelled_statement_ends_at_once_and_its_slot_is_free() {
    let mut busy = Busy::new();
    let sm = busy.cluster.shardmill();
    let jobs = sm.run(&["job", "list"]).json();
    let job = jobs["jobs"][0]["job"].to_string();
    sm.ok(&["job", "cancel", job.trim_matches('"')]);
    busy.cluster.wait("the statement to end", || has_ended(busy.backend));
    assert!(!busy.command.wait().unwrap().success());
    let done = sm.ok(&map("SELECT COUNT(*) AS n FROM input", "counted"));
    assert_eq!(done["state"], "done");
    assert_eq!(sm.csv("counted"), "n\n20000\n");
}

#[test]
fn a_statement_ends_with_its_worker() {
    let mut busy = Busy::new();
    busy.cluster.kill_worker(0);
    busy.cluster.wait("the statement to end", || has_ended(busy.backend));
    let _ = busy.command.kill();
    let _ = busy.command.wait();
}

#[test]
fn a_process_that_is_killed_is_another_try() {
    let mut busy = Busy::new();
    // As the system does where memory ends; four times is once too often.
    let worker = busy.cluster.workers[0].as_ref().unwrap().id();
    let mut killed = Vec::new();
    while busy.command.try_wait().unwrap().is_none() {
        for id in backends(worker) {
            if !killed.contains(&id) {
                killed.push(id);
                let status = std::process::Command::new("kill").args(["-9", &id.to_string()]).status().unwrap();
                assert!(status.success());
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(killed.len(), 4);
    assert_eq!(busy.cluster.workers[0].as_ref().unwrap().id(), worker, "the worker lives");
    let sm = busy.cluster.shardmill();
    assert_eq!(busy.cluster.states(), ["alive"]);
    let jobs = sm.run(&["job", "list"]).json();
    assert_eq!(jobs["jobs"][0]["state"], "failed", "{jobs}");
    let why = jobs["jobs"][0].to_string();
    assert!(why.contains("was killed") && why.contains("SUM(a.n + b.n * c.n)"), "{why}");
}

#[test]
fn a_statement_that_takes_too_much_is_told_and_nothing_else_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut sm = Shardmill::embedded(dir.path());
    numbers(&sm, 20_000);
    sm.extra.extend(["--memory", "256MiB", "--slots", "2"].map(str::to_owned));
    // What a function makes is not in the engine's accounts.
    let greedy = "SELECT LENGTH(STRING_AGG(REPEAT('0123456789', 2000), '') OVER ()) AS n FROM input";
    sm.run(&map(greedy, "greedy")).fails(1, &["128.0 MiB", "SELECT LENGTH(STRING_AGG(", "--memory"]);
    let done = sm.ok(&map("SELECT SUM(n) AS s FROM input", "summed"));
    assert_eq!(done["state"], "done");
    assert_eq!(sm.csv("summed"), "s\n199990000\n");
    let jobs = sm.run(&["job", "list"]).json();
    let states: Vec<_> = jobs["jobs"].as_array().unwrap().iter().map(|job| job["state"].clone()).collect();
    assert_eq!(states, ["done", "failed", "done"]);
}
