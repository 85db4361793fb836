//! Small texts and what becomes of each of their records.

use polars::prelude::{AnyValue, DataType as PolarsType};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::ingest::{BytesAs, Chunk, ChunkPlace, Constant, Fixed, ParseTask, SourceFormat};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::text::{Dialect, Encoding, Numbers, Ragged};

use super::{Parsed, parse};

use DataType::{Boolean, Date, Float64, Int64, Null, String as Text};

pub(super) fn task(format: SourceFormat, schema: &[(&str, DataType)]) -> ParseTask {
    ParseTask {
        chunk: Chunk {
            source: 0,
            place: ChunkPlace::File { path: String::new(), offset: 0 },
            bytes: 0,
            first_line: 2,
            groups: None,
        },
        source_name: "people".to_owned(),
        format: format.into(),
        schema: Schema::new(schema.iter().map(|(name, dtype)| Field::new(*name, *dtype)).collect()).into(),
        fixed: Fixed::None,
        bytes: BytesAs::Binary,
        nulls: vec!["NA".to_owned()].into(),
        wanted: None,
        constants: None,
        rules: vec![].into(),
        statistics: vec![].into(),
        expects: Schema::default().into(),
        ordinal: 0,
        hash: None,
    }
}

fn csv(schema: &[(&str, DataType)]) -> ParseTask {
    let columns = schema.iter().map(|(name, _)| Some((*name).to_owned())).collect();
    task(SourceFormat::Csv { dialect: Dialect::default(), columns }, schema)
}

fn json(schema: &[(&str, DataType)]) -> ParseTask {
    task(SourceFormat::JsonLines, schema)
}

fn fixed(mut task: ParseTask) -> ParseTask {
    task.fixed = Fixed::All;
    task
}

/// A column as text; `~` is null.
pub(super) fn cells(parsed: &Parsed, name: &str) -> Vec<String> {
    let column = parsed.frame.column(name).unwrap();
    (0..column.len())
        .map(|row| match column.get(row).unwrap() {
            AnyValue::Null => "~".to_owned(),
            value => value.str_value().into_owned(),
        })
        .collect()
}

pub(super) fn types(parsed: &Parsed) -> Vec<String> {
    let of_frame = crate::frame::schema_of(&parsed.frame).unwrap();
    assert_eq!(of_frame, parsed.observed);
    of_frame.fields.iter().map(|f| format!("{}:{}", f.name, f.dtype)).collect()
}

pub(super) fn rejected(parsed: &Parsed) -> Vec<(u64, &str, &str)> {
    parsed.rejected.iter().map(|r| (r.line, r.raw.as_str(), r.reason.as_str())).collect()
}

#[test]
fn every_type_is_read() {
    let schema = [
        ("b", Boolean),
        ("i", Int64),
        ("f", Float64),
        ("d", Date),
        ("t", DataType::DATETIME),
        ("u", DataType::DATETIME_UTC),
        ("s", Text),
        ("n", Null),
    ];
    let text = "true,-1,1.50,2024-02-29,2024-02-29 10:00,2024-02-29T10:00:00+01:00,short,\r\n\
                FALSE,NA,nan,,2024-02-29,,a value longer than twelve bytes,\r\n\
                \"true\",\"7\",\"2\",\"2024-03-01\",\"\",\"\",\"\",\"\"";
    let parsed = parse(text.as_bytes().to_vec(), &csv(&schema)).unwrap();
    assert_eq!(rejected(&parsed), []);
    assert_eq!((parsed.rows_read, parsed.frame.shape()), (3, (3, 8)));
    for (name, dtype) in schema {
        assert_eq!(parsed.frame.column(name).unwrap().dtype(), &crate::frame::polars_type(dtype), "{name}");
    }
    assert_eq!(cells(&parsed, "b"), ["true", "false", "true"]);
    assert_eq!(cells(&parsed, "i"), ["-1", "~", "7"]);
    assert_eq!(cells(&parsed, "f"), ["1.5", "NaN", "2.0"]);
    assert_eq!(cells(&parsed, "d"), ["2024-02-29", "~", "2024-03-01"]);
    assert_eq!(cells(&parsed, "t"), ["2024-02-29 10:00:00", "2024-02-29 00:00:00", "~"]);
    assert_eq!(cells(&parsed, "u"), ["2024-02-29 09:00:00 UTC", "~", "~"]);
    assert_eq!(cells(&parsed, "s"), ["short", "a value longer than twelve bytes", ""]);
    assert_eq!(cells(&parsed, "n"), ["~", "~", "~"]);
}

