//! The members of a JSON object in a line, as spans of the line: values keep their text, so that a number whose column
//! turns out to be text is the text that was written.

use serde::de::IgnoredAny;

/// Why a line is not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    #[error("not valid JSON: {0}")]
    Invalid(String),
    #[error("not a JSON object")]
    NotAnObject,
}

/// What a member's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    /// Its span is what is between the quotes; `escaped`: it has backslashes, see [`unescape_json`].
    Text {
        escaped: bool,
    },
    /// A number, `true` or `false`.
    Literal,
    /// An object or array.
    Nested,
}

/// One member of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Between its quotes.
    pub key: &'a str,
    pub key_escaped: bool,
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Tells each member of the object in `line`, in order, once the whole line is known to be JSON.
pub fn members<'a>(line: &'a str, mut member: impl FnMut(Member<'a>)) -> Result<(), JsonFault> {
    serde_json::from_str::<IgnoredAny>(line).map_err(|e| JsonFault::Invalid(place_in_line(&e)))?;
    let mut scan = Scan { text: line, bytes: line.as_bytes(), at: 0 };
    if scan.skip_blank() != Some(b'{') {
        return Err(JsonFault::NotAnObject);
    }
    scan.at += 1;
    while scan.skip_blank() == Some(b'"') {
        let (start, end, key_escaped) = scan.string();
        let key = line.get(start..end).unwrap_or_default();
        scan.skip_blank();
        scan.at += 1; // the colon
        let first = scan.skip_blank();
        let (kind, start, end) = scan.value(first);
        member(Member { key, key_escaped, kind, start, end });
        if scan.skip_blank() != Some(b',') {
            break;
        }
        scan.at += 1;
    }
    Ok(())
}

/// The text of a string, given what is between its quotes; `None` for half a surrogate pair.
pub fn unescape_json(raw: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{raw}\"")).ok()
}

/// serde_json's message says "at line 1 column 5", and each of our lines is its line 1.
fn place_in_line(error: &serde_json::Error) -> String {
    error.to_string().replace("at line 1 column", "at column")
}

/// A walk over text that is known to be JSON.
struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn skip_blank(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Passes a string: the span between its quotes, and whether it has escapes.
    fn string(&mut self) -> (usize, usize, bool) {
        let start = self.at + 1;
        let (mut at, mut escaped) = (start, false);
        while let Some(found) = self.bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
            at += found;
            if self.bytes.get(at) == Some(&b'"') {
                break;
            }
            escaped = true;
            at += 2;
        }
        self.at = at + 1;
        (start, at.min(self.text.len()), escaped)
    }

    fn value(&mut self, first: Option<u8>) -> (Kind, usize, usize) {
        let start = self.at;
        match first {
            Some(b'"') => {
                let (start, end, escaped) = self.string();
                (Kind::Text { escaped }, start, end)
            }
            Some(b'{' | b'[') => {
                let mut depth = 0_usize;
                while let Some(byte) = self.bytes.get(self.at) {
                    match byte {
                        b'"' => {
                            self.string();
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
                (Kind::Nested, start, self.at)
            }
            _ => {
                let rest = self.bytes.get(start..).unwrap_or_default();
                let len = rest.iter().position(|b| matches!(b, b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n'));
                self.at = start + len.unwrap_or(rest.len());
                let kind = if first == Some(b'n') { Kind::Null } else { Kind::Literal };
                (kind, start, self.at)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(line: &str) -> Result<Vec<(String, Kind, String)>, JsonFault> {
        let mut out = Vec::new();
        members(line, |m| out.push((m.key.to_owned(), m.kind, line[m.start..m.end].to_owned())))?;
        Ok(out)
    }

    #[test]
    fn members_keep_their_text() {
        let line = r#" { "a" : 1.50 ,"b":"x\"y","c":{"d":["}",1]} , "e":null,"f":true,"g":"" } "#;
        let expected = [
            ("a", Kind::Literal, "1.50"),
            ("b", Kind::Text { escaped: true }, r#"x\"y"#),
            ("c", Kind::Nested, r#"{"d":["}",1]}"#),
            ("e", Kind::Null, "null"),
            ("f", Kind::Literal, "true"),
            ("g", Kind::Text { escaped: false }, ""),
        ];
        assert_eq!(all(line).unwrap(), expected.map(|(k, kind, v)| (k.to_owned(), kind, v.to_owned())));
        assert_eq!(all("{}"), Ok(vec![]));
        assert_eq!(unescape_json(r#"x\"y\u00e9"#).as_deref(), Some("x\"yé"));
        assert_eq!(unescape_json(r"\ud800"), None);
    }

    #[test]
    fn what_is_not_a_record() {
        assert_eq!(all("[1]"), Err(JsonFault::NotAnObject));
        assert_eq!(all("3"), Err(JsonFault::NotAnObject));
        let fault = all(r#"{"a":1"#).unwrap_err();
        assert_eq!(fault.to_string(), "not valid JSON: EOF while parsing an object at column 6");
        assert!(matches!(all(r#"{"a":1} x"#), Err(JsonFault::Invalid(_))));
    }

    proptest! {
        #[test]
        fn as_serde_json_reads_it(map in proptest::collection::btree_map(".{0,6}", ".{0,8}", 0..5)) {
            let line = serde_json::to_string(&map).unwrap();
            let mut seen = std::collections::BTreeMap::new();
            members(&line, |m| {
                seen.insert(unescape_json(m.key).unwrap(), unescape_json(&line[m.start..m.end]).unwrap());
            }).unwrap();
            prop_assert_eq!(seen, map);
        }
    }
}
