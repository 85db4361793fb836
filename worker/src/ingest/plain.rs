//! Lines of text as they are: one column whose values stay where they lie in the chunk.

use memchr::memchr_iter;
use polars::prelude::PlSmallStr;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::ingest::ParseTask;
use shardmill_common::kinds::ingest::SourceFormat;
use shardmill_common::schema::{DataType, Field};
use shardmill_common::text::{Encoding, Grammar};

use super::batch::{Oddities, Reject};
use super::column::BadRows;
use super::parsed::Parsed;
use super::strings::Strings;
use super::text::{Rest, assemble, source_text};

/// An empty line is an empty string; a line that is not UTF-8 is rejected.
pub(super) fn parse_lines(bytes: Vec<u8>, task: &ParseTask, encoding: Encoding) -> Result<Parsed, Failure> {
    let source = source_text(bytes, encoding, Grammar::lines(), task)?;
    let data = source.bytes();
    let is_utf8 = simdutf8::basic::from_utf8(data).is_ok();
    let rows = memchr_iter(b'\n', data).count() + usize::from(data.last().is_some_and(|b| *b != b'\n'));
    let mut strings = Strings::default();
    strings.reserve(rows);
    let (mut starts, mut rejects) = (Vec::with_capacity(rows), Vec::new());
    let mut line = |start: usize, end: usize| {
        let text = data.get(start..end).unwrap_or_default();
        if is_utf8 || simdutf8::basic::from_utf8(text).is_ok() {
            strings.push_text(data, start as u32, text);
            starts.push(start as u32);
        } else {
            rejects.push(Reject { start: start as u32, reason: "not valid UTF-8".to_owned() });
        }
    };
    let mut start = 0;
    for newline in memchr_iter(b'\n', data) {
        let ends_in_cr = newline > start && data.get(newline - 1) == Some(&b'\r');
        line(start, newline - usize::from(ends_in_cr));
        start = newline + 1;
    }
    if start < data.len() {
        line(start, data.len());
    }
    let column = strings.finish(PlSmallStr::from_static(SourceFormat::LINE), source.array(), None);
    let fields = [Field::new(SourceFormat::LINE, DataType::String)];
    assemble(
        &source,
        task,
        &fields,
        vec![column],
        Rest { starts, rejects, bad: BadRows::new(), odd: Oddities::default() },
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{cells, task};
    use super::*;

    fn lines(data: &[u8], encoding: Encoding) -> Parsed {
        let task = task(SourceFormat::Lines { encoding }, &[("line", DataType::String)]);
        parse_lines(data.to_vec(), &task, encoding).unwrap()
    }

    fn rows(data: &[u8]) -> Vec<String> {
        cells(&lines(data, Encoding::Utf8), "line")
    }

    #[test]
    fn every_line_is_a_row_as_it_is() {
        assert_eq!(rows(b"a\n"), ["a"]);
        assert_eq!(rows(b"a\r\n\r\n\nNA\n\"q,\tb"), ["a", "", "", "NA", "\"q,\tb"]);
        assert_eq!(rows(b"a\rb\r\r\nc\r"), ["a\rb\r", "c\r"]);
        assert!(rows(b"").is_empty());
        let long = "a line that is longer than a view holds, \u{e4}\u{6f22}";
        assert_eq!(rows(format!("{long}\n{long}").as_bytes()), [long, long]);
    }

    #[test]
    fn lines_that_are_no_utf8_are_rejected_with_their_place() {
        let parsed = lines(b"ok\n\xff\xfe\nfine\n", Encoding::Utf8);
        assert_eq!(cells(&parsed, "line"), ["ok", "fine"]);
        let rejected: Vec<_> = parsed.rejected.iter().map(|r| (r.line, r.reason.as_str())).collect();
        assert_eq!(rejected, [(3, "not valid UTF-8")]);
        assert_eq!((parsed.rows_read, parsed.origin(1).0), (3, 4));
        assert_eq!(cells(&lines(b"\xe4\n", Encoding::Windows1252), "line"), ["\u{e4}"]);
    }

    #[test]
    fn other_columns_of_the_dataset_are_null() {
        let task = task(
            SourceFormat::Lines { encoding: Encoding::Utf8 },
            &[("id", DataType::Int64), ("line", DataType::String)],
        );
        let parsed = parse_lines(b"x\ny".to_vec(), &task, Encoding::Utf8).unwrap();
        assert_eq!(
            (cells(&parsed, "id"), cells(&parsed, "line")),
            (vec!["~".into(), "~".into()], vec!["x".into(), "y".into()])
        );
    }
}
