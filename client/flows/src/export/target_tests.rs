//! Tests of whole exports, from steps to files.

use std::sync::Arc;

use arrow::array::{ArrayRef, LargeStringArray};

use super::*;
use crate::export::encoder::Format;

fn batch(values: &[&str]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(
        "t",
        Arc::new(LargeStringArray::from(values.to_vec())) as ArrayRef,
        true,
    )])
    .unwrap()
}

fn settings(format: Format) -> Settings {
    Settings { format, compression: Compression::None, null: String::new(), schema: batch(&[]).schema() }
}

fn export(target: Target, format: Format, steps: Vec<Step>) -> Result<Exported, FlowError> {
    let (send, receive) = mpsc::channel(16);
    for step in steps {
        assert!(send.try_send(step).is_ok());
    }
    drop(send);
    write_all(target, &settings(format), Box::new(std::io::sink()), receive)
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    let target = Target::File(path.clone());
    export(target.clone(), Format::Csv, vec![Step::Shard, Step::Rows(batch(&["a"]))]).unwrap_err();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let done =
        export(target.clone(), Format::Csv, vec![Step::Shard, Step::Rows(batch(&["a", "b"])), Step::Done]).unwrap();
    assert_eq!((done.files, done.rows, done.bytes), (1, 2, 6));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "t\na\nb\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(target.check(false).is_err());
    target.check(true).unwrap();
}

#[test]
fn a_dataset_without_rows_still_has_a_header() {
    let folder = tempfile::tempdir().unwrap();
    for (format, name) in [(Format::Csv, "x.csv"), (Format::Parquet, "x.parquet"), (Format::Arrow, "x.arrow")] {
        let path = folder.path().join(name);
        let done = export(Target::File(path.clone()), format, vec![Step::Done]).unwrap();
        assert_eq!(done.files, 1);
        assert!(std::fs::metadata(&path).unwrap().len() > 0);
    }
}

#[test]
fn parts_replace_longer_earlier_parts() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::of(&format!("{}/", folder.path().display()), false);
    target.check(false).unwrap();
    let shard = |v: &str| [Step::Shard, Step::Rows(batch(&[v]))];
    let steps = shard("a").into_iter().chain(shard("b")).chain([Step::Done]).collect();
    assert_eq!(export(target.clone(), Format::Jsonl, steps).unwrap().files, 2);
    assert!(target.check(false).is_err());
    std::fs::write(folder.path().join("keep.txt"), "x").unwrap();
    export(target, Format::Jsonl, shard("c").into_iter().chain([Step::Done]).collect()).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["keep.txt", "part-00000.jsonl"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("part-00000.jsonl")).unwrap(), "{\"t\":\"c\"}\n");
}

#[test]
fn devices_are_written_to_and_stay() {
    assert_eq!(Target::of("/dev/null", false), Target::Device("/dev/null".into()));
    export(Target::of("/dev/null", false), Format::Csv, vec![Step::Rows(batch(&["a"])), Step::Done]).unwrap();
    assert_eq!(Target::of("/dev/null", false), Target::Device("/dev/null".into()));
}
