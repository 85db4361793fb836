//! Workers and the coordinator killed with -9 in the middle of each kind of job: the same rows as without, and nothing that
//! was acknowledged is lost. Each test proves that its fault fired while the job was under way.

use std::collections::BTreeSet;
use std::process::Child;
use std::time::{Duration, Instant};

use shardmill_client::Client;
use shardmill_common::message::Page;
use shardmill_common::status::JobStatus;
use shardmill_tests::{Cluster, Shardmill, pseudo_rows};

const ROWS: usize = 50_000;

/// A cluster with two datasets that overlap, and what the jobs on them should give.
struct Scene {
    _dir: tempfile::TempDir,
    cluster: Cluster,
    sm: Shardmill,
    runtime: tokio::runtime::Runtime,
}

fn csv(lines: &[String]) -> String {
    lines.iter().fold("id,name,amount\n".to_owned(), |text, line| text + line + "\n")
}

/// The same with a column that makes shards large: small ones are read together, and jobs over them are over at once. It follows from
/// the rest of its line, so that equal lines stay equal.
fn wide_csv(lines: &[String]) -> String {
    let mut text = String::from("id,name,amount,note\n");
    for line in lines {
        let mut state = line.bytes().fold(7u64, |state, byte| state.wrapping_mul(31).wrapping_add(byte.into()));
        text.push_str(line);
        text.push(',');
        for _ in 0..14 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(&format!("{state:016x}"));
        }
        text.push('\n');
    }
    text
}

const RULES: &str = "[[rule]]\nop = \"case\"\nto = \"upper\"\n\n[[rule]]\nop = \"fill\"\ncolumns = [\"amount\"]\nwith = \"median\"\n\n[[rule]]\nop = \"standardise\"\ncolumns = [\"amount\"]\n";

