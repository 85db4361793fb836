//! Tests of the pass over plain files.

use super::super::expand::{Found, Origin};
use super::super::inspect::inspect;
use super::*;

fn passed(content: &[u8], chunk_size: u64) -> (Passed, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, content).unwrap();
    let (options, pulse) = (ReadOptions::default(), Pulse::default());
    let inspected = inspect(Found::new("a.csv".into(), Origin::File(path)), &options, &pulse).unwrap();
    let pass = Pass { chunk_size, options: &options, local_files: true, uploader: None, pulse: &pulse };
    (pass.run(inspected).unwrap(), dir)
}

#[test]
fn chunks_cover_the_data_and_the_checksum_covers_the_file() {
    let text = "\u{feff}n,t\n1,a\n2,\"b\nc\"\n3,d\n4.5,e\n";
    let (got, _dir) = passed(text.as_bytes(), 8);
    assert_eq!(got.source.checksum, super::super::open::checksum(xxhash_rust::xxh3::xxh3_128(text.as_bytes())));
    assert_eq!(got.source.size, text.len() as u64);
    let mut at = 7;
    for piece in &got.pieces {
        let PiecePlace::File { offset, .. } = &piece.place else { panic!("uploaded") };
        assert_eq!(*offset, at);
        at += piece.bytes;
    }
    assert_eq!(at, text.len() as u64);
    let lines: Vec<u64> = got.pieces.iter().map(|p| p.first_line).collect();
    assert_eq!(lines, [2, 5]);
}

#[test]
fn later_records_widen_the_sampled_types() {
    let mut text = String::from("n\n");
    text.push_str(&"1\n".repeat(400_000));
    text.push_str(&"x\n".repeat(400_000));
    let (got, _dir) = passed(text.as_bytes(), 100_000);
    assert_eq!(got.schema.fields[0].dtype, shardmill_common::schema::DataType::String);
}

#[test]
fn a_header_alone_makes_no_chunk() {
    let (got, _dir) = passed(b"a,b\n", 100);
    assert!(got.pieces.is_empty());
}
