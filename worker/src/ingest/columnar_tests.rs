//! Parquet and Arrow round trips, the mapping of types, and damaged files.

use std::io::Cursor;

use polars::prelude::{
    Categories, Column, CompatLevel, DataFrame, DataType as PolarsType, IntoColumn, IpcStreamWriter, IpcWriter,
    NamedFrom, ParquetWriter, SchemaExt, SerWriter, Series, TimeUnit, TimeZone,
};
use polars_arrow::io::ipc::write::default_ipc_fields;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::ingest::{BytesAs, Fixed, ParseTask, SourceFormat};
use shardmill_common::schema::DataType;

use super::tests::{cells, rejected, task, types};
use super::{Parsed, parse};

use DataType::{Boolean, Date, Float64, Int64, Null, String as Text};

fn column<T, P: ?Sized>(name: &str, values: T, dtype: &PolarsType) -> Column
where
    Series: NamedFrom<T, P>,
{
    Series::new(name.into(), values).cast(dtype).unwrap().into_column()
}

fn frame() -> DataFrame {
    let zone = TimeZone::opt_try_new(Some("Europe/Berlin")).unwrap();
    DataFrame::new_infer_height(vec![
        column("i8", [Some(1), None, Some(-3)], &PolarsType::Int8),
        column("u32", [1, 2, 3], &PolarsType::UInt32),
        column("u64", [1, 2, 3], &PolarsType::UInt64),
        column("f32", [0.5, 1.5, -2.0], &PolarsType::Float32),
        column("b", [true, false, true], &PolarsType::Boolean),
        column("d", [0, 1, 2], &PolarsType::Date),
        column("ns", [1_000i64, 2_000, 3_000], &PolarsType::Datetime(TimeUnit::Nanoseconds, None)),
        column("ms", [1i64, 2, 3], &PolarsType::Datetime(TimeUnit::Milliseconds, zone)),
        column("c", ["red", "green", "red"], &PolarsType::from_categories(Categories::global())),
        column("s", ["x", "y", "a longer value than that"], &PolarsType::String),
    ])
    .unwrap()
}

const SCHEMA: [(&str, DataType); 11] = [
    ("i8", Int64),
    ("u32", Float64),
    ("u64", Int64),
    ("f32", Float64),
    ("b", Boolean),
    ("d", DataType::DATETIME),
    ("ns", DataType::DATETIME),
    ("ms", DataType::DATETIME_UTC),
    ("c", Null),
    ("s", Null),
    ("missing", Int64),
];

fn parquet(frame: &mut DataFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).with_row_group_size(Some(1)).finish(frame).unwrap();
    bytes
}

fn check(parsed: &Parsed) {
    let expected = "i8:int64 u32:float64 u64:int64 f32:float64 b:boolean d:datetime ns:datetime ms:datetime_utc c:string s:string missing:int64";
    assert_eq!(types(parsed).join(" "), expected);
    assert_eq!(cells(parsed, "i8"), ["1", "~", "-3"]);
    assert_eq!(cells(parsed, "u32"), ["1.0", "2.0", "3.0"]);
    assert_eq!(cells(parsed, "f32"), ["0.5", "1.5", "-2.0"]);
    assert_eq!(cells(parsed, "d")[1], "1970-01-02 00:00:00");
    assert_eq!(cells(parsed, "ns")[0], "1970-01-01 00:00:00.000001");
    assert_eq!(cells(parsed, "ms")[0], "1970-01-01 00:00:00.001 UTC");
    assert_eq!(cells(parsed, "c"), ["red", "green", "red"]);
    assert_eq!(cells(parsed, "s")[2], "a longer value than that");
    assert_eq!(cells(parsed, "missing"), ["~", "~", "~"]);
    assert_eq!((parsed.rows_read, parsed.rejected.len()), (3, 0));
}

#[test]
fn every_format_reads_the_same() {
    check(&parse(parquet(&mut frame()), &task(SourceFormat::Parquet, &SCHEMA)).unwrap());
    let arrow = task(SourceFormat::Arrow, &SCHEMA);
    let mut file = Cursor::new(Vec::new());
    IpcWriter::new(&mut file).finish(&mut frame()).unwrap();
    check(&parse(file.into_inner(), &arrow).unwrap());
    let mut stream = Vec::new();
    IpcStreamWriter::new(&mut stream).finish(&mut frame()).unwrap();
    check(&parse(stream, &arrow).unwrap());
}