#[test]
fn quoted_cells() {
    let text = "\"a \"\"doubled\"\" quote in text\",\"two\nlines\"\r\n\"NA\",x\"y\n\n\"\"\"\",NA\n";
    let parsed = parse(text.as_bytes().to_vec(), &csv(&[("a", Text), ("b", Text)])).unwrap();
    assert_eq!(cells(&parsed, "a"), ["a \"doubled\" quote in text", "~", "\""]);
    assert_eq!(cells(&parsed, "b"), ["two\nlines", "x\"y", "~"]);
    assert_eq!(parsed.origin(0), (2, "\"a \"\"doubled\"\" quote in text\",\"two\nlines\"".to_owned()));
    assert_eq!(parsed.origin(2), (6, "\"\"\"\",NA".to_owned()));
}

#[test]
fn records_that_make_no_row() {
    let mut text = b"1,a\n2\n3,b,c\n4,\"x\"y\n5,\xff\n\n6,\"open\n7,c".to_vec();
    let schema = [("n", Int64), ("s", Text)];
    let parsed = parse(text.clone(), &csv(&schema)).unwrap();
    let expected = [
        (3, "2", "expected 2 fields, found 1"),
        (4, "3,b,c", "expected 2 fields, found 3"),
        (5, "4,\"x\"y", "text after a closing quote"),
        (6, "5,\u{fffd}", "not valid UTF-8: byte 0xFF behind 2 characters"),
        (8, "6,\"open", "a quote opened here never closes"),
    ];
    assert_eq!(rejected(&parsed), expected);
    assert_eq!(
        (cells(&parsed, "n"), cells(&parsed, "s")),
        (vec!["1".into(), "7".into()], vec!["a".into(), "c".into()])
    );
    assert_eq!(parsed.rows_read, 7);
    assert_eq!(parsed.origin(1), (9, "7,c".to_owned()));
    // With a fixed schema cells are rejected too, in the order of the source.
    text.splice(0..0, *b"x,a\n9,a\n");
    let parsed = parse(text, &fixed(csv(&schema))).unwrap();
    assert_eq!(rejected(&parsed)[0], (2, "x,a", "column `n`: `x` is not an int64"));
    assert_eq!(rejected(&parsed)[1].0, 5);
    assert_eq!(cells(&parsed, "n"), ["9", "1", "7"]);
    assert_eq!(parsed.origin(2), (11, "7,c".to_owned()));
    assert_eq!(parsed.rows_read, 9);
}

#[test]
fn the_first_bad_cell_names_the_reason() {
    let task = fixed(csv(&[("a", Int64), ("b", Date), ("c", Float64)]));
    let parsed = parse(b"1,soon,007\n1,2024-01-01,9007199254740993\n".to_vec(), &task).unwrap();
    assert_eq!(rejected(&parsed), [(2, "1,soon,007", "column `b`: `soon` is not a date")]);
    let rounded = parsed.frame.column("c").unwrap().f64().unwrap().get(0);
    assert_eq!(rounded, Some(9_007_199_254_740_992.0));
    let parsed = parse(b"x,,\n".to_vec(), &task).unwrap();
    assert_eq!((parsed.frame.shape(), parsed.rejected.len()), ((0, 3), 1));
}

