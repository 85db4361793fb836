//! Tests of the first look into sources.

use std::io::Write;

use shardmill_common::text::{Delimiter, Numbers, Told};

use shardmill_common::kinds::ingest::Wanted;

use super::*;

fn look(name: &str, content: &[u8], options: &ReadOptions) -> Result<Inspected, FlowError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    inspect(Found::new(name.to_owned(), Origin::File(path)), options, &Pulse::default())
}

fn told(told: Told) -> ReadOptions {
    ReadOptions { told, ..Default::default() }
}

fn shown_schema(inspected: &Inspected) -> String {
    inspected.schema.fields.iter().map(|f| format!("{}={}", f.name, f.dtype)).collect::<Vec<_>>().join(",")
}

#[test]
fn headers_types_and_where_the_data_begins() {
    let got = look("a.csv", b"\xef\xbb\xbfid,\"na\nme\"\n1,x\n2,y\n", &ReadOptions::default()).unwrap();
    assert_eq!(shown_schema(&got), "id=int64,na\nme=string");
    assert!(matches!(got.body, Body::Text { offset: 14, first_line: 3, .. }));
    assert!(got.location.starts_with("file://") && got.location.ends_with("/a.csv"));
    let got = look("a.jsonl", b"{\"a\":1}\n{\"b\":true}\n", &ReadOptions::default()).unwrap();
    assert_eq!(shown_schema(&got), "a=int64,b=boolean");
}

#[test]
fn packed_text_is_looked_into() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"a;b\n1;2.5\n").unwrap();
    let packed = gz.finish().unwrap();
    let semicolon = told(Told { delimiter: Some(Delimiter::Byte(b';')), ..Told::default() });
    let got = look("a.csv.gz", &packed, &semicolon).unwrap();
    assert_eq!((got.packing, shown_schema(&got).as_str()), (Packing::Gzip, "a=int64,b=float64"));
    let short = look("a.csv.gz", &packed[..packed.len() - 9], &semicolon);
    assert!(short.err().unwrap().to_string().contains("cut short"));
}

#[test]
fn columns_without_a_header_are_numbered_or_named_by_the_schema() {
    let bare = told(Told { header: Some(false), ..Told::default() });
    assert_eq!(shown_schema(&look("a.csv", b"1,x\n", &bare).unwrap()), "column_1=int64,column_2=string");
    let schema = super::super::schema_option::parse("n=int64,t=string").unwrap();
    let named = ReadOptions { schema: Some(schema), ..bare };
    assert_eq!(shown_schema(&look("a.csv", b"1,x\n", &named).unwrap()), "n=int64,t=string");
    assert!(look("a.csv", b"1,x,y\n", &named).err().unwrap().to_string().contains("has 3 columns"));
}

/// What was read of a small source: columns, how it was read, notices.
fn read(name: &str, content: &[u8], options: &ReadOptions) -> (String, String, Vec<String>) {
    let got = look(name, content, options).unwrap();
    (shown_schema(&got), got.read_as.unwrap_or_default(), got.notices)
}

#[test]
fn texts_are_read_as_they_are_written() {
    let usual = ReadOptions::default();
    let (schema, read_as, notices) = read("a.csv", b"id;name;v\n1;ann;3,5\n2;bob;4,0\n3;cy;1,5\n", &usual);
    assert_eq!((schema.as_str(), read_as.as_str()), ("id=int64,name=string,v=string", "semicolon, header"));
    assert!(notices[0].contains("--decimal ,"), "{notices:?}");
    let german = ReadOptions { numbers: Some(Numbers { decimal: ',', thousands: None }), ..Default::default() };
    assert_eq!(read("a.csv", b"id;v\n1;3,5\n2;4,0\n", &german).0, "id=int64,v=float64");
    assert_eq!(read("a.csv", b"id,v\n1,caf\xe9\n2,\x80 5\n", &usual).1, "comma, header, windows-1252");
    let utf16: Vec<u8> = "\u{feff}id,na\u{ef}ve\n1,x\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read("a.csv", &utf16, &usual).0, "id=int64,na\u{ef}ve=string");
    let (schema, read_as, _) = read("a.csv", b"Report\n\nid,v\r\n1,2\r\n3,4\r\n", &usual);
    assert_eq!((schema.as_str(), read_as.as_str()), ("id=int64,v=int64", "comma, header, 2 lines skipped"));
    let error = look("a.csv", b"\xcf\xf0\xe8\xe2\xe5\xf2,1\n", &usual).err().unwrap().to_string();
    assert!(error.contains("line 1") && error.contains("0xCF") && error.contains("--encoding"), "{error}");
}

#[test]
fn headers_are_mended_and_told_unless_they_must_be_sound() {
    let usual = ReadOptions::default();
    let (schema, _, notices) = read("a.csv", b",a,a,\n0,1,x,\n1,2,y,\n", &usual);
    assert_eq!(schema, "index=int64,a=int64,a_2=string");
    assert_eq!(notices.len(), 3, "{notices:?}");
    assert_eq!(read("a.csv", b",a\n0,1\n", &ReadOptions { drop_unnamed: true, ..usual.clone() }).0, "a=int64");
    let strict = ReadOptions { strict: true, ..usual.clone() };
    for (text, part) in [(&b"a,,c\n1,2,3\n"[..], "column 2"), (b"a,b,a\n", "`a`")] {
        let error = look("a.csv", text, &strict).err().unwrap();
        assert!(error.to_string().contains(part) && error.is_mistake(), "{error}");
    }
    let some = ReadOptions { wanted: Wanted::Only(vec!["b".into()]), ..usual };
    let got = look("a.csv", b"a,b\n1,2\n", &some).unwrap();
    assert_eq!((shown_schema(&got).as_str(), got.left_out), ("b=int64", vec!["a".to_owned()]));
}

#[test]
fn json_of_any_layout() {
    let usual = ReadOptions::default();
    assert_eq!(read("a.json", b"[\n{\"a\":1},\n{\"b\":true}]\n", &usual).0, "a=int64,b=boolean");
    assert_eq!(read("a.json", b"{\n  \"a\": 1\n}\n", &usual).1, "JSON values");
    assert_eq!(read("a.jsonl", b"{\"a\": 1}\n", &usual).1, "JSON lines");
}

#[test]
fn sources_without_columns_are_refused() {
    for (name, content, part) in
        [("a.csv", &b""[..], "empty"), ("a.csv", b"\n\n", "no columns"), ("a.jsonl", b"nonsense\n", "no JSON object")]
    {
        let error = look(name, content, &ReadOptions::default()).err().unwrap();
        assert!(error.to_string().contains(part) && error.to_string().contains(name) && error.is_mistake(), "{error}");
    }
    assert_eq!(shown_schema(&look("a.csv", b"a,b\n", &ReadOptions::default()).unwrap()), "a=null,b=null");
}
