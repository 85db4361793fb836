//! Texts as people and programs write them, from the file to the rows.

use std::io::Write;

use shardmill_tests::Shardmill;
use tempfile::TempDir;

fn fresh() -> (TempDir, Shardmill) {
    let dir = tempfile::tempdir().unwrap();
    let sm = Shardmill::embedded(dir.path());
    (dir, sm)
}

/// A text, the options that go with it, and the dataset as CSV.
type Case<'a> = (&'a str, &'a [u8], &'a [&'a str], &'a str);

#[test]
fn every_way_of_writing_a_table() {
    let (_dir, sm) = fresh();
    let cases: [Case<'_>; 20] = [
        ("semicolon.csv", b"id;name\n1;a,b\n2;c\n", &[], "id,name\n1,\"a,b\"\n2,c\n"),
        ("decimal.csv", b"id;v\n1;1.234,5\n2;4\n", &["--decimal", ",", "--thousands", "."], "id,v\n1,1234.5\n2,4.0\n"),
        ("sep.csv", b"sep=|\r\na|b\r\n1|2\r\n", &[], "a,b\n1,2\n"),
        ("tabs.tsv", b"id\ttitle\n1\t\"Rocky\n2\t\"A\" (1)\n", &[], "id,title\n1,\"\"\"Rocky\"\n2,\"\"\"A\"\" (1)\"\n"),
        ("bars.txt", b"a||b\n1||x,y\n2||\n", &[], "a,b\n1,\"x,y\"\n2,\n"),
        ("arrows.txt", b"a->b\n1->x\n", &["--delimiter", "->"], "a,b\n1,x\n"),
        ("blanks.txt", b" id   name\n  1   ann \n 22   bob\n", &["--delimiter", "blanks"], "id,name\n1,ann\n22,bob\n"),
        ("escaped.csv", b"id,v\n1,\"say \\\"hi\\\", you\"\n2,\"b\"\n", &[], "id,v\n1,\"say \"\"hi\"\", you\"\n2,b\n"),
        ("null.csv", b"id,v\n1,\\N\n2,a\\,b\n", &["--escape", "backslash"], "id,v\n1,\n2,\"a,b\"\n"),
        ("returns.csv", b"id,v\r1,a\r2,b\r", &[], "id,v\n1,a\n2,b\n"),
        ("mixed.csv", b"id,v\r\n1,a\n2,b\r3,c\r\r\n", &[], "id,v\n1,a\n2,b\n3,c\n"),
        ("spaced.csv", b"id, v\n1, \"a, b\"\n2, c\n", &[], "id,v\n1,\"a, b\"\n2,c\n"),
        ("trailing.csv", b"a,b,\n1,2,\n3,4,\n", &[], "a,b\n1,2\n3,4\n"),
        ("longer.csv", b"a,b\n1,2,\n3,4,\n", &[], "a,b\n1,2\n3,4\n"),
        ("r.csv", b"mpg,cyl\nMazda,21,6\nFiat,32,4\n", &[], "index,mpg,cyl\nMazda,21,6\nFiat,32,4\n"),
        ("notes.csv", b"# from, here\nid,v\n1,a\n# more\n2,b\n", &[], "id,v\n1,a\n2,b\n"),
        ("marks.csv", b"id,v\n%x\n1,a\n", &["--comment", "%"], "id,v\n1,a\n"),
        ("report.csv", b"Sales of May\n\nid,v\n1,a\n2,b\n", &[], "id,v\n1,a\n2,b\n"),
        ("bare.csv", b"1,a\n2,b\n", &[], "column_1,column_2\n1,a\n2,b\n"),
        ("picked.csv", b"a,b,c\n1,2,x\n", &["--columns", "c,a"], "a,c\n1,x\n"),
    ];
    for (name, text, options, expected) in cases {
        sm.write(name, text);
        sm.ok(&[&["ingest", "d", name], options].concat());
        assert_eq!(sm.csv("d"), expected, "{name}");
    }
}