#[test]
fn widening_keeps_the_text() {
    let schema = [("id", Int64), ("x", Int64), ("f", Float64), ("d", Date), ("big", Int64), ("n", Null), ("ok", Int64)];
    let mut text = String::new();
    for n in 0..3000 {
        text.push_str(&format!("{n},{n},1.50,2024-01-01,9007199254740993,,{n}\n"));
    }
    text.push_str("007,2.5,x,2024-01-01 01:00,0.5,12,1\n");
    let parsed = parse(text.into_bytes(), &csv(&schema)).unwrap();
    assert_eq!(
        types(&parsed),
        ["id:string", "x:float64", "f:string", "d:datetime", "big:string", "n:int64", "ok:int64"]
    );
    assert_eq!(parsed.frame.height(), 3001);
    assert_eq!(cells(&parsed, "id")[2998..], ["2998", "2999", "007"]);
    assert_eq!(cells(&parsed, "x")[2999..], ["2999.0", "2.5"]);
    assert_eq!(cells(&parsed, "f")[2999..], ["1.50", "x"]);
    assert_eq!(cells(&parsed, "d")[2999..], ["2024-01-01 00:00:00", "2024-01-01 01:00:00"]);
    assert_eq!(cells(&parsed, "big")[2999..], ["9007199254740993", "0.5"]);
    assert_eq!(cells(&parsed, "n")[2999..], ["~", "12"]);
}

#[test]
fn many_batches_with_nulls_in_their_places() {
    let mut text = String::new();
    for n in 0..10_000 {
        let (a, b) =
            if n % 3 == 0 { (String::new(), "NA".to_owned()) } else { (n.to_string(), format!("value number {n}")) };
        text.push_str(&format!("{a},{b},{n}\n"));
    }
    let parsed = parse(text.into_bytes(), &csv(&[("a", Int64), ("b", Text), ("c", Int64)])).unwrap();
    let (a, b, c) = (cells(&parsed, "a"), cells(&parsed, "b"), cells(&parsed, "c"));
    for n in 0..10_000 {
        let expected =
            if n % 3 == 0 { ["~".to_owned(), "~".to_owned()] } else { [n.to_string(), format!("value number {n}")] };
        assert_eq!([&a[n], &b[n]], [&expected[0], &expected[1]]);
        assert_eq!(c[n], n.to_string());
    }
    assert_eq!(parsed.origin(9_999), (10_001, ",NA,9999".to_owned()));
}

#[test]
fn columns_by_name_and_missing_ones() {
    let columns = vec![Some("b".to_owned()), Some("a".to_owned())];
    let format = SourceFormat::Csv { dialect: Dialect { delimiter: b';', quote: None, ..Dialect::default() }, columns };
    let parsed = parse(b"\"x;1\n".to_vec(), &task(format.clone(), &[("a", Int64), ("b", Text), ("c", Date)])).unwrap();
    assert_eq!(types(&parsed), ["a:int64", "b:string", "c:date"]);
    assert_eq!((cells(&parsed, "b"), cells(&parsed, "c")), (vec!["\"x".to_owned()], vec!["~".to_owned()]));
    let unknown = parse(b"1;2\n".to_vec(), &task(format, &[("a", Int64)])).unwrap_err();
    assert!(matches!(unknown, Failure::Internal { .. }));
}

#[test]
fn rows_are_brought_to_the_number_of_columns() {
    let dialect = Dialect { ragged: Ragged::Fill, ..Dialect::default() };
    let columns = vec![Some("a".to_owned()), None, Some("c".to_owned())];
    let task = task(SourceFormat::Csv { dialect, columns }, &[("a", Int64), ("c", Text)]);
    let parsed = parse(b"1,x,y\n2\n3,\"z\",\"\",,\"\"\n4,,,5\n\n6,7,\n".to_vec(), &task).unwrap();
    assert_eq!(cells(&parsed, "a"), ["1", "2", "3", "6"]);
    assert_eq!(cells(&parsed, "c"), ["y", "~", "", "~"]);
    assert_eq!(rejected(&parsed), [(5, "4,,,5", "expected 3 fields, found 4")]);
    let [filled, cut, swallowing] = &parsed.odd;
    assert_eq!((filled.records, filled.first.as_deref()), (1, Some("people:3")));
    assert_eq!((cut.records, cut.first.as_deref()), (1, Some("people:4")));
    assert!(swallowing.is_none());
}

