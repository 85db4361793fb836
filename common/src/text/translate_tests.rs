//! Translations, whole and in pieces of every length.

use std::io::Read;

use super::super::style::Comment;
use super::super::translated::Translated;
use super::*;

fn style(change: impl FnOnce(&mut Style)) -> Style {
    let mut style = Style::default();
    change(&mut style);
    style
}

/// The translation, which must be the same in whatever pieces the text comes.
fn translated(style: &Style, text: &str) -> String {
    let whole = pieces(style, text, text.len().max(1));
    for piece in [1, 2, 3, 5, 7] {
        assert_eq!(pieces(style, text, piece), whole, "{text:?} in pieces of {piece}");
    }
    whole
}

fn pieces(style: &Style, text: &str, piece: usize) -> String {
    let mut translator = Translator::new(style.clone());
    let (mut out, mut pending) = (Vec::new(), Vec::new());
    let all: Vec<&[u8]> = text.as_bytes().chunks(piece).collect();
    for (at, part) in all.iter().enumerate() {
        pending.extend_from_slice(part);
        let taken = translator.step(&pending, at + 1 == all.len(), &mut out);
        pending.drain(..taken);
    }
    assert!(pending.is_empty(), "{text:?}: {pending:?} is left");
    String::from_utf8(out).unwrap()
}

#[test]
fn the_usual_style_stays_as_it_is() {
    for text in ["a,b\n1,\"x,\"\"y\"\"\n\"\n", "a\n\n\n", "1,,\"\",\n", "\"a\"b,c\n", "a\"b,c", "x"] {
        assert_eq!(translated(&Style::default(), text), text);
    }
    assert_eq!(translated(&Style::default(), "a,b\r\n1,\"x\r\"\r\n"), "a,b\n1,\"x\r\"\n");
    assert_eq!(translated(&Style::default(), "a\rb,c\n"), "\"a\rb\",c\n");
}

#[test]
fn delimiters_of_several_characters_and_runs_of_blanks() {
    let bars = style(|s| s.delimiter = Delimiter::Text("||".into()));
    assert_eq!(translated(&bars, "a||b\n1,5||\"x||\"\"y\"\n|||z\n"), "a,b\n\"1,5\",\"x||\"\"y\"\n,|z\n");
    let blanks = style(|s| s.delimiter = Delimiter::Blanks);
    let text = "id   name \t v\n  1    ann   3  \n22 \"b o b\" 44\t\r\n\n x";
    assert_eq!(translated(&blanks, text), "id,name,v\n1,ann,3\n22,\"b o b\",44\n\nx");
}

#[test]
fn what_is_escaped_is_itself() {
    let escape = style(|s| s.escape = Some(b'\\'));
    let text = "1,\"say \\\"hi\\\" now\"\n2,a\\,b\n3,\\\"q\n4,\\N\n5,\\Nx\n6,\"\\N\"\n7,\"a\\\nb\"\n8,\\\\\n9,C:\\dir,\"\\d+\"\n";
    let read = "1,\"say \"\"hi\"\" now\"\n2,\"a,b\"\n3,\"\"\"q\"\n4,\n5,\\Nx\n6,\"\\N\"\n7,\"a\nb\"\n8,\"\\\"\n9,C:\\dir,\"\\d+\"\n";
    assert_eq!(translated(&escape, text), read);
    assert_eq!(translated(&escape, "a\\"), "a\\");
}

#[test]
fn lines_that_end_with_returns() {
    let returns = style(|s| s.returns = true);
    assert_eq!(translated(&returns, "a,b\r1,\"x\ry\"\r\n2,\n3,z\r\r\n4,"), "a,b\n1,\"x\ry\"\n2,\n3,z\n4,");
    assert_eq!(translated(&returns, "a\r\r"), "a\n\n");
}

#[test]
fn comments_become_empty_lines() {
    let all = style(|s| s.comment = Some(Comment { mark: "#".into(), unless_cells: None }));
    assert_eq!(translated(&all, "# by, me\nid,v\r\n# x\r\n1,#a\n#"), "\nid,v\n\n1,#a\n");
    let some = style(|s| s.comment = Some(Comment { mark: "##".into(), unless_cells: Some(2) }));
    assert_eq!(translated(&some, "##x\n##a,b\n#c,\"d\n##e\"\n"), "\n##a,b\n#c,\"d\n##e\"\n");
    let mut translator = Translator::new(all);
    translator.step(b"#a\n1\n#b", true, &mut Vec::new());
    assert_eq!(translator.comments(), 2);
}

#[test]
fn blanks_around_cells() {
    let trim = style(|s| s.trim = true);
    assert_eq!(
        translated(&trim, "id, name \n1 ,  \"Doe, Ann\" \n 2, \" x\"\n3, a b\n4, \n"),
        "id,name\n1,\"Doe, Ann\"\n2,\" x\"\n3,a b\n4,\n"
    );
    assert_eq!(translated(&trim, "\"a\" b\n"), "\"a\"b\n");
}

#[test]
fn other_quotes() {
    let single = style(|s| {
        s.quote = Some(b'\'');
        s.trim = true;
    });
    assert_eq!(translated(&single, "'it''s','say \"hi\"'\n'','\"'\n"), "\"it's\",\"say \"\"hi\"\"\"\n\"\",\"\"\"\"\n");
    let none = style(|s| {
        s.quote = None;
        s.trim = true;
    });
    assert_eq!(translated(&none, "\"a,b\n"), "\"\"\"a\",b\n");
}

#[test]
fn a_quote_that_never_closes_is_told_with_its_line() {
    let text = "a,b\n1,\"x\ny\"\n2,\"z\n3,4\n";
    let mut out = Vec::new();
    let bars = style(|s| s.escape = Some(b'\\'));
    let error = Translated::new(text.as_bytes(), bars, 2).read_to_end(&mut out).unwrap_err().to_string();
    assert!(error.contains("in line 6"), "{error}");
}

#[test]
fn a_reader_hands_out_everything_once() {
    let text = "a||b\n".repeat(50_000);
    let bars = style(|s| s.delimiter = Delimiter::Text("||".into()));
    let mut out = String::new();
    Translated::new(text.as_bytes(), bars, 0).read_to_string(&mut out).unwrap();
    assert_eq!(out, "a,b\n".repeat(50_000));
}