#[test]
fn lines_of_rejects_are_those_of_the_file() {
    let (_dir, sm) = fresh();
    sm.write("a.csv", "Report\n\nid;v\n# note\n1;\"two\nlines\"\n2;a;b\n3;c\n");
    let done = sm.ok(&["ingest", "d", "a.csv", "--max-rejects", "1"]);
    assert_eq!(done["read_as"][0]["read_as"], "semicolon, comments after #, header, 2 lines skipped");
    assert_eq!(sm.csv("d"), "id,v\n1,\"two\nlines\"\n3,c\n");
    assert!(sm.csv("d.rejects").contains("\na.csv,7,2;a;b,"), "{}", sm.csv("d.rejects"));
    assert!(done["notices"].to_string().contains("1 line is a comment"), "{done}");
}

#[test]
fn a_long_cell_and_a_quote_that_swallows_rows() {
    let (_dir, sm) = fresh();
    let long = "line\n".repeat(1_100_000);
    sm.write("long.csv", format!("id,v\n1,\"{long}\"\n2,z\n"));
    sm.ok(&["ingest", "d", "long.csv"]);
    assert_eq!(sm.csv("d").len(), long.len() + "id,v\n1,\"\"\n2,z\n".len());
    sm.write("stray.csv", "a,b,c,d\n1,2,3,4\n5,\"x,6,7\n8,y,9,10\n11,z\",1,2\n");
    let done = sm.ok(&["ingest", "e", "stray.csv"]);
    assert!(done["notices"].to_string().contains("stray.csv:3: lines that look like rows"), "{done}");
    sm.write("open.txt", "a||b\n1||\"x\n2||y\n");
    sm.run(&["ingest", "f", "open.txt", "--delimiter", "||"]).fails(2, &["open.txt", "line 2", "never closes"]);
}

#[test]
fn archives_folders_and_compressions() {
    let (dir, sm) = fresh();
    for (path, text) in [
        ("in/year=2023/part-0.csv", "v\n1\n"),
        ("in/year=2024/part-0.csv", "v\n2\n"),
        ("in/_SUCCESS", ""),
        ("in/.part-0.csv.crc", "x"),
        ("in/README.md", "hello"),
    ] {
        std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        sm.write(path, text);
    }
    sm.ok(&["ingest", "d", "in"]);
    assert_eq!(sm.csv("d"), "v,year\n1,2023\n2,2024\n");
    assert_eq!(sm.ok(&["dataset", "show", "d"])["columns"][1]["type"], "int64");
    let mut packed = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    packed.write_all(b"v;w\n1;2\n").unwrap();
    sm.write("a.csv.bz2", packed.finish().unwrap());
    sm.ok(&["ingest", "d", "a.csv.bz2"]);
    assert_eq!(sm.csv("d"), "v,w\n1,2\n");
    sm.write("a.csv", b"\x1f\x9d\x90");
    sm.run(&["ingest", "d", "a.csv"]).fails(2, &["a.csv", ".Z"]);
}

#[test]
fn what_cannot_be_told_is_asked_for() {
    let (_dir, sm) = fresh();
    sm.write("a.txt", "id   name  v\n1    ann   3\n22   bob   44\n");
    sm.run(&["ingest", "d", "a.txt", "--delimiter", "space"]).fails(2, &["a.txt", "--delimiter blanks"]);
    let done = sm.ok(&["ingest", "d", "a.txt"]);
    assert!(done["notices"].to_string().contains("became one column"), "{done}");
    sm.write("b.csv", "a,b\n1,2\n");
    sm.run(&["ingest", "e", "b.csv", "--drop", "c"]).fails(2, &["--drop", "`c`", "a, b"]);
    sm.run(&["ingest", "e", "b.csv", "--columns", "a,c"]).fails(2, &["--columns", "`c`"]);
    sm.run(&["ingest", "e", "b.csv", "--encoding", "cp850"]).fails(2, &["cp850", "windows-1250"]);
    sm.write("c.json", "[{\"a\":1},\n{\"a\":2},");
    sm.run(&["ingest", "e", "c.json"]).fails(2, &["c.json", "no end"]);
}