#[test]
fn a_quote_that_swallows_rows_is_noticed() {
    let columns = &[("a", Text), ("b", Text), ("c", Text), ("d", Text)];
    let text = b"1,\"two\nlines, of prose\",3,4\n5,\"x,6,7\n8,y,9,10\n11,z\",1,2\n".to_vec();
    let parsed = parse(text, &csv(columns)).unwrap();
    assert_eq!((parsed.odd[2].records, parsed.odd[2].first.as_deref()), (1, Some("people:4")));
    let spoilt = parse(b"1,\"x,6,7\n8,\"y\",9,10\n".to_vec(), &csv(columns)).unwrap();
    let reason = &spoilt.rejected[0].reason;
    assert!(reason.contains("2 lines are in the record"), "{reason}");
}

#[test]
fn numbers_of_another_notation() {
    let numbers = Some(Numbers { decimal: ',', thousands: Some('.') });
    let dialect = Dialect { delimiter: b';', numbers, ..Dialect::default() };
    let format = SourceFormat::Csv { dialect, columns: ["x", "n", "t"].map(|c| Some(c.to_owned())).to_vec() };
    let text = b"1.234,5;1.000;a 1,5\n-2;NA;3,5\n".to_vec();
    let parsed = parse(text.clone(), &task(format.clone(), &[("x", Null), ("n", Null), ("t", Null)])).unwrap();
    assert_eq!(types(&parsed), ["x:float64", "n:int64", "t:string"]);
    assert_eq!(
        (cells(&parsed, "x"), cells(&parsed, "n")),
        (vec!["1234.5".into(), "-2.0".into()], vec!["1000".into(), "~".into()])
    );
    assert_eq!(cells(&parsed, "t"), ["a 1,5", "3,5"]);
    let parsed = parse(text, &fixed(task(format, &[("x", Int64), ("n", Float64), ("t", Text)]))).unwrap();
    assert_eq!(rejected(&parsed), [(2, "1.234,5;1.000;a 1,5", "column `x`: `1.234,5` is not an int64")]);
}

#[test]
fn columns_of_the_path_have_one_value() {
    let mut task = csv(&[("a", Int64)]);
    let schema = [("a", Int64), ("year", Int64), ("city", Text), ("none", Text)];
    task.schema = Schema::new(schema.iter().map(|(name, dtype)| Field::new(*name, *dtype)).collect()).into();
    let constant = |column: &str, value: Option<&str>| Constant { column: column.into(), value: value.map(Into::into) };
    task.constants =
        Some(vec![constant("year", Some("2024")), constant("city", Some("Rome")), constant("none", None)].into());
    let parsed = parse(b"1\n2\n".to_vec(), &task).unwrap();
    assert_eq!(
        (cells(&parsed, "year"), cells(&parsed, "city")),
        (vec!["2024"; 2].into_iter().map(Into::into).collect(), vec!["Rome".to_owned(); 2])
    );
    assert_eq!(cells(&parsed, "none"), ["~", "~"]);
    task.constants = Some(vec![constant("year", Some("x"))].into());
    assert!(parse(b"1\n".to_vec(), &task).unwrap_err().to_string().contains("is not an int64"));
}

#[test]
fn latin1_is_transcoded() {
    let dialect = Dialect { encoding: Encoding::Windows1252, ..Dialect::default() };
    let format = SourceFormat::Csv { dialect, columns: vec![Some("s".to_owned()), Some("n".to_owned())] };
    let parsed =
        parse(b"caf\xe9 au lait \xe0 Paris,1\n\xff,x\n".to_vec(), &fixed(task(format, &[("s", Text), ("n", Int64)])))
            .unwrap();
    assert_eq!(cells(&parsed, "s"), ["café au lait à Paris"]);
    assert_eq!(rejected(&parsed), [(3, "ÿ,x", "column `n`: `x` is not an int64")]);
    assert_eq!(parsed.origin(0), (2, "café au lait à Paris,1".to_owned()));
}

