//! One test for each kind of bad input: a clear message, the right status, nothing half-published.

use std::io::Write;
use std::path::Path;

use shardmill_tests::{Cluster, Shardmill};
use tempfile::TempDir;

fn fresh() -> (TempDir, Shardmill) {
    let dir = tempfile::tempdir().unwrap();
    let sm = Shardmill::embedded(dir.path());
    (dir, sm)
}

fn nothing_was_published(sm: &Shardmill) {
    let list = sm.ok(&["dataset", "list"]);
    assert_eq!(list["datasets"].as_array().map(Vec::len), Some(0), "{list}");
}

#[test]
fn a_missing_file_and_an_empty_folder() {
    let (dir, sm) = fresh();
    sm.run(&["ingest", "d", "nowhere.csv"]).fails(2, &["nowhere.csv"]);
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    sm.run(&["ingest", "d", "empty"]).fails(2, &["empty"]);
    sm.run(&["ingest", "d", "*.csv"]).fails(2, &["*.csv"]);
    nothing_was_published(&sm);
}

#[test]
fn a_file_of_no_columns() {
    let (_dir, sm) = fresh();
    sm.write("none.csv", "");
    sm.run(&["ingest", "d", "none.csv"]).fails(2, &["none.csv", "empty"]);
    sm.write("blank.csv", "\n\n");
    sm.run(&["ingest", "d", "blank.csv"]).fails(2, &["blank.csv"]);
    nothing_was_published(&sm);
}

#[test]
fn a_header_with_duplicate_or_empty_names() {
    let (_dir, sm) = fresh();
    sm.write("dup.csv", "a,b,a\n1,2,3\n");
    sm.run(&["ingest", "d", "dup.csv", "--strict"]).fails(2, &["dup.csv", "`a`"]);
    sm.write("gap.csv", "a,,c\n1,2,3\n");
    sm.run(&["ingest", "d", "gap.csv", "--strict"]).fails(2, &["gap.csv", "2"]);
    nothing_was_published(&sm);
    sm.ok(&["ingest", "d", "dup.csv", "gap.csv"]);
    assert_eq!(sm.csv("d"), "a,b,a_2,column_2,c\n1,2,3,,\n1,,,2,3\n");
}

#[test]
fn ragged_rows_and_quotes_that_never_close() {
    let (_dir, sm) = fresh();
    sm.write("bad.csv", "a,b\n1,2\n3\n4,5,6\n7,\"open\n8,9\n");
    let aside = ["ingest", "d", "bad.csv", "--ragged", "reject"];
    sm.run(&aside).fails(1, &["3 of 5 rows", "1%", "bad.csv:3", "expected 2 fields, found 1"]);
    nothing_was_published(&sm);
    let done = sm.ok(&[&aside[..], &["--max-rejects", "60%"]].concat());
    assert_eq!(done["counters"]["rejected"], 3);
    assert_eq!(sm.csv("d"), "a,b\n1,2\n8,9\n");
    let rejects = sm.csv("d.rejects");
    let lines: Vec<&str> = rejects.lines().collect();
    assert_eq!(lines[1], "bad.csv,3,3,\"expected 2 fields, found 1\"");
    assert_eq!(lines[2], "bad.csv,4,\"4,5,6\",\"expected 2 fields, found 3\"");
    assert!(lines[3].starts_with("bad.csv,5,\"7,\"\"open\",") && lines[3].contains("never closes"), "{}", lines[3]);
    let filled = sm.ok(&["ingest", "e", "bad.csv", "--max-rejects", "60%"]);
    assert_eq!((&filled["counters"]["rejected"], &filled["counters"]["rows_filled"]), (&2.into(), &1.into()));
    assert!(filled["notices"][0].as_str().unwrap().starts_with("bad.csv:3: a row has too few cells"), "{filled}");
    assert_eq!(sm.csv("e"), "a,b\n1,2\n3,\n8,9\n");
}

