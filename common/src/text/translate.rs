//! Any style of delimited text as the one that the parser reads: cells parted by one byte, quotes doubled, lines that end with `\n`.
//!
//! A line of the source stays a line, so that places in messages are those of the file: what is no record becomes an empty line.
//! What is wrong with a record stays wrong, for the parser to say.

use super::style::{Delimiter, Style};

/// A line that may be a comment is looked at whole up to this length; a longer one is a record.
const MAX_COMMENT: usize = 1 << 20;
const QUOTE: u8 = b'"';

/// Where in a record the reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before anything of a line.
    Line,
    /// Before anything of a cell.
    Cell,
    /// In a cell without quotes, whose text is in `cell`.
    Plain,
    /// Between the quotes of a cell.
    Quoted,
    /// Behind the closing quote.
    Closed,
}

/// Translates a text piece by piece.
#[derive(Debug)]
pub struct Translator {
    style: Style,
    delimiter: u8,
    at: At,
    cell: Vec<u8>,
    /// Something in the cell under way was escaped: an empty text is none, and a text is not what it looks like.
    escaped: bool,
    /// Line ends that were passed, and how many there were when the last quote opened.
    lines: u64,
    opened: u64,
    comments: u64,
    /// Cells that were in quotes.
    quotes: u64,
}

/// A quote that is open at the end of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quote opened in line {line} never closes; if quotes are ordinary characters here, say so with --quote ''")]
pub struct Unclosed {
    /// From 1, of the text that was translated.
    pub line: u64,
}

/// What was found at a place.
enum Mark {
    Delimiter(usize),
    /// The end of a line, and its bytes.
    End(usize),
    Other,
}

impl Translator {
    pub fn new(style: Style) -> Self {
        let delimiter = style.delimiter.byte();
        Self {
            style,
            delimiter,
            at: At::Line,
            cell: Vec::new(),
            escaped: false,
            lines: 0,
            opened: 0,
            comments: 0,
            quotes: 0,
        }
    }

    /// Lines that were left out as comments.
    pub const fn comments(&self) -> u64 {
        self.comments
    }

    /// Cells that were in quotes.
    pub const fn quotes(&self) -> u64 {
        self.quotes
    }

    /// The quote that is still open.
    pub fn unclosed(&self) -> Option<Unclosed> {
        (self.at == At::Quoted).then_some(Unclosed { line: self.opened + 1 })
    }

    /// Translates what it can of `data`, which goes on where the last call ended, and returns how much that was. `last`: nothing
    /// follows, and all of it is translated.
    pub fn step(&mut self, data: &[u8], last: bool, out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while at < data.len() {
            // What a character means may depend on those behind it.
            if !last && data.len() - at < self.look_ahead() {
                break;
            }
            if self.at == At::Line {
                match self.comment(data.get(at..).unwrap_or_default(), last) {
                    Some(0) => self.at = At::Cell,
                    Some(length) => {
                        self.comments += 1;
                        // Its line end is that of an empty line.
                        self.at = At::Cell;
                        at += length;
                        continue;
                    }
                    None => break,
                }
            }
            if !last && self.style.delimiter == Delimiter::Blanks && run_reaches_end(data.get(at..).unwrap_or_default())
            {
                break;
            }
            at = self.character(data, at, last, out);
        }
        if last && at >= data.len() {
            self.finish(out);
        }
        at
    }

    fn look_ahead(&self) -> usize {
        let delimiter = match &self.style.delimiter {
            Delimiter::Text(text) => text.len(),
            Delimiter::Byte(_) | Delimiter::Blanks => 1,
        };
        delimiter.max(3)
    }

    /// The length of the comment that begins here, without its line end; 0 if none does, and `None` if that cannot be told yet.
    fn comment(&self, line: &[u8], last: bool) -> Option<usize> {
        let Some(comment) = &self.style.comment else { return Some(0) };
        let mark = comment.mark.as_bytes();
        if !line.starts_with(mark) {
            let undecided = !last && line.len() < mark.len() && mark.starts_with(line);
            return if undecided { None } else { Some(0) };
        }
        let ends = |b: &u8| *b == b'\n' || (self.style.returns && *b == b'\r');
        let end = match line.iter().position(ends) {
            Some(end) => end,
            None if last => line.len(),
            None if line.len() < MAX_COMMENT => return None,
            None => return Some(0),
        };
        let text = line.get(..end).unwrap_or_default();
        let is_record = comment.unless_cells.is_some_and(|cells| self.cells_of(text) == cells);
        if is_record {
            return Some(0);
        }
        Some(if text.last() == Some(&b'\r') { end - 1 } else { end })
    }

    /// How many cells a line has that would be a record.
    fn cells_of(&self, line: &[u8]) -> usize {
        let style = Style { comment: None, ..self.style.clone() };
        let mut out = Vec::new();
        Translator::new(style).step(line, true, &mut out);
        let grammar = super::Grammar { delimiter: self.delimiter, quote: Some(QUOTE) };
        let mut cells = 0;
        super::split_record(&out, 0, grammar, out.len() + 1, true, |_| cells += 1);
        cells
    }

    fn mark(&self, data: &[u8], at: usize) -> Mark {
        let rest = data.get(at..).unwrap_or_default();
        match rest {
            [b'\n', ..] => return Mark::End(1),
            [b'\r', b'\n', ..] => return Mark::End(2),
            [b'\r', b'\r', b'\n', ..] if self.style.returns => return Mark::End(3),
            [b'\r', ..] if self.style.returns => return Mark::End(1),
            _ => {}
        }
        match &self.style.delimiter {
            Delimiter::Byte(byte) if rest.first() == Some(byte) => Mark::Delimiter(1),
            Delimiter::Text(text) if rest.starts_with(text.as_bytes()) => Mark::Delimiter(text.len()),
            Delimiter::Blanks => match rest.iter().take_while(|b| is_blank(**b)).count() {
                0 => Mark::Other,
                blanks => Mark::Delimiter(blanks),
            },
            _ => Mark::Other,
        }
    }