#[test]
fn nothing_makes_no_rows() {
    for text in ["", "\n", "\r\n\n"] {
        let parsed = parse(text.into(), &csv(&[("a", Int64), ("s", Text)])).unwrap();
        assert_eq!((parsed.frame.shape(), parsed.rows_read), ((0, 2), 0));
        assert_eq!(types(&parsed), ["a:int64", "s:string"]);
    }
}

#[test]
fn json_lines_are_typed_by_key() {
    let text = r#"{"i":1,"f":1.5,"b":true,"s":"a \"quoted\" value","d":"2024-01-01","o":{"k":[1, "}"]}}
{"s":"NA","f":2,"i":null,"d":null}

{"s":"","i":"","o":[1],"b":false}
"#;
    let schema = [("i", Int64), ("f", Float64), ("b", Boolean), ("s", Text), ("d", Date), ("o", Text)];
    let parsed = parse(text.as_bytes().to_vec(), &json(&schema)).unwrap();
    assert_eq!(types(&parsed), ["i:int64", "f:float64", "b:boolean", "s:string", "d:date", "o:string"]);
    assert_eq!(cells(&parsed, "i"), ["1", "~", "~"]);
    assert_eq!(cells(&parsed, "f"), ["1.5", "2.0", "~"]);
    assert_eq!(cells(&parsed, "b"), ["true", "~", "false"]);
    assert_eq!(cells(&parsed, "s"), ["a \"quoted\" value", "~", ""]);
    assert_eq!(cells(&parsed, "d"), ["2024-01-01", "~", "~"]);
    assert_eq!(cells(&parsed, "o"), [r#"{"k":[1, "}"]}"#, "~", "[1]"]);
    assert_eq!(parsed.origin(2).0, 5);
}

#[test]
fn json_lines_that_make_no_row() {
    let text = b"{\"a\":1}\n{\"a\":\n[1]\n{\"a\":1,\"a\":2}\n{\"b\":1}\n{\"a\":\"x\"}\n{\"a\":\"\\ud800\"}\n{\"a\":\"\xff\"}\n";
    let parsed = parse(text.to_vec(), &fixed(json(&[("a", Int64)]))).unwrap();
    assert_eq!(cells(&parsed, "a"), ["1"]);
    let expected = [
        (3, r#"{"a":"#, "not valid JSON: EOF while parsing a value at column 5"),
        (4, "[1]", "not a JSON object"),
        (5, r#"{"a":1,"a":2}"#, "the key `a` appears twice"),
        (6, r#"{"b":1}"#, "the key `b` is not a column of the schema"),
        (7, r#"{"a":"x"}"#, "column `a`: `x` is not an int64"),
        (8, r#"{"a":"\ud800"}"#, "not valid JSON: the value of `a` has half a surrogate pair"),
        (9, "{\"a\":\"\u{fffd}\"}", "not valid UTF-8"),
    ];
    assert_eq!(rejected(&parsed), expected);
    assert_eq!(parsed.rows_read, 8);
}

#[test]
fn json_widens_and_finds_keys() {
    let text = "{\"a\":1.50,\"b\":1}\n{\"a\":\"5\",\"b\":2.5,\"new\":\"2024-01-01\"}\n{\"a\":7,\"a\":8,\"new\":null}\n";
    let parsed = parse(text.as_bytes().to_vec(), &json(&[("a", Float64), ("b", Int64)])).unwrap();
    assert_eq!(types(&parsed), ["a:string", "b:float64", "new:date"]);
    assert_eq!(cells(&parsed, "a"), ["1.50", "5"]);
    assert_eq!(cells(&parsed, "b"), ["1.0", "2.5"]);
    assert_eq!(cells(&parsed, "new"), ["~", "2024-01-01"]);
    assert_eq!(parsed.rejected.len(), 1);
    assert_eq!(parsed.frame.column("new").unwrap().dtype(), &PolarsType::Date);
}
