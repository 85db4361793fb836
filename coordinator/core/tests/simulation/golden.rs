//! Golden rows of jobs that were under way, one job for each kind of task: every later build must go on with them.
//!
//! `golden/format-N/running.jsonl.gz` has a row a line: the kind of task for whose sake the job was kept, the table, the key in
//! hex, and the value as text behind its version. The rows of a format are written once, by
//! `SHARDMILL_GOLDEN=... cargo test -p shardmill-core --test simulation golden`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use shardmill_common::ids::JobId;
use shardmill_common::time::Timestamp;
use shardmill_core::Replay;
use shardmill_core::rows::{Store, Table, Write};
use shardmill_core::tables::{Jobs, Parts, Stages, Tasks};

use super::world::{Sim, options};
use super::{data_jobs, first_jobs, user_jobs};

const TABLES: [&str; 4] = [Jobs::NAME, Stages::NAME, Parts::NAME, Tasks::NAME];

/// The rows of one job, by the kind of task for whose sake they are kept; and whether one of these is done.
type Snapshots = BTreeMap<String, (bool, Store)>;

fn path(format: &Path) -> PathBuf {
    format.join("running.jsonl.gz")
}

/// The folders of all formats, the oldest first.
fn formats() -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden");
    let folders = std::fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = folders.filter(|folder| path(folder).exists()).collect();
    all.sort_by_key(|folder| {
        let name = folder.file_name().unwrap().to_str().unwrap();
        name.strip_prefix("format-").unwrap().parse::<u32>().unwrap()
    });
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn write(snapshots: &Snapshots, to: &Path) {
    let mut out = GzEncoder::new(File::create(to).unwrap(), Compression::best());
    for (kind, (_, store)) in snapshots {
        for (table, key, value) in store.rows() {
            let (version, json) = value.split_first().unwrap();
            let line = (kind, table, hex(key), version, std::str::from_utf8(json).unwrap());
            writeln!(out, "{}", serde_json::to_string(&line).unwrap()).unwrap();
        }
    }
    out.finish().unwrap();
}

fn read(from: &Path) -> BTreeMap<String, Store> {
    let mut snapshots = BTreeMap::<String, Store>::new();
    for line in BufReader::new(GzDecoder::new(File::open(from).unwrap())).lines() {
        let (kind, table, key, version, json): (String, String, String, u8, String) =
            serde_json::from_str(&line.unwrap()).unwrap();
        let table = TABLES.into_iter().find(|known| *known == table).unwrap();
        let value = [&[version], json.as_bytes()].concat();
        snapshots.entry(kind).or_default().apply(&Write::Put { table, key: unhex(&key), value });
    }
    snapshots
}

/// The kinds of tasks of a stage's row.
fn kinds(row: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(row);
    text.split("\"task\":\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

/// Keeps the rows of every job that has a stage of a kind of task that was not seen before, or not with a task done.
fn look(sim: &Sim, snapshots: &mut Snapshots) {
    let rows = sim.core.durable().only(&TABLES);
    let done: BTreeSet<&[u8]> =
        rows.rows().filter(|(table, _, _)| *table == Tasks::NAME).map(|(_, key, _)| &key[..12]).collect();
    for (_, stage, value) in rows.rows().filter(|(table, _, _)| *table == Stages::NAME) {
        for kind in kinds(value) {
            let is_done = done.contains(stage);
            if snapshots.get(&kind).is_some_and(|(was_done, _)| *was_done || !is_done) {
                continue;
            }
            let mut store = Store::default();
            for (table, key, value) in rows.rows().filter(|(_, key, _)| key.starts_with(&stage[..8])) {
                store.apply(&Write::Put { table, key: key.to_vec(), value: value.to_vec() });
            }
            snapshots.insert(kind, (is_done, store));
        }
    }
}

/// Of some jobs, on workers that do not fail.
fn snapshots_of(jobs: fn(&mut Sim) -> Vec<JobId>) -> Snapshots {
    let all = RefCell::new(Snapshots::new());
    let mut sim = Sim::new(1);
    (0..3).for_each(|_| sim.add_worker(true));
    let submitted = jobs(&mut sim);
    let over = |sim: &Sim| {
        look(sim, &mut all.borrow_mut());
        submitted.iter().all(|job| sim.ended.contains_key(job))
    };
    sim.run_until("the end of all jobs", over, true);
    all.into_inner()
}

/// Of jobs of every kind.
fn snapshots(test: &str) -> Snapshots {
    let jobs: [fn(&mut Sim) -> Vec<JobId>; 3] = [first_jobs, user_jobs, data_jobs];
    // What they publish is told apart by the name of the thread.
    let run =
        |(n, jobs)| std::thread::Builder::new().name(format!("{test} {n}")).spawn(move || snapshots_of(jobs)).unwrap();
    let runs: Vec<_> = (0..).zip(jobs).map(run).collect();
    let mut all = Snapshots::new();
    for run in runs {
        for (kind, store) in run.join().unwrap() {
            all.entry(kind).or_insert(store);
        }
    }
    all
}

#[test]
fn golden_jobs_of_every_format_go_on() {
    if let Some(to) = std::env::var_os("SHARDMILL_GOLDEN") {
        write(&snapshots("made"), &path(Path::new(&to)));
    }
    let formats = formats();
    let newest = formats.last().expect("there are no golden rows");
    for format in &formats {
        for (kind, store) in read(&path(format)) {
            let mut replay = Replay::new(options(), 1);
            store.rows().for_each(|(table, key, value)| replay.row(table, key, value).unwrap());
            let core = replay.finish(Timestamp(0)).unwrap_or_else(|e| panic!("{kind} of {}: {e}", format.display()));
            if format == newest {
                let difference = store.difference(&core.durable().only(&TABLES));
                assert_eq!(
                    difference, None,
                    "a job with a task `{kind}` is written in another way than before: raise the version of its table, give it a \
                     converter, and write golden rows of the new format"
                );
            }
        }
    }
}

#[test]
fn every_kind_of_task_has_golden_rows() {
    let golden: BTreeSet<String> = read(&path(formats().last().unwrap())).into_keys().collect();
    let today: BTreeSet<String> = snapshots("today").into_keys().collect();
    assert_eq!(golden, today, "the golden rows lack kinds, or have kinds that no job has any more");
}
