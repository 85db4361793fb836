//! Rows reach the disk whole, in order, and within bounds.

use shardmill_common::model::example;
use shardmill_common::schema::DataType;
use shardmill_common::time::Timestamp;
use shardmill_serving::Predictor;
use shardmill_serving::table::{Cell, Table};

use super::*;
use crate::capture::files;

fn spool() -> (tempfile::TempDir, CaptureLayout, Spool) {
    let folder = tempfile::tempdir().unwrap();
    let layout = CaptureLayout::new(folder.path());
    let (spool, _) = Spool::new(layout.clone());
    (folder, layout, spool)
}

fn name() -> DatasetName {
    "seen".parse().unwrap()
}

fn model() -> Arc<Model> {
    Arc::new(example().unwrap())
}

#[tokio::test]
async fn rows_are_in_a_complete_file_once_it_is_sealed() {
    let (_folder, layout, spool) = spool();
    assert!(!layout.root().exists(), "nothing is made before there is a row");
    let model = model();
    for n in 0..1000 {
        assert!(spool.keep_lines(&name(), &model, format!("{{\"n\":{n}}}\n").into_bytes()));
    }
    spool.seal(&name()).await;
    let found = files::sealed(&layout, &name()).unwrap();
    let [file] = found.as_slice() else { panic!("{found:?}") };
    let text = std::fs::read_to_string(&file.path).unwrap();
    let expected: String = (0..1000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert_eq!(text, expected);
    let schema = files::read_schema(&layout, &name(), file.id);
    assert_eq!(schema.get("x").map(|f| f.dtype), Some(DataType::Float64));
    assert_eq!(schema.get("_time").map(|f| f.dtype), Some(DataType::DATETIME_UTC));
    let shared = spool.shared();
    assert_eq!(
        (shared.waiting.load(Ordering::Acquire), shared.on_disk.load(Ordering::Acquire)),
        (0, expected.len() as u64)
    );
    assert!(shared.open_files().is_empty());
    // What comes later is in a file of its own.
    assert!(spool.keep_lines(&name(), &model, b"{}\n".to_vec()));
    spool.settle().await;
    assert_eq!(spool.shared().open_files()[&name()].bytes, 3);
    spool.close().await;
    assert_eq!(files::sealed(&layout, &name()).unwrap().len(), 2);
    assert!(!spool.keep_lines(&name(), &model, b"{}\n".to_vec()), "it is closed");
}

#[tokio::test]
async fn rows_are_in_their_file_soon() {
    let (_folder, layout, spool) = spool();
    assert!(spool.keep_lines(&name(), &model(), b"{}\n".to_vec()));
    spool.settle().await;
    let id = spool.shared().open_files()[&name()].id;
    let begun = Instant::now();
    while std::fs::read(layout.part(&name(), id)).unwrap_or_default() != b"{}\n" {
        assert!(begun.elapsed() < Duration::from_secs(5), "not written");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_disk_that_fails_keeps_rows_in_memory_up_to_a_bound() {
    let (folder, layout, spool) = spool();
    // A file is where the folder should be.
    std::fs::write(folder.path().join("capture"), "").unwrap();
    let (model, piece) = (model(), vec![b'\n'; 1 << 20]);
    let kept = (0..80).filter(|_| spool.keep_lines(&name(), &model, piece.clone())).count();
    assert_eq!(kept as u64, MEMORY >> 20);
    spool.seal(&name()).await;
    assert_eq!(spool.shared().waiting.load(Ordering::Acquire), MEMORY);
    // It is there again: nothing of what was kept is lost.
    std::fs::remove_file(folder.path().join("capture")).unwrap();
    spool.seal(&name()).await;
    let found = files::sealed(&layout, &name()).unwrap();
    assert_eq!(found.iter().map(|f| f.bytes).collect::<Vec<_>>(), [MEMORY]);
    assert!(spool.keep_lines(&name(), &model, piece));
}

#[tokio::test]
async fn more_than_the_disk_may_hold_is_refused() {
    let (_folder, _layout, spool) = spool();
    spool.shared().on_disk.store(DISK, Ordering::Release);
    assert!(!spool.keep_lines(&name(), &model(), b"{}\n".to_vec()));
}

#[tokio::test]
async fn names_that_requests_make_up_are_bounded() {
    let (_folder, _layout, spool) = spool();
    let predictor = Predictor::new(model(), &Default::default()).unwrap();
    let keep = |names: Vec<String>| {
        let mut names: Vec<_> = names.into_iter().map(std::borrow::Cow::Owned).collect();
        names.push("x".into());
        let width = names.len();
        let table = Table { names: Some(names), width, rows: 1, cells: vec![Cell::Integer(1); width] };
        spool.keep(&Event {
            dataset: &name(),
            endpoint: &name(),
            variant: "a",
            model: &predictor.model.reference(),
            time: Timestamp(0),
            request: "r",
            inference_id: None,
            table: &table,
            predictor: &predictor,
            answers: &shardmill_serving::dialect::Answers::new(&predictor),
            predicted: &predictor.predict(&table).unwrap(),
        })
    };
    for n in 0..FURTHER_COLUMNS / 100 {
        assert!(keep((n * 100..(n + 1) * 100).map(|c| format!("c{c}")).collect()));
    }
    assert!(!keep(vec!["one more".into()]));
    assert!(keep(vec!["c7".into()]), "known names are taken as before");
    assert!(keep(Vec::new()));
}
