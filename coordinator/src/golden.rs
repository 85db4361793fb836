//! Golden files: journals and model files as each format wrote them (`golden/make.sh`). Every later build must open them.

use std::fs::File;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use shardmill_common::ids::JobId;
use shardmill_common::model::Model;
use shardmill_common::time::Timestamp;
use shardmill_core::rows::{Key, Store, Table, Write, encode};
use shardmill_core::scheduler::SchedulerOptions;
use shardmill_core::tables::{Finished, Records, TABLES, Windows};

use crate::journal::{Journal, Reader};
use crate::model_files;

/// The folders of all formats, the oldest first.
fn formats() -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(golden).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

/// The journal of a format, in a folder where it may be written to.
fn journal(format: &Path, folder: &Path) -> Journal {
    let path = folder.join("journal.redb");
    let packed = File::open(format.join("journal.redb.gz")).unwrap();
    std::io::copy(&mut GzDecoder::new(packed), &mut File::create(&path).unwrap()).unwrap();
    Journal::open(&path).unwrap()
}

/// Every row of a table, whether it can be read or not.
fn all<T: Table>(reader: &Reader) -> Vec<(T::Key, T::Value)> {
    let read = reader.range::<T>(&[], &[u8::MAX; 32]).unwrap();
    read.into_iter().map(|(key, value)| (key, value.unwrap())).collect()
}

#[test]
fn the_journal_of_every_format_is_read() {
    for format in formats() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(&format, dir.path());
        let core = journal.replay(SchedulerOptions::default(), Timestamp(0)).unwrap();
        let reader = journal.reader();
        // What make.sh did.
        let running = core.running_jobs();
        assert_eq!(
            running.iter().map(|s| (s.kind.as_str(), s.who.as_str())).collect::<Vec<_>>(),
            [("mapreduce", "ana@desk")]
        );
        assert!(running[0].stages.iter().any(|s| s.done > 0), "{:?}", running[0].stages);
        assert_eq!(
            core.registry().find(&"engine@champion".parse().unwrap()).unwrap().reference().to_string(),
            "engine@1"
        );
        assert_eq!(core.registry().detail(&"engine".parse().unwrap()).unwrap().evaluations.len(), 1);
        assert_eq!(
            core.endpoints().find(&"golden".parse().unwrap()).unwrap().variants[0].model.to_string(),
            "engine@1"
        );
        assert_eq!(core.catalog().find(&"big".parse().unwrap()).unwrap().rows(), 30_000);
        assert_eq!(core.catalog().taken(&"big".parse().unwrap()).len(), 1);
        let (finished, records) = (all::<Finished>(&reader), all::<Records>(&reader));
        assert_eq!(finished.iter().map(|(job, _)| *job).collect::<Vec<_>>(), (1..=12).map(JobId).collect::<Vec<_>>());
        assert_eq!(records.len(), 12);
        assert!(records.iter().any(|(_, record)| record.evaluation.is_some()));
        assert!(!all::<Windows>(&reader).is_empty());
    }
}

#[test]
fn the_newest_format_is_what_is_written_today() {
    let newest = formats().pop().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(&newest, dir.path());
    let (reader, mut today) = (journal.reader(), Store::default());
    let mut put = |table: &'static str, key: Vec<u8>, value: Vec<u8>| today.apply(&Write::Put { table, key, value });
    for (job, status) in all::<Finished>(&reader) {
        put(Finished::NAME, job.encoded(), encode::<Finished>(&status).unwrap());
    }
    for (job, record) in all::<Records>(&reader) {
        put(Records::NAME, job.encoded(), encode::<Records>(&record).unwrap());
    }
    for (key, tally) in all::<Windows>(&reader) {
        put(Windows::NAME, key.encoded(), encode::<Windows>(&tally).unwrap());
    }
    let core = journal.replay(SchedulerOptions::default(), Timestamp(0)).unwrap();
    core.durable().rows().for_each(|(table, key, value)| put(table, key.to_vec(), value.to_vec()));
    let golden = journal.rows().unwrap();
    let seen = |table: &str| golden.rows().filter(|(t, _, _)| *t == table).count();
    assert!(TABLES.iter().all(|table| seen(table.name) > 0), "a table has no golden row: make.sh must make one");
    assert_eq!(
        golden.difference(&today),
        None,
        "a stored type is written in another way than before: raise the version of its table, give it a converter, and make golden \
         files of the new format"
    );
}

#[test]
fn the_models_of_every_format_are_read() {
    for format in formats() {
        let mut found = Vec::new();
        for folder in std::fs::read_dir(format.join("models")).unwrap().map(|e| e.unwrap().path()) {
            let model: Model = serde_json::from_slice(&std::fs::read(folder.join("model.json")).unwrap()).unwrap();
            let curvature = model_files::read_curvature(&folder).unwrap();
            found.push((model.reference().to_string(), curvature.map(|c| c.size)));
        }
        found.sort();
        // A slope and an intercept.
        assert_eq!(found, [("engine@1".to_owned(), None), ("line@1".to_owned(), Some(2))]);
    }
}
