//! The law: whatever the style in which a table is written, it is found, and read in it the table comes back.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::super::scan::{Grammar, split_record, unescape_quotes};
use super::super::translate::Translator;
use super::*;

/// How a test writes tables.
#[derive(Clone, Debug)]
struct Writer {
    delimiter: &'static str,
    quote: char,
    backslash: bool,
    line_end: &'static str,
    blank: bool,
    header: bool,
    title: bool,
    comment: bool,
}

fn writers() -> impl Strategy<Value = Writer> {
    let delimiters = prop::sample::select(vec![",", ";", "\t", "|", "||", "::"]);
    let line_ends = prop::sample::select(vec!["\n", "\r\n", "\r", "\r\r\n"]);
    let quotes = prop::sample::select(vec!['"', '"', '"', '\'']);
    let rest = (
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    );
    (delimiters, quotes, line_ends, rest).prop_map(|(delimiter, quote, line_end, rest)| {
        let (backslash, blank, header, title, comment) = rest;
        // Single quotes are found only where they are all there is.
        Writer { delimiter, quote, backslash, line_end, blank, header, title, comment }
    })
}

/// Cells of a column of text: all that a style has to keep apart.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,6}",
        2 => "[a-z]{1,4}[ ,;|:\t'\"\\\\\n][a-z]{1,4}",
        1 => "[A-Z][a-z ]{2,9}[a-z]",
        1 => Just(String::new()),
    ]
}

/// Rows of a number, a text, a fraction and a word.
fn tables() -> impl Strategy<Value = Vec<Vec<String>>> {
    let row = (0..1000_i64, texts(), 0..100_i64, "[a-z]{3,8}");
    prop::collection::vec(row, 6..40).prop_map(|rows| {
        let cells =
            |(id, text, x, word): (i64, String, i64, String)| vec![id.to_string(), text, format!("{x}.5"), word];
        let mut rows: Vec<Vec<String>> = rows.into_iter().map(cells).collect();
        // Without a quote in a cell nothing tells how one is escaped.
        rows.push(["7", "it's \"so\"", "1.5", "word"].map(str::to_owned).to_vec());
        rows
    })
}

fn written(writer: &Writer, rows: &[Vec<String>]) -> String {
    let quote = writer.quote;
    let cell = |cell: &String, always: bool| {
        let special =
            cell.contains(writer.delimiter) || cell.contains(['\n', '\r', quote, '\\']) || cell.starts_with(' ');
        if !(special || always) {
            return cell.clone();
        }
        let inner = if writer.backslash {
            cell.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"))
        } else {
            cell.replace(quote, &format!("{quote}{quote}"))
        };
        format!("{quote}{inner}{quote}")
    };
    let blank = if writer.blank { " " } else { "" };
    let mut out = String::new();
    if writer.comment {
        out.push_str(&format!("# made by a test, for a test{}", writer.line_end));
    }
    if writer.title {
        out.push_str(&format!("A title{0}{0}", writer.line_end));
    }
    for row in rows {
        // Single quotes are found only where a whole column has them.
        let cells = row.iter().enumerate().map(|(at, text)| cell(text, quote != '"' && at == 1));
        out.push_str(&cells.collect::<Vec<_>>().join(&format!("{}{blank}", writer.delimiter)));
        out.push_str(writer.line_end);
    }
    out
}

/// The records that the parser will see.
fn read(found: &Sniffed, text: &str) -> Vec<Vec<String>> {
    let start = skip_of(text.as_bytes(), found.skip_lines, found.style.returns);
    let mut data = Vec::new();
    let style = &found.style;
    let (delimiter, quote) = (style.delimiter.byte(), style.quote_read());
    if style.is_plain() {
        data.extend_from_slice(&text.as_bytes()[start..]);
    } else {
        Translator::new(style.clone()).step(&text.as_bytes()[start..], true, &mut data);
    }
    let (mut at, mut rows) = (0, Vec::new());
    while at < data.len() {
        let mut cells = Vec::new();
        let record = split_record(&data, at, Grammar { delimiter, quote }, data.len() + 1, true, |field| {
            let mut cell = Vec::new();
            match quote {
                Some(quote) if field.escaped => unescape_quotes(&data[field.start..field.end], quote, &mut cell),
                _ => cell.extend_from_slice(&data[field.start..field.end]),
            }
            cells.push(String::from_utf8(cell).unwrap());
        });
        let record = record.unwrap();
        at = record.end;
        if !record.is_blank() {
            rows.push(cells);
        }
    }
    rows
}

#[test]
fn a_table_comes_back_whatever_it_is_written_in() {
    // The same tables every time: where styles differ by little, what is found must not depend on luck.
    let mut runner = TestRunner::deterministic();
    for case in 0..1500 {
        let writer = writers().new_tree(&mut runner).unwrap().current();
        let mut rows = tables().new_tree(&mut runner).unwrap().current();
        if writer.header {
            rows.insert(0, ["id", "text", "x", "word"].map(str::to_owned).to_vec());
        }
        let text = written(&writer, &rows);
        let found = sniff(text.as_bytes(), true, &Told::default());
        assert_eq!(found.header, writer.header, "case {case}: {} of {text:?}", found.style);
        assert_eq!(read(&found, &text), rows, "case {case}: {} of {text:?}", found.style);
    }
}