impl Scene {
    fn new(workers: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(dir.path(), workers);
        let sm = cluster.shardmill();
        let left = pseudo_rows(11, ROWS);
        let mut right: Vec<String> = left.iter().step_by(3).cloned().collect();
        right.extend(pseudo_rows(12, ROWS / 3));
        sm.write("left.csv", wide_csv(&left));
        sm.write("right.csv", wide_csv(&right));
        sm.write("rules.toml", RULES);
        sm.ok(&["ingest", "left", "left.csv", "--shard-size", "400KiB"]);
        sm.ok(&["ingest", "right", "right.csv", "--shard-size", "400KiB"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { _dir: dir, cluster, sm, runtime }
    }

    /// Runs a job and, once it has done some but not all of its tasks, does `harm`. Gives the job, as it stood right after
    /// (or, if nobody answers any more, right before), and its command. A job that was too quick to be harmed is run again.
    fn in_the_middle(&mut self, args: &[&str], harm: impl Fn(&mut Self)) -> (JobStatus, Child) {
        for _ in 0..10 {
            let before = self.newest_job().map(|j| j.job);
            let mut child = self.sm.command(args).spawn().unwrap();
            let deadline = Instant::now() + Duration::from_secs(60);
            let mut ended = false;
            while !ended {
                assert!(Instant::now() < deadline, "{args:?} does not get going");
                ended = child.try_wait().unwrap().is_some();
                let Some(job) = self.newest_job().filter(|j| Some(j.job) != before && !j.state.is_final()) else {
                    continue;
                };
                if job.stages.iter().map(|s| s.done).sum::<u64>() >= 5 {
                    harm(self);
                    let after = self.newest_job().unwrap_or(job);
                    if !after.state.is_final() {
                        return (after, child);
                    }
                    ended = true;
                }
            }
            assert!(child.wait().unwrap().success(), "{args:?} failed");
            self.heal();
        }
        panic!("{args:?} is too quick to be disturbed");
    }

    /// Starts again whatever is down.
    fn heal(&mut self) {
        if self.cluster.coordinator.is_none() {
            self.cluster.start_coordinator();
        }
        for n in 0..self.cluster.workers.len() {
            if self.cluster.workers[n].is_none() {
                self.cluster.start_worker(n);
            }
        }
        self.cluster.wait_for_workers(self.cluster.workers.len());
    }

    /// The library is asked, which is quicker than the command.
    fn newest_job(&self) -> Option<JobStatus> {
        let jobs = self.runtime.block_on(async {
            let client = Client::connect(&self.cluster.url(), None).await.ok()?;
            client.jobs(Page { before: None, limit: Some(1) }).await.ok()
        });
        jobs?.items.into_iter().next()
    }
}

/// Every kind of job, with its output's name.
const JOBS: &[(&str, &[&str])] = &[
    ("again", &["ingest", "again", "left.csv", "--shard-size", "400KiB", "--dedup"]),
    ("cleaned", &["clean", "left", "cleaned", "--rules", "rules.toml"]),
    ("unique", &["dedup", "left", "unique"]),
    ("merged", &["compare", "left", "right", "merged"]),
    ("keyed", &["compare", "left", "right", "keyed", "--on", "id", "--how", "left"]),
    ("joined", &["join", "left", "right", "joined", "--on", "id", "--broadcast-limit", "0"]),
    ("counted", &["aggregate", "left", "counted", "--by", "name", "--agg", "n=count(), most=max(amount)"]),
    (
        "grouped",
        &[
            "mapreduce",
            "grouped",
            "--input",
            "left",
            "--map",
            "SELECT name, amount FROM input",
            "--key",
            "name",
            "--reduce",
            "SELECT name, COUNT(*) AS n FROM input GROUP BY name",
        ],
    ),
    (
        "piped",
        &[
            "mapreduce",
            "piped",
            "--input",
            "left",
            "--map-program",
            "cat",
            "--map-columns",
            "id=int64,name,amount,note",
        ],
    ),
];

fn renamed<'a>(args: &[&'a str], from: &str, to: &'a str) -> Vec<&'a str> {
    args.iter().map(|a| if *a == from { to } else { *a }).collect()
}

#[test]
fn a_worker_killed_in_any_job_changes_nothing() {
    let mut scene = Scene::new(3);
    for (n, (output, args)) in JOBS.iter().enumerate() {
        scene.sm.ok(args);
        let expected = scene.sm.csv(output);
        let disturbed = renamed(args, output, "disturbed");
        let (_, child) = scene.in_the_middle(&disturbed, |scene| scene.cluster.kill_worker(n % 3));
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{disturbed:?}: {out:?}\n{}", scene.cluster.log("coordinator.log"));
        assert!(scene.sm.csv("disturbed") == expected, "{disturbed:?} gave other rows");
        scene.sm.ok(&["dataset", "rm", "disturbed"]);
        scene.heal();
    }
}

#[test]
fn a_worker_that_never_comes_back_is_done_without() {
    let mut scene = Scene::new(3);
    for (output, args) in JOBS {
        scene.sm.ok(args);
        let expected = scene.sm.csv(output);
        let disturbed = renamed(args, output, "disturbed");
        if scene.cluster.workers[0].is_some() {
            let (_, child) = scene.in_the_middle(&disturbed, |scene| scene.cluster.kill_worker(0));
            assert!(child.wait_with_output().unwrap().status.success());
        } else {
            scene.sm.ok(&disturbed);
        }
        assert!(scene.sm.csv("disturbed") == expected, "{disturbed:?} gave other rows");
    }
}

#[test]
fn a_coordinator_killed_in_any_job_finishes_it_after_its_restart() {
    let mut scene = Scene::new(2);
    for (output, args) in JOBS {
        scene.sm.ok(args);
        let expected = scene.sm.csv(output);
        let disturbed = renamed(args, output, "disturbed");
        let (job, mut child) = scene.in_the_middle(&disturbed, |scene| scene.cluster.kill_coordinator());
        scene.cluster.start_coordinator();
        // The command may have given up; the job has not.
        let _ = child.wait();
        let id = job.job.to_string();
        let done = scene.sm.ok(&["job", "wait", &id]);
        assert_eq!(done["state"], "done", "{done}");
        assert!(scene.sm.csv("disturbed") == expected, "{disturbed:?} gave other rows");
        assert!(scene.sm.csv(output) == expected, "an acknowledged dataset changed");
        assert_eq!(scene.sm.ok(&["record", "show", &id])["ending"], "done");
        scene.sm.ok(&["dataset", "rm", "disturbed"]);
    }
}

#[test]
fn a_dead_workers_shards_are_copied_again_and_a_returning_one_brings_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start_with(dir.path(), 3, &["--repair-after", "1"]);
    let sm = cluster.shardmill();
    let lines = pseudo_rows(5, 3_000);
    sm.write("in.csv", csv(&lines));
    sm.ok(&["ingest", "d", "in.csv", "--shard-size", "10KiB"]);
    let names = |n: usize| -> BTreeSet<_> {
        objects(&dir.path().join(format!("worker-{n}"))).iter().map(|p| p.file_name().map(ToOwned::to_owned)).collect()
    };
    // What was uploaded is deleted when its job is done, a moment after the command hears of it.
    let shards = sm.ok(&["dataset", "show", "d"])["shards"].as_u64().unwrap() as usize;
    let everything = || (0..3).flat_map(names).collect::<BTreeSet<_>>();
    cluster.wait("the uploads to be deleted", || everything().len() == shards);
    let all = everything();
    cluster.kill_worker(0);
    cluster.wait("the copies to be made again", || names(1) == all && names(2) == all);
    cluster.kill_worker(1);
    assert_eq!(sm.csv("d"), csv(&lines), "two of three workers died one after the other");
    cluster.kill_worker(2);
    sm.run(&["dataset", "export", "d", "--to", "-", "--format", "csv"]).fails(1, &["no worker that holds"]);
    cluster.start_worker(0);
    cluster.start_worker(1);
    cluster.wait_for_workers(2);
    assert_eq!(sm.csv("d"), csv(&lines));
}