    /// Takes the character (or the mark) at `at`; the place behind it.
    fn character(&mut self, data: &[u8], at: usize, last: bool, out: &mut Vec<u8>) -> usize {
        let Some(byte) = data.get(at).copied() else { return data.len() };
        if self.at == At::Quoted {
            return self.quoted(data, at, byte, last, out);
        }
        if self.style.escape == Some(byte)
            && self.at != At::Closed
            && let Some(next) = data.get(at + 1)
        {
            self.at = At::Plain;
            if self.is_special(data, at + 1) {
                self.escaped = true;
                self.lines += u64::from(*next == b'\n');
            } else {
                self.cell.push(byte);
            }
            self.cell.push(*next);
            return at + 2;
        }
        match self.mark(data, at) {
            Mark::End(length) => {
                self.end_cell(out);
                out.push(b'\n');
                self.lines += 1;
                self.at = At::Line;
                return at + length;
            }
            Mark::Delimiter(length) => {
                let blanks = self.style.delimiter == Delimiter::Blanks;
                // Runs of blanks part nothing at the start and the end of a line.
                let parts = !blanks || (self.at != At::Cell && !self.only_blanks_follow(data, at + length, last));
                if parts {
                    self.end_cell(out);
                    out.push(self.delimiter);
                    self.at = At::Cell;
                }
                return at + length;
            }
            Mark::Other => {}
        }
        match self.at {
            At::Cell if self.style.quote == Some(byte) => {
                out.push(QUOTE);
                self.opened = self.lines;
                self.quotes += 1;
                self.at = At::Quoted;
            }
            At::Cell if self.style.trim && is_blank(byte) => {}
            At::Closed if self.style.trim && is_blank(byte) => {}
            // Text behind a closing quote: the parser says so.
            At::Closed => out.push(byte),
            _ => {
                self.at = At::Plain;
                self.cell.push(byte);
            }
        }
        at + 1
    }

    /// Whether a character means something by itself, so that an escape before it says that it does not.
    fn is_special(&self, data: &[u8], at: usize) -> bool {
        let byte = data.get(at).copied();
        byte == self.style.quote
            || byte == self.style.escape
            || matches!(byte, Some(b'\n' | b'\r'))
            || matches!(self.mark(data, at), Mark::Delimiter(_))
    }

    /// Takes a character between quotes.
    fn quoted(&mut self, data: &[u8], at: usize, byte: u8, last: bool, out: &mut Vec<u8>) -> usize {
        let next = data.get(at + 1).copied();
        if self.style.escape == Some(byte)
            && let Some(next) = next
        {
            self.lines += u64::from(next == b'\n');
            if !self.is_special(data, at + 1) {
                push_quoted(byte, out);
            }
            push_quoted(next, out);
            return at + 2;
        }
        if self.style.quote == Some(byte) {
            if next == Some(byte) {
                push_quoted(byte, out);
                return at + 2;
            }
            debug_assert!(next.is_some() || last, "a quote is looked at with what follows it");
            out.push(QUOTE);
            self.at = At::Closed;
            return at + 1;
        }
        self.lines += u64::from(byte == b'\n');
        push_quoted(byte, out);
        at + 1
    }

    /// Whether a line ends here, behind blanks that were passed over.
    fn only_blanks_follow(&self, data: &[u8], at: usize, last: bool) -> bool {
        match data.get(at) {
            None => last,
            Some(b'\n') => true,
            Some(b'\r') => self.style.returns || data.get(at + 1) == Some(&b'\n'),
            Some(_) => false,
        }
    }

    /// Writes the cell that ends here.
    fn end_cell(&mut self, out: &mut Vec<u8>) {
        if self.at == At::Plain {
            let cell = if self.style.trim { trim_end(&self.cell) } else { &self.cell };
            // What databases write for null.
            let is_null = !self.escaped && self.style.escape.is_some_and(|escape| cell == [escape, b'N']);
            if !is_null {
                write_cell(cell, self.delimiter, self.escaped, out);
            }
        }
        self.cell.clear();
        self.escaped = false;
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        match self.at {
            At::Line | At::Quoted => {}
            At::Cell | At::Plain | At::Closed => self.end_cell(out),
        }
    }
}

/// Whether blanks go on to where more may follow. A run beyond all measure is taken to have ended.
fn run_reaches_end(rest: &[u8]) -> bool {
    let run = rest.iter().take_while(|b| is_blank(**b)).count();
    run > 0 && run + 2 > rest.len() && run < MAX_COMMENT
}

const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim_end(cell: &[u8]) -> &[u8] {
    let end = cell.iter().rposition(|b| !is_blank(*b)).map_or(0, |last| last + 1);
    cell.get(..end).unwrap_or_default()
}

fn push_quoted(byte: u8, out: &mut Vec<u8>) {
    if byte == QUOTE {
        out.push(QUOTE);
    }
    out.push(byte);
}

/// Writes a cell, in quotes where it would be read as something else without.
fn write_cell(cell: &[u8], delimiter: u8, quoted: bool, out: &mut Vec<u8>) {
    let shapes = |b: &u8| *b == delimiter || *b == b'\n' || *b == b'\r';
    if !quoted && cell.first() != Some(&QUOTE) && !cell.iter().any(shapes) {
        out.extend_from_slice(cell);
        return;
    }
    out.push(QUOTE);
    cell.iter().for_each(|b| push_quoted(*b, out));
    out.push(QUOTE);
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