fn groups(format: SourceFormat, range: (u64, u64)) -> ParseTask {
    let mut task = task(format, &SCHEMA);
    task.chunk.groups = Some(range);
    task
}

#[test]
fn row_groups_and_batches() {
    let whole = frame().drop("c").unwrap();
    let fields: Vec<_> = whole.schema().iter_fields().map(|f| f.to_arrow(CompatLevel::newest())).collect();
    let fields = default_ipc_fields(fields.iter());
    let mut file = Cursor::new(Vec::new());
    let mut writer = IpcWriter::new(&mut file).batched(whole.schema(), fields).unwrap();
    (0..3).for_each(|row| writer.write_batch(&whole.slice(row, 1)).unwrap());
    writer.finish().unwrap();
    let arrow = file.into_inner();
    for (format, bytes, last) in
        [(SourceFormat::Parquet, parquet(&mut frame()), (2, 3)), (SourceFormat::Arrow, arrow, (2, 3))]
    {
        let parsed = parse(bytes.clone(), &groups(format.clone(), last)).unwrap();
        assert_eq!(cells(&parsed, "u64"), ["3"]);
        let (line, raw) = parsed.origin(0);
        assert!(
            line == 3 && raw.starts_with("i8=-3, u32=3,") && raw.ends_with("s=a longer value than that"),
            "{line} {raw}"
        );
        let parsed = parse(bytes.clone(), &groups(format.clone(), (0, last.0))).unwrap();
        assert_eq!(cells(&parsed, "u64"), ["1", "2"]);
        assert!(matches!(parse(bytes, &groups(format, (1, 9))), Err(Failure::BadInput { .. })));
    }
}

#[test]
fn floats_made_text_keep_their_digits() {
    let values = [0.1, 9_007_199_254_740_992.0, 1.0 / 3.0];
    let parsed = one(column("x", values, &PolarsType::Float64), Text, false).unwrap();
    let back: Vec<f64> = cells(&parsed, "x").iter().map(|c| c.parse().unwrap()).collect();
    assert_eq!(back, values);
    let parsed = one(column("x", [0.1 + 0.2], &PolarsType::Float64), Int64, true).unwrap();
    assert_eq!(rejected(&parsed), [(1, "x=0.30000000000000004", "column `x`: `0.30000000000000004` is not an int64")]);
}

fn one(column: Column, dtype: DataType, fixed: bool) -> Result<Parsed, Failure> {
    let mut task = task(SourceFormat::Parquet, &[("x", dtype)]);
    if fixed {
        task.fixed = Fixed::All;
    }
    parse(parquet(&mut DataFrame::new_infer_height(vec![column]).unwrap()), &task)
}

