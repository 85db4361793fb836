//! Bodies of delimited text.

use std::borrow::Cow;

use shardmill_common::text::{Dialect, Grammar, MAX_RECORD_BYTES, bom_len, read_header, split_record, unescape_quotes};

use super::answer::RequestError;
use crate::table::{Cell, Table};

const COMMA: Dialect = Dialect::USUAL;

/// Reads a body of comma-separated values. Blank lines are passed over. With `header` the first line names the columns;
/// without, they come in the model's order. A quoted empty cell is text, an unquoted one is no value.
pub fn parse_csv(body: &[u8], header: bool) -> Result<Table<'_>, RequestError> {
    let text = std::str::from_utf8(body).map_err(|e| {
        let line = memchr::memchr_iter(b'\n', body.get(..e.valid_up_to()).unwrap_or_default()).count() + 1;
        RequestError::bad(format!("line {line} of the body is not valid UTF-8"))
    })?;
    let grammar = Grammar { delimiter: COMMA.delimiter, quote: COMMA.quote };
    let mut at = bom_len(body);
    let mut line = 1;
    let mut names = None;
    if header {
        let found = read_header(body.get(at..).unwrap_or_default(), &COMMA, true)
            .map_err(|why| RequestError::bad(format!("the body has no line of column names: {why}")))?;
        at += found.data_start;
        line += found.lines;
        names = Some(found.names.into_iter().map(Cow::Owned).collect::<Vec<_>>());
    }
    let mut width = names.as_ref().map(Vec::len);
    // A cell has some six bytes; a guess that is too small costs a move of the cells.
    let mut cells: Vec<Cell<'_>> = Vec::with_capacity(body.len() / 6 + 1);
    let mut rows = 0;
    while at < body.len() {
        let before = cells.len();
        let record = split_record(body, at, grammar, MAX_RECORD_BYTES, true, |field| {
            let span = text.get(field.start..field.end).unwrap_or_default();
            cells.push(if field.escaped {
                let mut plain = Vec::with_capacity(span.len());
                unescape_quotes(span.as_bytes(), b'"', &mut plain);
                Cell::Raw(Cow::Owned(String::from_utf8_lossy(&plain).into_owned()))
            } else if field.quoted && span.is_empty() {
                Cell::Text(Cow::Borrowed(""))
            } else {
                Cell::Raw(Cow::Borrowed(span))
            });
        });
        let Some(record) = record else { break };
        let here = line;
        line += memchr::memchr_iter(b'\n', body.get(at..record.end).unwrap_or_default()).count() as u64;
        at = record.end;
        if record.is_blank() {
            cells.truncate(before);
            continue;
        }
        if let Some(defect) = record.defect {
            return Err(RequestError::bad(format!("line {here} of the body: {}", defect.reason())));
        }
        let found = cells.len() - before;
        match width {
            None => width = Some(found),
            Some(width) if width != found => {
                return Err(RequestError::bad(format!(
                    "line {here} of the body has {found} cells, {} has {width}",
                    if header { "the line of column names" } else { "the first line" }
                )));
            }
            Some(_) => {}
        }
        rows += 1;
    }
    if rows == 0 {
        return Err(RequestError::bad("the body has no rows".into()));
    }
    Ok(Table { names, width: width.unwrap_or(0), rows, cells })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Cell<'_> {
        Cell::Raw(Cow::Borrowed(text))
    }

    fn fault(body: &[u8], header: bool) -> String {
        parse_csv(body, header).unwrap_err().message
    }

    #[test]
    fn rows_come_with_and_without_names() {
        let table = parse_csv(b"1,a\r\n\r\n2,\n", false).unwrap();
        assert_eq!((table.names.clone(), table.rows, table.width), (None, 2, 2));
        assert_eq!(table.cells, [raw("1"), raw("a"), raw("2"), raw("")]);
        let table = parse_csv(b"\xEF\xBB\xBFx,y\n\"a \"\"b\"\"\nc\",\"\"\n3,4", true).unwrap();
        assert_eq!(table.names.clone().unwrap(), ["x", "y"]);
        let quoted = [Cell::Raw(Cow::Owned("a \"b\"\nc".into())), Cell::Text("".into()), raw("3"), raw("4")];
        assert_eq!((table.rows, table.cells), (2, quoted.to_vec()));
    }

    #[test]
    fn faults_name_their_line() {
        assert_eq!(fault(b"", false), "the body has no rows");
        assert_eq!(fault(b"a,b\n", true), "the body has no rows");
        assert_eq!(fault(b"1,2\n\n3\n", false), "line 3 of the body has 1 cells, the first line has 2");
        assert_eq!(fault(b"a,b\n3\n", true), "line 2 of the body has 1 cells, the line of column names has 2");
        assert_eq!(fault(b"1,2\n\"x\"y,2\n", false), "line 2 of the body: text after a closing quote");
        assert_eq!(fault(b"1,2\n\"x,2\n", false), "line 2 of the body: a quote opened here never closes");
        assert_eq!(fault(b"1\n\xff\n", false), "line 2 of the body is not valid UTF-8");
        assert!(fault(b"a,a\n1,2\n", true).contains("both named `a`"));
        assert!(fault(b"", true).starts_with("the body has no line of column names"));
    }
}
