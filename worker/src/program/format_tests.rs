//! What programs read and what is read of them, in all three formats.

use polars::prelude::{Column, DataFrame, DataType as PolarsType, IntoColumn, NamedFrom, Series, TimeUnit, TimeZone};
use shardmill_common::kinds::mapreduce::step::Format;
use shardmill_common::schema::DataType;

use super::testing::{Bench, declared, numbers, program, shell, shown, texts};
use super::{Role, produced_schema};

use DataType::{Boolean, Date, Float64, Int64, String as Text};

/// Two rows, the second all null, of every type.
fn every_type() -> DataFrame {
    let time = |zone| {
        let ticks = Series::new("t".into(), [Some(1_709_204_400_000_001_i64), None]);
        ticks.cast(&PolarsType::Datetime(TimeUnit::Microseconds, zone)).unwrap()
    };
    let days = Series::new("d".into(), [Some(19_782_i32), None]).cast(&PolarsType::Date).unwrap();
    let columns: Vec<Column> = vec![
        Series::new("b".into(), [Some(true), None]).into_column(),
        Series::new("i".into(), [Some(-7_i64), None]).into_column(),
        Series::new("f".into(), [Some(0.1), None]).into_column(),
        days.into_column(),
        time(None).into_column(),
        time(Some(TimeZone::UTC)).with_name("u".into()).into_column(),
        Series::new("s".into(), [Some("é \"x\" \\"), None]).into_column(),
    ];
    DataFrame::new(2, columns).unwrap()
}

#[test]
fn cells_come_and_go_between_tabs() {
    let bench = Bench::new();
    let columns = [
        ("b", Boolean),
        ("i", Int64),
        ("f", Float64),
        ("d", Date),
        ("t", DataType::DATETIME),
        ("u", Text),
        ("s", Text),
    ];
    let cat = declared(program(Format::Tsv, "cat"), &columns);
    let rows = bench.rows(&cat, &[every_type()]).unwrap();
    assert_eq!(rows[0], "b:boolean i:int64 f:float64 d:date t:datetime u:string s:string");
    assert_eq!(rows[1], "true|-7|0.1|2024-02-29|2024-02-29 11:00:00.000001|2024-02-29 11:00:00.000001Z|é \"x\" \\");
    assert_eq!(rows[2], "~|~|~|~|~|~|~");
    // Nothing declared: a key and the rest.
    let rows = bench.rows(&program(Format::Tsv, "cut -f 2,5,6"), &[every_type()]).unwrap();
    let time = "2024-02-29 11:00:00.000001";
    assert_eq!(rows, ["key:string value:string", &format!("-7|{time}\t{time}Z"), "~|\t"]);
    let rows =
        bench.rows(&shell(Format::Tsv, "cat >/dev/null; printf 'a\\nb\\t\\n\\tc\\r\\n\\n'"), &[numbers(1)]).unwrap();
    assert_eq!(rows, ["key:string value:string", "a|~", "b|~", "~|c\r", "~|~"]);
}

#[test]
fn what_tabs_cannot_carry_is_refused() {
    let bench = Bench::new();
    let cat = program(Format::Tsv, "cat");
    let good = texts(&[("a", &[Some("x"), Some("y")]), ("b", &[None, Some("z")])]);
    let bad = texts(&[("a", &[Some("x"), Some("p\tq")]), ("b", &[Some("x"), Some("x")])]);
    let error = bench.error(&cat, &[good, bad]);
    assert!(
        error.starts_with("BadInput") && error.contains("row 4 of its input has a tab in the column `a`"),
        "{error}"
    );
    let error = bench.error(&cat, &[texts(&[("a", &[Some("x\ny")])])]);
    assert!(
        error.contains("row 1 of its input has a line break in the column `a`") && error.contains("jsonl"),
        "{error}"
    );
    // A lone column is the line, tabs and all.
    let rows = bench.rows(&declared(cat, &[("p", Text), ("q", Text)]), &[texts(&[("a", &[Some("p\tq")])])]).unwrap();
    assert_eq!(rows[1..], ["p|q"]);
}

#[test]
fn cells_that_do_not_fit_are_errors() {
    let bench = Bench::new();
    let rows = texts(&[("a", &[Some("1"), Some("2"), Some("x3")])]);
    let error = bench.error(&declared(program(Format::Tsv, "cat"), &[("n", Int64)]), std::slice::from_ref(&rows));
    assert!(error.contains("line 3 of its output: column `n`: `x3` is not an int64"), "{error}");
    let two = declared(program(Format::Tsv, "cat"), &[("n", Text), ("m", Text)]);
    let error = bench.error(&two, &[rows]);
    assert!(error.contains("line 1 of its output: expected 2 cells with tabs between them, found 1: `1`"), "{error}");
    let noise = shell(Format::Tsv, "cat >/dev/null; printf 'good\\nba\\377\\000d\\n'");
    let error = bench.error(&noise, &[numbers(1)]);
    assert!(error.contains("line 2 of its output is not text (UTF-8): `ba\\xff\\x00d`"), "{error}");
}