#[test]
fn invalid_utf8() {
    let (_dir, sm) = fresh();
    sm.write("latin.csv", b"a,b\n1,caf\xe9\n2,ok\n");
    let utf8 = ["ingest", "d", "latin.csv", "--encoding", "utf-8"];
    sm.run(&utf8).fails(1, &["latin.csv:2", "UTF-8", "0xE9", "5 characters"]);
    for more in [&[][..], &["--encoding", "latin1"]] {
        sm.ok(&[&["ingest", "d", "latin.csv"], more].concat());
        assert_eq!(sm.csv("d"), "a,b\n1,café\n2,ok\n");
    }
    sm.write("cyrillic.csv", b"\xe8\xec\xff,x\n1,2\n");
    sm.run(&["ingest", "e", "cyrillic.csv"]).fails(2, &["cyrillic.csv", "line 1", "0xE8", "--encoding windows-1251"]);
    sm.ok(&["ingest", "e", "cyrillic.csv", "--encoding", "windows-1251"]);
    assert_eq!(sm.csv("e"), "имя,x\n1,2\n");
}

#[test]
fn a_gzip_cut_short() {
    let (dir, sm) = fresh();
    sm.write("ok.csv", format!("a,b\n{}", "1,2\n".repeat(20_000)));
    sm.ok(&["ingest", "d", "ok.csv"]);
    sm.ok(&["dataset", "export", "d", "--to", "whole.csv.gz"]);
    let whole = std::fs::read(dir.path().join("whole.csv.gz")).unwrap();
    std::fs::write(dir.path().join("cut.csv.gz"), &whole[..whole.len() - 10]).unwrap();
    let out = sm.run(&["ingest", "e", "cut.csv.gz"]);
    assert_ne!(out.status, 0);
    assert!(format!("{}{}", out.stderr, out.stdout).contains("cut.csv.gz"), "{out:?}");
    sm.run(&["dataset", "show", "e"]).fails(1, &["there is no dataset `e`"]);
}

#[test]
fn a_parquet_file_that_is_not_one() {
    let (_dir, sm) = fresh();
    sm.write("x.parquet", "this is not parquet");
    let out = sm.run(&["ingest", "d", "x.parquet"]);
    assert!(out.status == 1 || out.status == 2, "{out:?}");
    assert!(format!("{}{}", out.stderr, out.stdout).contains("x.parquet"), "{out:?}");
    nothing_was_published(&sm);
}

#[test]
fn files_whose_columns_do_not_overlap() {
    let (_dir, sm) = fresh();
    sm.write("1.csv", "a,b\n1,2\n");
    sm.write("2.csv", "x,y\n1,2\n");
    sm.run(&["ingest", "d", "1.csv", "2.csv"]).fails(2, &["1.csv", "2.csv"]);
    nothing_was_published(&sm);
}

#[test]
fn unknown_columns_datasets_and_versions() {
    let (_dir, sm) = fresh();
    sm.write("1.csv", "a,b\n1,2\n");
    sm.ok(&["ingest", "d", "1.csv"]);
    for args in [
        &["dedup", "nothing", "x"][..],
        &["clean", "nothing", "x", "--rules", "r.toml"],
        &["compare", "d", "nothing", "x"],
        &["dataset", "show", "nothing"],
        &["dataset", "head", "nothing"],
        &["dataset", "export", "nothing", "--to", "x.csv"],
        &["dataset", "rm", "nothing"],
        &["dataset", "rename", "nothing", "x"],
    ] {
        sm.write("r.toml", "[[rule]]\nop = \"trim\"\n");
        sm.run(args).fails(1, &["there is no dataset `nothing`"]);
    }
    sm.run(&["dataset", "head", "d@7"]).fails(1, &["there is no d@7", "1"]);
    sm.run(&["dedup", "d", "x", "--keys", "a,zz"]).fails(1, &["no column `zz`", "a, b"]);
    sm.run(&["compare", "d", "d", "x", "--on", "zz"]).fails(1, &["no column `zz`", "a, b"]);
    sm.write("r.toml", "[[rule]]\nop = \"trim\"\ncolumns = [\"zz\"]\n");
    sm.run(&["clean", "d", "x", "--rules", "r.toml"]).fails(1, &["r.toml:1: trim", "`zz`", "a, b"]);
    sm.run(&["ingest", "x", "1.csv", "--dedup", "--keys", "zz"]).fails(1, &["no column `zz`"]);
    sm.run(&["job", "show", "j99"]).fails(1, &["j99"]);
    sm.run(&["record", "show", "j99"]).fails(1, &["j99"]);
    sm.run(&["dataset", "show", "x"]).fails(1, &["there is no dataset `x`"]);
}