/// Objects with fewer copies than wanted, by the coordinator's metrics.
fn lacking(cluster: &Cluster) -> u64 {
    let text = cluster.metrics();
    let line = text.lines().find(|l| l.starts_with("shardmill_under_replicated_objects "));
    line.and_then(|l| l.split(' ').nth(1)).and_then(|n| n.parse().ok()).unwrap_or(u64::MAX)
}

#[test]
fn a_damaged_shard_is_found_and_read_from_its_copy() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 2);
    let sm = cluster.shardmill();
    let lines = pseudo_rows(6, 2_000);
    sm.write("in.csv", csv(&lines));
    sm.ok(&["ingest", "d", "in.csv", "--shard-size", "10KiB"]);
    // What was uploaded is deleted when its job is done, a moment after the command hears of it.
    let shards = sm.ok(&["dataset", "show", "d"])["shards"].as_u64().unwrap() as usize;
    cluster.wait("the uploads to be deleted", || objects(&dir.path().join("worker-0")).len() == shards);
    let mut flipped = 0;
    for path in objects(&dir.path().join("worker-0")) {
        let mut data = std::fs::read(&path).unwrap();
        let at = data.len() / 2;
        data[at] ^= 1;
        std::fs::write(&path, data).unwrap();
        flipped += 1;
    }
    assert!(flipped > 3);
    assert_eq!(sm.csv("d"), csv(&lines));
    let done = sm.ok(&["dedup", "d", "e"]);
    assert_eq!(done["counters"]["rows_in"], 2_000);
    cluster.wait("the bad copies to be replaced", || lacking(&cluster) == 0);
    // With every copy bad, it says so instead of giving wrong rows.
    for worker in ["worker-0", "worker-1"] {
        for path in objects(&dir.path().join(worker)) {
            let mut data = std::fs::read(&path).unwrap();
            if data.is_empty() {
                continue;
            }
            let at = data.len() / 3;
            data[at] ^= 1;
            std::fs::write(&path, data).unwrap();
        }
    }
    let out = sm.run(&["dataset", "export", "d", "--to", "x.csv"]);
    assert_eq!(out.status, 1, "{out:?}");
    assert!(!dir.path().join("x.csv").exists());
}

fn objects(worker: &std::path::Path) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(worker.join("objects")).unwrap();
    folders.flat_map(|d| std::fs::read_dir(d.unwrap().path()).unwrap().map(|f| f.unwrap().path())).collect()
}

#[test]
fn draining_empties_a_worker_before_it_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 3);
    let sm = cluster.shardmill();
    let lines = pseudo_rows(7, 3_000);
    sm.write("in.csv", csv(&lines));
    sm.ok(&["ingest", "d", "in.csv", "--shard-size", "10KiB"]);
    let nodes = sm.ok(&["nodes", "list"]);
    for node in nodes["nodes"].as_array().unwrap().iter().take(2) {
        sm.ok(&["nodes", "drain", node["worker"].as_str().unwrap()]);
    }
    // Whichever two are empty now: the third has everything.
    let left: Vec<usize> = (0..3).filter(|n| cluster.log(&format!("worker-{n}.log")).contains("joined")).collect();
    assert_eq!(left.len(), 3);
    let states = cluster.states();
    assert_eq!(states.iter().filter(|s| *s == "drained").count(), 2, "{states:?}");
    let urls: Vec<String> = sm.ok(&["nodes", "list"])["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|n| n["state"] == "drained")
        .map(|n| n["url"].as_str().unwrap().to_owned())
        .collect();
    for n in 0..3 {
        if urls.iter().any(|url| cluster.log(&format!("worker-{n}.log")).contains(url.trim_start_matches("http://"))) {
            assert_eq!(cluster.workers[n].as_mut().unwrap().terminate(), Some(0));
            cluster.workers[n] = None;
        }
    }
    assert_eq!(sm.csv("d"), csv(&lines));
}

#[test]
fn processes_end_in_good_order_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1);
    assert_eq!(cluster.workers[0].as_mut().unwrap().terminate(), Some(0));
    assert_eq!(cluster.coordinator.as_mut().unwrap().terminate(), Some(0));
}

#[test]
fn a_worker_of_another_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1);
    cluster.shardmill().write("1.csv", "a\n1\n");
    cluster.shardmill().ok(&["ingest", "d", "1.csv"]);
    cluster.kill_coordinator();
    cluster.kill_worker(0);
    let before = objects(&dir.path().join("worker-0")).len();
    std::fs::remove_dir_all(dir.path().join("coordinator")).unwrap();
    cluster.start_coordinator();
    cluster.start_worker(0);
    cluster.wait("the worker to be refused", || cluster.log("worker-0.log").contains("belongs to cluster"));
    assert_eq!(objects(&dir.path().join("worker-0")).len(), before, "shards of another cluster were deleted");
}