#[test]
fn objects_come_and_go() {
    let bench = Bench::new();
    let rows = bench.rows(&program(Format::Tsv, "cat"), &[texts(&[("k", &[])])]).unwrap();
    assert_eq!(rows, ["key:string value:string"]);
    // What is inferred at the end: the union of the keys, types joined, what is nested as text.
    let script = r#"cat; printf '{"i":1.5,"x":{"a":[1]},"y":null}\n'"#;
    let rows = bench.rows(&shell(Format::Jsonl, script), &[every_type()]).unwrap();
    assert_eq!(rows[0], "b:boolean i:float64 f:float64 d:date t:datetime u:datetime_utc s:string x:string y:null");
    assert_eq!(
        rows[1],
        "true|-7.0|0.1|2024-02-29|2024-02-29 11:00:00.000001|2024-02-29 11:00:00.000001 UTC|é \"x\" \\|~|~"
    );
    assert_eq!(rows[3], "~|1.5|~|~|~|~|~|{\"a\":[1]}|~");
    let typed = declared(program(Format::Jsonl, "cat"), &[("i", Int64), ("s", Text)]);
    let error = bench.error(&typed, &[every_type()]);
    assert!(error.contains("line 1 of its output: the key `b` is not a column of the schema"), "{error}");
    let rows = bench.rows(&typed, &[every_type().select(["s", "i"]).unwrap()]).unwrap();
    assert_eq!(rows, ["i:int64 s:string", "-7|é \"x\" \\", "~|~"]);
    let not_finite = DataFrame::new(2, vec![Series::new("f".into(), [f64::NAN, f64::INFINITY]).into()]).unwrap();
    assert_eq!(bench.rows(&program(Format::Jsonl, "cat"), &[not_finite]).unwrap(), ["f:null", "~", "~"]);
    let error = bench.error(&shell(Format::Jsonl, "cat >/dev/null; echo '{\"a\":1}'; echo nonsense"), &[numbers(1)]);
    assert!(error.contains("line 2 of its output: not valid JSON") && error.contains("`nonsense`"), "{error}");
    let write = |text: &str| shell(Format::Jsonl, &format!("cat >/dev/null; echo '{text}'"));
    assert!(bench.error(&write("{"), &[numbers(1)]).contains("line 1 of its output: not valid JSON"));
    assert!(bench.error(&write("{}"), &[numbers(1)]).contains("the objects it wrote have no keys"));
    assert_eq!(bench.rows(&write(""), &[numbers(1)]).unwrap(), [] as [String; 0]);
}

#[test]
fn nothing_written_has_the_columns_that_are_known() {
    let bench = Bench::new();
    let quiet = |format| shell(format, "cat >/dev/null");
    assert_eq!(bench.rows(&quiet(Format::Tsv), &[numbers(3)]).unwrap(), ["key:string value:string"]);
    assert_eq!(bench.rows(&quiet(Format::Jsonl), &[numbers(3)]).unwrap(), [] as [String; 0]);
    assert_eq!(bench.rows(&quiet(Format::Arrow), &[numbers(3)]).unwrap(), [] as [String; 0]);
    for format in [Format::Tsv, Format::Jsonl, Format::Arrow] {
        let quiet = declared(quiet(format), &[("n", Int64)]);
        assert_eq!(bench.rows(&quiet, &[numbers(3)]).unwrap(), ["n:int64"]);
        assert_eq!(bench.rows(&quiet, &[]).unwrap(), ["n:int64"]);
    }
}