#[test]
fn a_rule_file_with_a_typo() {
    let (_dir, sm) = fresh();
    sm.write("1.csv", "a,b\n1,2\n");
    sm.ok(&["ingest", "d", "1.csv"]);
    sm.write("r.toml", "[[rule]]\nop = \"trim\"\n\n[[rule]]\nop = \"csat\"\n");
    sm.run(&["clean", "d", "x", "--rules", "r.toml"]).fails(2, &["r.toml:5", "csat", "cast"]);
    sm.write("r.toml", "[[rule]]\nop = \"cast\"\ncolumns = [\"a\"]\ntot = \"float\"\n");
    sm.run(&["clean", "d", "x", "--rules", "r.toml"]).fails(2, &["r.toml:", "tot", "allowed"]);
    sm.write("r.toml", "[[rule]]\nop = \"filter\"\nsql = \"a > (SELECT 1)\"\n");
    sm.run(&["clean", "d", "x", "--rules", "r.toml"]).fails(2, &["r.toml"]);
    sm.run(&["clean", "d", "x", "--rules", "none.toml"]).fails(2, &["none.toml"]);
}

#[test]
fn names_that_are_paths_or_have_control_characters() {
    let (dir, sm) = fresh();
    sm.write("1.csv", "a,b\n1,2\n");
    for name in ["../x", "a/b", "..", ".x", "a\nb", "a\u{7}b", "a b", "", "x@1x", "/etc/passwd"] {
        let out = sm.run(&["ingest", name, "1.csv"]);
        assert_eq!(out.status, 2, "{name:?}: {out:?}");
    }
    let long = "x".repeat(4096);
    sm.run(&["ingest", &long, "1.csv"]).fails(2, &["too long"]);
    nothing_was_published(&sm);
    assert!(!dir.path().join("x").exists());
}

#[test]
fn wrong_usage_is_status_2() {
    let (_dir, sm) = fresh();
    sm.write("1.csv", "a\n1\n");
    sm.run(&["frobnicate"]).fails(2, &[]);
    sm.run(&["ingest", "d"]).fails(2, &[]);
    sm.run(&["ingest", "d", "1.csv", "--max-rejects", "x"]).fails(2, &["x"]);
    sm.run(&["ingest", "d", "1.csv", "--shard-size", "-1"]).fails(2, &[]);
    sm.run(&["ingest", "d", "1.csv", "--schema", "a=number"]).fails(2, &["number"]);
    sm.run(&["compare", "d", "d", "x", "--how", "sideways"]).fails(2, &["sideways"]);
}

#[test]
fn a_cluster_that_cannot_be_reached_is_status_3() {
    let (_dir, mut sm) = fresh();
    sm.cluster = Some(format!("http://127.0.0.1:{}", shardmill_tests::free_port()));
    sm.run(&["dataset", "list"]).fails(3, &["127.0.0.1"]);
}

#[test]
fn a_schema_that_a_cell_does_not_fit_rejects_the_row() {
    let (_dir, sm) = fresh();
    sm.write("1.csv", "a,b\n1,x\ntwo,y\n3,z\n");
    let done = sm.ok(&["ingest", "d", "1.csv", "--schema", "a=int64,b=string", "--max-rejects", "1"]);
    assert_eq!(done["rows"], 2);
    assert!(sm.csv("d.rejects").contains("1.csv,3,\"two,y\",") && sm.csv("d.rejects").contains("int64"));
}

