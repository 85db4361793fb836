//! JSON of any layout as JSON lines: the values of an array, or values one after another, each on a line of its own.
//!
//! A value stays in the line in which it begins, as far as each begins in another one; line ends within it come behind it.

use std::io::{self, Read};

use shardmill_common::text::Ready;

const BLOCK: usize = 64 << 10;

/// The text ended inside of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonEnd {
    #[error("the JSON array has no end: the file was cut short; copy or download it again")]
    Array,
    #[error("a JSON value that begins in line {line} has no end: the file was cut short; copy or download it again")]
    Value { line: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Array {
    /// Nothing was seen yet.
    Unknown,
    None,
    Open,
    Closed,
}

/// See the module.
pub struct JsonLines<R> {
    inner: R,
    walk: Walk,
    raw: Vec<u8>,
    ready: Ready,
    ended: bool,
}

struct Walk {
    array: Array,
    /// Of objects and arrays of the value under way.
    depth: u64,
    in_value: bool,
    in_string: bool,
    escaped: bool,
    /// A value is on the line that is being written.
    on_line: bool,
    /// Line ends that were inside of it.
    held: u64,
    line: u64,
    began: u64,
}

impl<R: Read> JsonLines<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, walk: Walk::new(), raw: Vec::new(), ready: Ready::default(), ended: false }
    }

    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    fn fill(&mut self) -> io::Result<()> {
        let ready = self.ready.renew();
        while ready.is_empty() && !self.ended {
            self.raw.resize(BLOCK, 0);
            let n = self.inner.read(&mut self.raw)?;
            for byte in self.raw.get(..n).unwrap_or_default() {
                self.walk.byte(*byte, ready);
            }
            self.ended = n == 0;
            if self.ended
                && let Some(end) = self.walk.missing()
            {
                return Err(io::Error::other(end));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for JsonLines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_spent() {
            self.fill()?;
        }
        Ok(self.ready.hand(out))
    }
}

/// The lines of the start of a text.
pub fn lines_of(start: &[u8]) -> Vec<u8> {
    let (mut walk, mut out) = (Walk::new(), Vec::with_capacity(start.len()));
    start.iter().for_each(|b| walk.byte(*b, &mut out));
    out
}

impl Walk {
    const fn new() -> Self {
        Self {
            array: Array::Unknown,
            depth: 0,
            in_value: false,
            in_string: false,
            escaped: false,
            on_line: false,
            held: 0,
            line: 1,
            began: 1,
        }
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte == b'\n' {
            self.line += 1;
        }
        if self.in_string {
            out.push(byte);
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.in_string = false;
                self.end_if_outside();
            }
            return;
        }
        match byte {
            b'\n' if self.in_value && self.depth > 0 => self.held += 1,
            b'\n' => {
                self.in_value = false;
                self.end_line(out);
            }
            b' ' | b'\t' | b'\r' if self.depth == 0 => self.in_value = false,
            b'[' if self.depth == 0 && self.array == Array::Unknown => self.array = Array::Open,
            b']' if self.depth == 0 && self.array == Array::Open => {
                self.in_value = false;
                self.array = Array::Closed;
            }
            b',' if self.depth == 0 && self.array == Array::Open => self.in_value = false,
            _ => self.of_value(byte, out),
        }
    }

    fn of_value(&mut self, byte: u8, out: &mut Vec<u8>) {
        if !self.in_value {
            if self.array == Array::Unknown {
                self.array = Array::None;
            }
            if self.on_line {
                self.end_line(out);
            }
            self.in_value = true;
            self.on_line = true;
            self.began = self.line;
        }
        out.push(byte);
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.end_if_outside();
            }
            _ => {}
        }
    }

    fn end_if_outside(&mut self) {
        self.in_value = self.depth > 0;
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.resize(out.len() + usize::try_from(self.held).unwrap_or(0) + 1, b'\n');
        self.held = 0;
        self.on_line = false;
    }

    /// What the text ended in.
    fn missing(&self) -> Option<JsonEnd> {
        if self.in_string || self.depth > 0 {
            Some(JsonEnd::Value { line: self.began })
        } else if self.array == Array::Open {
            Some(JsonEnd::Array)
        } else {
            None
        }
    }
}

/// Whether a text that begins so is JSON, but not a value a line.
pub fn is_laid_out(start: &[u8]) -> bool {
    let start = start.trim_ascii_start();
    match start.first() {
        Some(b'[') => true,
        Some(b'{') => {
            let mut walk = Walk::new();
            let mut out = Vec::new();
            let line = start.iter().position(|b| *b == b'\n').unwrap_or(start.len());
            start.iter().take(line).for_each(|b| walk.byte(*b, &mut out));
            // The first value goes on in the next line, which does not begin one by itself.
            walk.depth > 0 && !walk.in_string && {
                let next = start.get(line..).unwrap_or_default().trim_ascii_start();
                matches!(next.first(), Some(b'"' | b'}'))
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<String, String> {
        let mut out = String::new();
        match JsonLines::new(text.as_bytes()).read_to_string(&mut out) {
            Ok(_) => Ok(out),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn arrays_and_values_of_several_lines() {
        assert_eq!(lines("[{\"a\":1},{\"a\":[2,3]}]").unwrap(), "{\"a\":1}\n{\"a\":[2,3]}");
        let pretty = "[\n  {\n    \"a\": \"x, ]\\\"\\n\"\n  },\n  {\"a\": {\"b\":\n1}}\n]\n";
        assert_eq!(lines(pretty).unwrap(), "\n{    \"a\": \"x, ]\\\"\\n\"  }\n\n\n{\"a\": {\"b\":1}}\n\n\n");
        assert_eq!(lines("{\n \"a\": 1\n}\n{\"a\":2}\n").unwrap(), "{ \"a\": 1}\n\n\n{\"a\":2}\n");
        assert_eq!(lines("{\"a\":1}{\"a\":2}").unwrap(), "{\"a\":1}\n{\"a\":2}");
        assert_eq!(lines("[1, \"x\", null]").unwrap(), "1\n\"x\"\nnull");
        assert_eq!(lines("[]").unwrap(), "");
    }

    #[test]
    fn what_was_cut_short_is_told() {
        assert!(lines("[{\"a\":1},").unwrap_err().contains("array has no end"));
        assert!(lines("[{\"a\":1},\n{\"a\":").unwrap_err().contains("line 2"));
        assert!(lines("{\"a").unwrap_err().contains("line 1"));
    }

    #[test]
    fn json_lines_are_left_alone() {
        assert!(is_laid_out(b" [{}]") && is_laid_out(b"{\n\"a\":1}") && !is_laid_out(b"{}\n"));
        assert!(!is_laid_out(b"{\"a\":1}\n{\"a\":2}\n") && !is_laid_out(b"{\"a\":\n{\"a\":2}\n") && !is_laid_out(b"x"));
    }
}
