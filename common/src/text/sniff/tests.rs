//! Texts, and how they are found to be written.

use super::*;

fn found(text: &str) -> Sniffed {
    sniff(text.as_bytes(), true, &Told::default())
}

/// The style, the lines that are skipped, and whether there is a header, in words.
fn read(text: &str) -> String {
    let found = found(text);
    let header = if found.header { "header" } else { "no header" };
    match found.skip_lines {
        0 => format!("{}, {header}", found.style),
        lines => format!("{}, {header} after {lines}", found.style),
    }
}

#[test]
fn the_usual_text() {
    for text in [
        "a,b\n1,x\n2,y\n",
        "a,b\n",
        "a\n1\n2\n",
        "a,b\r\n1,\"x;y;z\"\r\n",
        "name\nAnn; x\nBob\n",
        "id,a,b\n1,x\n2,y,z\n3\n",
        "",
    ] {
        assert_eq!(read(text), "comma, header", "{text:?}");
    }
    assert_eq!(read("a,b\n1,\"he said \"\"x\"\"\"\n2,C:\\\n"), "comma, header");
    assert_eq!(read("path\n\"C:\\\"\n\"D:\\\"\n"), "comma, header");
    assert_eq!(read("a,b\n1,\"oops\n2,b\n3,c\n"), "comma, header");
}

#[test]
fn delimiters() {
    assert_eq!(read("id;name;v\n1;ann;3,5\n2;bob;4,0\n"), "semicolon, header");
    assert_eq!(read("Datum;Wert, netto;Wert, brutto\n2024;3,5;4,5\n2023;1,0;2,5\n"), "semicolon, header");
    assert_eq!(read("id,name;alias\n1,ann;a\n2,bob;b\n"), "comma, header");
    assert_eq!(read("a\tb, c\n1\tx, y\n2\tz\n"), "tab, header");
    assert_eq!(read("A|B|C|\n1|2|3|\n"), "pipe, header");
    assert_eq!(read("a||b||c\n1||2||x\n||3||y\n"), "`||`, header");
    assert_eq!(read("sep=;\na;b\n1;2\n"), "semicolon, header after 1");
    assert_eq!(read("\"sep=|\"\r\na|b\r\n1|2\r\n"), "pipe, header after 1");
    let tabs = Told { tabs: true, ..Told::default() };
    assert_eq!(sniff(b"a\tb\n1\t2,3\n", true, &tabs).style.delimiter, Delimiter::Byte(b'\t'));
    assert_eq!(sniff(b"a,b\n1,2\n", true, &tabs).style.delimiter, Delimiter::Byte(b','));
}

#[test]
fn quotes_and_escapes() {
    assert_eq!(
        read("id,v\n1,\"say \\\"hi\\\" now\"\n2,\"plain\"\n3,\"x \\\"y, z\\\" w\"\n"),
        "comma, backslash escapes, header"
    );
    assert_eq!(read("id,v\n1,a\\,b\n2,c\n3,d\\,e\n"), "comma, backslash escapes, header");
    assert_eq!(read("id,v\n1,'a, b'\n2,'c'\n3,'it''s'\n"), "comma, quote \\', header");
    assert_eq!(read("id\ttitle\n1\t\"Rocky\n2\tJaws\n3\t\"Alien\" (1979)\n"), "tab, no quotes, header");
    assert_eq!(read("id\tv\n1\t\"a\tb\"\n2\t\"c\"\n"), "tab, header");
}

#[test]
fn blanks() {
    assert_eq!(read("id, name\n1, \"Doe, Ann\"\n2, \"Roe, Bo\"\n"), "comma, blanks around cells cut, header");
    assert_eq!(read("a, b\n1, 2\n3, 4\n"), "comma, blanks around cells cut, header");
    assert_eq!(read("a,b\n1, x\n2,y\n3,z\n"), "comma, header");
}

#[test]
fn line_ends() {
    assert_eq!(read("id,name\r1,ann\r2,bob\r"), "comma, lines end with \\r, header");
    assert_eq!(read("id,name\r\n1,ann\n2,bob\r\n3,cy\r4,di\n"), "comma, lines end with \\r, header");
    assert_eq!(read("a,b\r\r\n1,2\r\r\n"), "comma, lines end with \\r, header");
}

#[test]
fn comments_and_titles() {
    assert_eq!(read("# made by tool\nid,v\n1,a\n# note, with comma\n2,b\n"), "comma, comments after #, header");
    assert_eq!(read("##format=1\n##date=2,3\n#CHROM\tPOS\n1\t5\n2\t6\n"), "tab, comments after ##, header");
    assert_eq!(read("#id,name\n1,x\n2,y\n"), "comma, header");
    assert_eq!(read("tag,n\n#a,1\n#b,2\n"), "comma, header");
    assert_eq!(read("Report of sales\n\nid,city,v\n1,Rome,3\n2,Oslo,4\n"), "comma, header after 2");
    assert_eq!(read("Sales, 2024\nby Ann\n1,Rome,3\n2,Oslo,4\n"), "comma, no header after 2");
    assert_eq!(read("mpg,cyl\nMazda,21,6\nFiat,32,4\n"), "comma, header");
}

#[test]
fn headers() {
    assert_eq!(read("1,Goroka,-6.08\n2,Madang,-5.2\n"), "comma, no header");
    assert_eq!(read("country,2019,2020,2021\nA,1.5,2,3\nB,1,2,3\n"), "comma, header");
    assert_eq!(read("a,1\nb,2\n"), "comma, no header");
    assert_eq!(read("ann,rome\nbob,oslo\n"), "comma, header");
    assert_eq!(read(",id,v\n0,10,a\n1,11,b\n"), "comma, header");
    assert_eq!(read("name,1st,2024-01-01\nx,1,2\n"), "comma, header");
}

#[test]
fn one_column_that_looks_like_more() {
    let unparted = |text: &str| found(text).unparted.map(|d| d.to_string());
    assert_eq!(unparted("a:b\n1:2\n3:4\n").as_deref(), Some("`:`"));
    assert_eq!(unparted("id   name  v\n1    ann   3\n22   bob   44\n").as_deref(), Some("runs of blanks"));
    assert_eq!(unparted("name\nAnn Smith\nBob Jones\n"), None);
    assert_eq!(unparted("a,b\n1,2\n3,4\n"), None);
}

#[test]
fn what_was_told_is_not_looked_for() {
    let told = Told {
        delimiter: Some(Delimiter::Byte(b',')),
        quote: Some(None),
        escape: Some(None),
        comment: Some(None),
        trim: Some(false),
        header: Some(false),
        skip_lines: Some(0),
        tabs: false,
    };
    let found = sniff(b"# x\nid; v\n1; \"a\"\n2; \"b\"\n", true, &told);
    assert_eq!(found.style, Style { quote: None, ..Style::default() });
    assert!(!found.header && found.skip_lines == 0);
    let skip = Told { skip_lines: Some(2), ..Told::default() };
    assert_eq!(sniff(b"a;b\n\"x\nid,v\n1,2\n", true, &skip).style.delimiter, Delimiter::Byte(b','));
}
