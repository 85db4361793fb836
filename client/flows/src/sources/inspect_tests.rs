//! Tests of the first look into sources.

use std::io::Write;

use super::*;

fn look(name: &str, content: &[u8], options: &ReadOptions) -> Result<Inspected, FlowError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    inspect(Found { name: name.to_owned(), origin: Origin::File(path) }, options, &Pulse::default())
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
    let semicolon = ReadOptions { delimiter: Some(b';'), ..Default::default() };
    let got = look("a.csv.gz", &packed, &semicolon).unwrap();
    assert_eq!((got.packing, shown_schema(&got).as_str()), (Packing::Gzip, "a=int64,b=float64"));
    let short = look("a.csv.gz", &packed[..packed.len() - 9], &semicolon);
    assert!(short.err().unwrap().to_string().contains("cut short"));
}

#[test]
fn columns_without_a_header_are_numbered_or_named_by_the_schema() {
    let bare = ReadOptions { header: false, ..Default::default() };
    assert_eq!(shown_schema(&look("a.csv", b"1,x\n", &bare).unwrap()), "column_1=int64,column_2=string");
    let schema = super::super::schema_option::parse("n=int64,t=string").unwrap();
    let named = ReadOptions { schema: Some(schema), ..bare };
    assert_eq!(shown_schema(&look("a.csv", b"1,x\n", &named).unwrap()), "n=int64,t=string");
    assert!(look("a.csv", b"1,x,y\n", &named).err().unwrap().to_string().contains("has 3 columns"));
}

#[test]
fn sources_without_columns_are_refused() {
    for (name, content, part) in [
        ("a.csv", &b""[..], "empty"),
        ("a.csv", b"\n\n", "no columns"),
        ("a.csv", b"a,,c\n1,2,3\n", "column 2"),
        ("a.csv", b"a,b,a\n", "`a`"),
        ("a.jsonl", b"nonsense\n", "no JSON object"),
    ] {
        let error = look(name, content, &ReadOptions::default()).err().unwrap();
        assert!(error.to_string().contains(part) && error.to_string().contains(name) && error.is_mistake(), "{error}");
    }
    assert_eq!(shown_schema(&look("a.csv", b"a,b\n", &ReadOptions::default()).unwrap()), "a=null,b=null");
}