#[test]
fn a_folder_in_use_by_another_process() {
    let (dir, sm) = fresh();
    sm.write("1.csv", "a\n1\n");
    sm.ok(&["ingest", "d", "1.csv"]);
    let lock = std::fs::File::open(dir.path().join("data/lock")).unwrap();
    lock.try_lock().unwrap();
    sm.run(&["dataset", "list"]).fails(1, &["data"]);
    drop(lock);
    sm.ok(&["dataset", "list"]);
}

#[test]
fn no_worker_alive_and_fewer_workers_than_replicas() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 0);
    let sm = cluster.shardmill();
    sm.write("1.csv", "a\n1\n");
    sm.run(&["ingest", "d", "1.csv"]).fails(1, &["no worker is alive"]);
    cluster.start_worker(0);
    cluster.wait_for_workers(1);
    sm.run(&["ingest", "d", "1.csv", "--replicas", "3"]).fails(1, &["3 replicas", "1 is alive"]);
    nothing_was_published(&sm);
    sm.ok(&["ingest", "d", "1.csv"]);
}

#[test]
fn an_output_that_another_job_is_writing() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1);
    let sm = cluster.shardmill();
    sm.write("1.csv", "a\n1\n");
    // The worker is stopped in its tracks, so that the first job stays under way.
    sm.ok(&["ingest", "in", "1.csv"]);
    let worker = cluster.workers[0].as_ref().unwrap();
    worker.signal(libc::SIGSTOP);
    let mut first = sm.command(&["dedup", "in", "out"]).spawn().unwrap();
    cluster.wait("the first job to be accepted", || {
        sm.ok(&["job", "list"])["jobs"].as_array().is_some_and(|jobs| jobs.iter().any(|j| j["state"] == "running"))
    });
    sm.run(&["dedup", "in", "out"]).fails(1, &["`out` is being written by job j2"]);
    worker.signal(libc::SIGCONT);
    assert!(first.wait().unwrap().success());
    assert_eq!(sm.ok(&["dedup", "in", "out"])["dataset"], "out@2");
}

#[test]
fn a_disk_that_fills() {
    let Some(mount) = Tmpfs::new("4m") else {
        eprintln!("skipped: no small file system can be mounted here");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let sm = Shardmill::embedded(dir.path());
    // Rows that do not compress to nothing.
    let mut text = String::from("a,b\n");
    let mut x = 1u64;
    for _ in 0..400_000 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        text.push_str(&format!("{x},{}\n", x.rotate_left(32)));
    }
    sm.write("big.csv", &text);
    sm.write("small.csv", "a,b\n1,2\n");
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(shardmill_tests::binary());
        command.current_dir(dir.path()).args(["--json", "--data-dir"]).arg(&mount.0).args(args);
        command.output().unwrap()
    };
    let out = run(&["ingest", "d", "big.csv"]);
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.contains("space"), "{text}");
    // What failed left room for what fits.
    let out = run(&["ingest", "e", "small.csv"]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let out = run(&["dataset", "show", "d"]);
    assert_eq!(out.status.code(), Some(1));
}

/// A small file system in memory, unmounted at the end.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn new(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().ok()?.keep();
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&dir)
            .stderr(std::process::Stdio::null())
            .status()
            .ok()?;
        if status.success() {
            Some(Self(dir))
        } else {
            let _ = std::fs::remove_dir(&dir);
            None
        }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
        let _ = std::fs::remove_dir(Path::new(&self.0));
    }
}

#[test]
fn export_does_not_overwrite_by_accident() {
    let (dir, sm) = fresh();
    sm.write("1.csv", "a\n1\n");
    sm.ok(&["ingest", "d", "1.csv"]);
    let mut file = std::fs::File::create(dir.path().join("out.csv")).unwrap();
    file.write_all(b"precious").unwrap();
    sm.run(&["dataset", "export", "d", "--to", "out.csv"]).fails(1, &["out.csv", "--force"]);
    assert_eq!(std::fs::read(dir.path().join("out.csv")).unwrap(), b"precious");
    sm.ok(&["dataset", "export", "d", "--to", "out.csv", "--force"]);
    assert_eq!(std::fs::read(dir.path().join("out.csv")).unwrap(), b"a\n1\n");
}