#[test]
fn a_file_without_a_header_is_predicted_by_the_order_of_its_columns() {
    let (dir, sm) = fresh();
    let rows: String = (0..100).map(|i| format!("{},{},{}\n", i % 10, i % 7, i32::from(i % 10 > 4))).collect();
    sm.write("train.csv", format!("x,z,y\n{rows}"));
    sm.ok(&["ingest", "t", "train.csv"]);
    sm.ok(&["train", "logistic", "t", "--model", "m", "--label", "y"]);
    sm.write("named.csv", "z,x\n1,3.0\n2,7.5\n");
    sm.write("bare.csv", "3.0,1\n7.5,2\n");
    for name in ["named", "bare"] {
        sm.ok(&["predict", "m", "--from", &format!("{name}.csv"), "--to", &format!("{name}.out.csv")]);
    }
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("named.out.csv"), read("bare.out.csv"));
    assert_eq!(read("bare.out.csv").lines().count(), 3);
}

#[test]
fn a_column_without_values_takes_any_type_later() {
    let (_dir, sm) = fresh();
    sm.write("may.csv", "id,v,w\n1,,\n2,,\n");
    sm.write("june.csv", "id,v,w\n3,7,\n");
    let types = |name: &str| -> Vec<String> {
        let shown = sm.ok(&["dataset", "show", name]);
        shown["columns"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap().to_owned()).collect()
    };
    sm.ok(&["ingest", "d", "may.csv"]);
    assert_eq!(types("d"), ["int64", "null", "null"]);
    assert_eq!(sm.csv("d"), "id,v,w\n1,,\n2,,\n");
    sm.ok(&["ingest", "d", "june.csv", "--append"]);
    assert_eq!(types("d"), ["int64", "int64", "null"]);
    assert_eq!(sm.csv("d"), "id,v,w\n1,,\n2,,\n3,7,\n");
    // Rows that were rewritten in between are no obstacle, either.
    sm.write("header.csv", "id,v,w\n");
    sm.ok(&["ingest", "h", "header.csv"]);
    assert_eq!(types("h"), ["null", "null", "null"]);
    sm.ok(&["join", "d", "h", "j", "--on", "id", "--how", "left"]);
    sm.ok(&["compare", "d", "h", "c", "--on", "id,v"]);
    assert_eq!(sm.csv("c"), "id,v,w_x,w_y,_merge\n1,,,,left_only\n2,,,,left_only\n3,7,,,left_only\n");
    sm.ok(&["ingest", "e", "may.csv", "--dedup"]);
    sm.ok(&["ingest", "e", "june.csv", "--append", "--dedup", "--keys", "v"]);
    assert_eq!((types("e"), sm.csv("e")), (types("d"), "id,v,w\n1,,\n3,7,\n".to_owned()));
    let asked = sm.ok(&["mapreduce", "may", "--input", "d@1", "--map", "SELECT id, v IS NULL AS lacks FROM input"]);
    assert_eq!(asked["rows"], 2);
}

#[test]
fn a_training_tells_of_numbers_that_are_text_for_the_sake_of_a_mark() {
    let (_dir, sm) = fresh();
    let age = |i: u32| if i.is_multiple_of(9) { "NA".to_owned() } else { (20 + i % 40).to_string() };
    let rows: String = (0..200).map(|i| format!("{},{}\n", age(i), u32::from(i % 40 > 20))).collect();
    sm.write("n.csv", format!("age,y\n{rows}"));
    let taken = sm.ok(&["ingest", "n", "n.csv"]);
    assert!(taken["notices"].to_string().contains("--null 'NA' makes it int64"), "{taken}");
    let trained = sm.ok(&["train", "logistic", "n", "--model", "m", "--label", "y"]);
    assert!(trained["notices"].to_string().contains("`age` is text"), "{trained}");
    sm.ok(&["ingest", "n", "n.csv", "--null", "common"]);
    let trained = sm.ok(&["train", "logistic", "n", "--model", "m", "--label", "y", "--impute", "median"]);
    assert!(!trained["notices"].to_string().contains("`age` is text"), "{trained}");
}