#[test]
fn lines_of_a_map_reach_the_reduce_as_they_were() {
    let mut bench = Bench::new();
    bench.keys = vec!["k".into(), "m".into()];
    bench.role = Role::Map { reduced: true };
    let jsonl = program(Format::Jsonl, "cat");
    let schema = produced_schema(&jsonl, bench.role, &bench.keys).unwrap();
    assert_eq!(schema.names_joined(), "k, m, line");
    let lines = [r#"{"x":1.50,"k":"a\u00e9", "m":7}"#, r#"{"m":null,"k":false}"#, "", r#"{}"#];
    let script = format!("cat >/dev/null; printf '%s\\n' {}", lines.map(|l| format!("'{l}'")).join(" "));
    let (frames, _) = bench.frames(&shell(Format::Jsonl, &script), &[numbers(1)]).unwrap();
    assert_eq!(crate::frame::schema_of(&frames[0]).unwrap(), schema);
    let expected = [&format!("aé|7|{}", lines[0]), "false|~|{\"m\":null,\"k\":false}", "~|~|{}"];
    assert_eq!(shown(&frames[0])[1..], expected);
    // The reduce sees the lines, not columns; and columns where they are no such lines.
    bench.role = Role::Reduce;
    let count = shell(Format::Jsonl, "grep -c 1.50 | sed 's/.*/{\"n\":&}/'");
    assert_eq!(bench.rows(&count, &frames).unwrap(), ["n:int64", "1"]);
    let other = texts(&[("k", &[Some("b")]), ("m", &[None]), ("line", &[Some("{\"k\":\"c\"}")])]);
    let rows = bench.rows(&jsonl, &[other]).unwrap();
    assert_eq!(rows, ["k:string m:null line:string", "b|~|{\"k\":\"c\"}"]);
    bench.keys = vec!["line".into()];
    bench.role = Role::Map { reduced: true };
    assert!(bench.error(&jsonl, &[numbers(1)]).contains("a key called `line`"));
    bench.keys = vec!["k".into()];
    let error = bench.error(&shell(Format::Jsonl, "cat >/dev/null; echo '{\"k\":[1]}'"), &[numbers(1)]);
    assert!(error.contains("line 1 of its output: the key `k` holds a list"), "{error}");
}

#[test]
fn arrow_streams_come_and_go() {
    let bench = Bench::new();
    let cat = program(Format::Arrow, "cat");
    let rows = bench.rows(&cat, &[every_type(), every_type()]).unwrap();
    assert_eq!(rows, shown(&every_type().vstack(&every_type()).unwrap()));
    assert_eq!(bench.rows(&cat, &[every_type().clear()]).unwrap(), shown(&every_type().clear()));
    // Many batches, in order.
    let many = numbers(300_000);
    assert_eq!(bench.rows(&cat, std::slice::from_ref(&many)).unwrap(), shown(&many));
    let typed = declared(program(Format::Arrow, "cat"), &[("n", Float64)]);
    assert_eq!(bench.rows(&typed, &[numbers(2)]).unwrap(), ["n:float64", "0.0", "1.0"]);
    let error = bench.error(&declared(program(Format::Arrow, "cat"), &[("m", Int64)]), &[numbers(2)]);
    assert!(error.contains("lacks the declared column `m`: it has n"), "{error}");
    let error = bench.error(&typed, &[texts(&[("n", &[Some("1"), Some("x")])])]);
    assert!(error.contains("row 2 of its output: column `n`: `x` is not a float64"), "{error}");
}

#[test]
fn what_is_no_arrow_stream_is_refused() {
    let bench = Bench::new();
    let run = |script: &str| bench.error(&shell(Format::Arrow, &format!("cat >/dev/null; {script}")), &[numbers(1)]);
    let error = run("echo hello there");
    assert!(error.contains("is not a valid Arrow IPC stream: it starts with `hello there`"), "{error}");
    assert!(run("printf 'ARROW1\\000\\000xxxx'").contains("it is an Arrow file; write a stream"));
    assert!(run("printf '\\377\\377\\377\\377\\377\\377\\377\\177'").contains("impossible size"));
    assert!(run("printf '\\377\\377\\377\\377\\020\\000\\000\\000abcdefghijklmnop'").contains("not a valid Arrow"));
    // Cut short, and with bytes changed: an error or other values, never a crash.
    let stream = bench.worker.folder.path().join("stream");
    let mut bytes = Vec::new();
    {
        use polars::prelude::{CompatLevel, IpcStreamWriter, SerWriter};
        let frame = &mut every_type();
        IpcStreamWriter::new(&mut bytes).with_compat_level(CompatLevel::oldest()).finish(frame).unwrap();
    }
    let read = |bytes: &[u8]| {
        let mut rows = 0;
        let mut output = super::read::Output::new(bytes, 1 << 30);
        let ended = super::read::read(&mut output, &super::read::Expected::Arrow(None), &stream, &mut |f| {
            rows += f.height();
            Ok(())
        });
        ended.map(|()| rows)
    };
    assert_eq!(read(&bytes).unwrap(), 2);
    // An end that is not marked is an end; everything else that is missing is missed.
    let whole = bytes.len() - 8;
    for cut in (1..whole).step_by(7) {
        let ended = read(&bytes[..cut]);
        assert!(ended.is_err() || ended.is_ok_and(|rows| rows == 0), "{cut}");
    }
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            drop(read(&changed));
        }
    }
}