fn message(result: Result<Parsed, Failure>) -> String {
    match result {
        Err(Failure::BadInput { message }) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fixed_schema_rejects_rows_that_do_not_fit() {
    let parsed = one(column("x", [1.0, 1.5, f64::NAN, 3.0], &PolarsType::Float64), Int64, true).unwrap();
    assert_eq!(cells(&parsed, "x"), ["1", "3"]);
    assert_eq!(
        rejected(&parsed),
        [(2, "x=1.5", "column `x`: `1.5` is not an int64"), (3, "x=NaN", "column `x`: `NaN` is not an int64"),]
    );
    assert_eq!(parsed.origin(1).0, 4);
    let texts = column("x", [Some("2024-01-01"), None, Some("soon")], &PolarsType::String);
    let parsed = one(texts, Date, true).unwrap();
    assert_eq!(
        (cells(&parsed, "x"), types(&parsed)),
        (vec!["2024-01-01".into(), "~".into()], vec!["x:date".to_owned()])
    );
    let why = message(one(column("x", [true], &PolarsType::Boolean), Date, true));
    assert_eq!(why, "people: column `x` has the type bool, and the schema says date");
    let parsed = one(column("x", [vec![0x61u8]], &PolarsType::Binary), Text, true);
    assert_eq!(cells(&parsed.unwrap(), "x"), ["61"]);
}

#[test]
fn without_a_fixed_schema_columns_widen() {
    let parsed = one(column("x", [1, 2], &PolarsType::Int16), Float64, false).unwrap();
    assert_eq!(cells(&parsed, "x"), ["1.0", "2.0"]);
    let parsed = one(column("x", [9_007_199_254_740_993i64], &PolarsType::Int64), Float64, false).unwrap();
    assert_eq!((cells(&parsed, "x"), types(&parsed)), (vec!["9007199254740993".into()], vec!["x:string".to_owned()]));
    let parsed = one(column("x", [0, 1], &PolarsType::Date), Int64, false).unwrap();
    assert_eq!(cells(&parsed, "x"), ["1970-01-01", "1970-01-02"]);
    let parsed = one(Column::full_null("x".into(), 2, &PolarsType::Int64), Date, false).unwrap();
    assert_eq!(types(&parsed), ["x:string"]);
}

#[test]
fn values_decide_where_the_type_does_not() {
    let shown = |parsed: &Parsed| (cells(parsed, "x"), types(parsed).concat());
    let nanos = |ticks: [i64; 2]| column("x", ticks, &PolarsType::Datetime(TimeUnit::Nanoseconds, None));
    let parsed = one(nanos([1_001, 0]), DataType::DATETIME, false).unwrap();
    assert_eq!(types(&parsed), ["x:datetime_ns"]);
    assert_eq!(types(&one(nanos([1_000, 0]), DataType::DATETIME, false).unwrap()), ["x:datetime"]);
    assert_eq!(rejected(&one(nanos([1_001, 0]), DataType::DATETIME, true).unwrap()).len(), 1);
    let big = |most| Column::from(Series::new("x".into(), [u64::MAX, most]));
    let parsed = one(big(1), Int64, false).unwrap();
    assert_eq!(shown(&parsed), (vec!["18446744073709551615".into(), "1".into()], "x:decimal(20,0)".into()));
    assert!(parsed.observed.fields[0].beyond_float);
    // What is far from our days has no room among nanoseconds.
    let far = column("x", [253_402_300_799_000_000i64], &PolarsType::Datetime(TimeUnit::Microseconds, None));
    let parsed = one(far, DataType::Datetime(shardmill_common::schema::Unit::Nano), false).unwrap();
    assert_eq!(shown(&parsed), (vec!["9999-12-31 23:59:59".into()], "x:string".into()));
    let list = Column::from(Series::new("x".into(), [Series::new("".into(), [1i64, 2])]));
    assert_eq!(shown(&one(list, Text, false).unwrap()), (vec!["[1,2]".into()], "x:string".into()));
}

#[test]
fn bytes_become_what_was_asked_for() {
    let read = |bytes: &[u8], as_what| {
        let mut task = task(SourceFormat::Parquet, &[("x", DataType::Null)]);
        task.bytes = as_what;
        let column = column("x", [bytes.to_vec()], &PolarsType::Binary);
        parse(parquet(&mut DataFrame::new_infer_height(vec![column]).unwrap()), &task)
    };
    assert_eq!(types(&read(b"a", BytesAs::Binary).unwrap()), ["x:binary"]);
    assert_eq!(cells(&read(b"a", BytesAs::Text).unwrap(), "x"), ["a"]);
    assert_eq!(cells(&read(b"\x00\xff", BytesAs::Hex).unwrap(), "x"), ["00ff"]);
    let why = message(read(b"\xff", BytesAs::Text));
    assert!(why.contains("column `x` has bytes that are no UTF-8 text; --binary hex"), "{why}");
}

#[test]
fn damaged_files_are_the_users_fault() {
    let good = parquet(&mut frame());
    for format in [SourceFormat::Parquet, SourceFormat::Arrow] {
        for bytes in
            [vec![], b"ARROW1 and then nothing".to_vec(), b"a,b\n1,2\n".to_vec(), good[..good.len() / 2].to_vec()]
        {
            let why = message(parse(bytes, &task(format.clone(), &SCHEMA)));
            assert!(why.starts_with("people cannot be read as "), "{why}");
        }
    }
}

#[test]
fn unknown_columns_are_our_fault() {
    let result = parse(parquet(&mut frame()), &task(SourceFormat::Parquet, &SCHEMA[1..]));
    assert!(matches!(result, Err(Failure::Internal { .. })));
}
