//! Files with bytes changed by chance: whatever comes of them, it is rows or an error, and never a panic of ours.
//!
//! `SHARDMILL_MUTATIONS` says how many of each format are tried.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int64Array, ListArray,
    RecordBatch, StringArray, StructArray, Time64MicrosecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Field as ArrowField, Int32Type};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use shardmill_common::kinds::ingest::SourceFormat;
use shardmill_common::schema::DataType;
use shardmill_common::text::{Dialect, Numbers, Ragged};

use super::parse;
use super::tests::task;

fn batch() -> RecordBatch {
    let strings: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("longer than a view holds")]));
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MIN)]));
    let of = Arc::new(ArrowField::new("n", ints.data_type().clone(), true));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i", ints.clone()),
        ("s", strings),
        ("f", Arc::new(Float64Array::from(vec![0.5, f64::NAN, -1.0]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("d", Arc::new(Decimal128Array::from(vec![1, -5, 10_i128.pow(18)]).with_precision_and_scale(20, 2).unwrap())),
        ("t", Arc::new(TimestampNanosecondArray::from(vec![1, 2, 3]).with_timezone("UTC"))),
        ("m", Arc::new(Time64MicrosecondArray::from(vec![0, 1, 86_399_999_999]))),
        ("x", Arc::new(BinaryArray::from(vec![&b"\xff"[..], b"", b"abc"]))),
        ("c", Arc::new(vec![Some("red"), None, Some("red")].into_iter().collect::<DictionaryArray<Int32Type>>())),
        (
            "l",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
                Some(vec![Some(1), None]),
                None,
                Some(vec![]),
            ])),
        ),
        ("r", Arc::new(StructArray::from(vec![(of, ints)]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

const NAMES: [&str; 11] = ["i", "s", "f", "b", "d", "t", "m", "x", "c", "l", "r"];

fn parquet() -> Vec<u8> {
    let batch = batch();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.flush().unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn arrow_file() -> Vec<u8> {
    let batch = batch();
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn arrow_stream() -> Vec<u8> {
    let batch = batch();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

/// Some bytes changed, left out, doubled, or taken from elsewhere.
fn mutated(bytes: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..6) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + rng.random_range(1..40)).min(bytes.len()))),
            4 => bytes.insert(at, *[b',', b'"', b'\n', 0, 0xff, b'{'].get(rng.random_range(0..6)).unwrap()),
            _ => {
                let from = rng.random_range(0..bytes.len());
                let piece = bytes[from..(from + 24).min(bytes.len())].to_vec();
                let to = (at + piece.len()).min(bytes.len());
                bytes.splice(at..to, piece);
            }
        }
    }
    bytes
}

#[test]
fn changed_files_make_rows_or_errors() {
    let many = std::env::var("SHARDMILL_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(150_u64);
    let text =
        b"1,a,0.5,2024-01-05,10:00,true\n2,\"b, \"\"c\"\"\nd\",1e3,2024-01-05 10:00:00.123456789,,\n,,,,,\n3,x\n"
            .to_vec();
    let json =
        b"{\"i\":1,\"s\":\"a\\u00e9\",\"n\":{\"x\":[1,2]}}\n{\"i\":2.5,\"s\":null,\"d\":\"2024-01-05\"}\n\n[1]\n"
            .to_vec();
    let columns = || ["i", "s", "f", "d", "t", "b"].map(|name| Some(name.to_owned())).to_vec();
    let numbers = Some(Numbers { decimal: ',', thousands: Some('.') });
    let odd = Dialect { ragged: Ragged::Fill, numbers, ..Dialect::default() };
    let csv = |dialect| SourceFormat::Csv { dialect, columns: columns() };
    let of_text = ["i", "s", "f", "d", "t", "b"];
    let cases: [(&str, Vec<u8>, SourceFormat, &[&str]); 6] = [
        ("parquet", parquet(), SourceFormat::Parquet, &NAMES),
        ("arrow file", arrow_file(), SourceFormat::Arrow, &NAMES),
        ("arrow stream", arrow_stream(), SourceFormat::Arrow, &NAMES),
        ("csv", text.clone(), csv(Dialect::default()), &of_text),
        ("csv of other numbers", text, csv(odd), &of_text),
        ("json", json, SourceFormat::JsonLines, &["i"]),
    ];
    for (what, bytes, format, names) in cases {
        let schema: Vec<(&str, DataType)> = names.iter().map(|name| (*name, DataType::Null)).collect();
        let task = task(format, &schema);
        assert!(parse(bytes.clone(), &task).unwrap().frame.height() > 0, "{what}");
        let (began, mut rows) = (Instant::now(), 0);
        for seed in 0..many {
            let mut rng = StdRng::seed_from_u64(seed);
            let changed = mutated(&bytes, &mut rng);
            let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| parse(changed, &task)));
            let read = read.unwrap_or_else(|_| panic!("{what}: seed {seed} is a panic"));
            rows += u64::from(read.is_ok_and(|parsed| parsed.frame.height() > 0));
        }
        println!("{what}: {many} changed, {rows} still had rows, {:?}", began.elapsed());
    }
}
