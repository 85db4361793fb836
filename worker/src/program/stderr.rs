//! Standard error of a program: counters and status for whoever watches, and the attempt's log, of bounded size.

use std::collections::VecDeque;
use std::io::Read;

use shardmill_common::counters::{Counter, Counters};

/// Bytes kept of the beginning and of the end of a log.
const HEAD: usize = 32 << 10;
const TAIL: usize = 32 << 10;
/// A longer line is taken as several.
const LINE: usize = 64 << 10;
/// A program has so many counters at most, of names this long: they are shown to people.
const COUNTERS: usize = 1000;
const NAME: usize = 200;
const STATUS: usize = 200;
/// A failure shows so much of the log's end.
const SHOWN_LINES: usize = 12;
const SHOWN_BYTES: usize = 2000;

/// What a program said on standard error.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub counters: Counters,
    log: Log,
}

#[derive(Debug, Default)]
struct Log {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Log {
    fn push(&mut self, line: &[u8]) {
        let (first, rest) =
            if self.tail.is_empty() { line.split_at(line.len().min(HEAD - self.head.len())) } else { (&[][..], line) };
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.left_out += excess as u64;
    }

    fn text(&self) -> String {
        let (one, two) = self.tail.as_slices();
        let tail = [one, two].concat();
        let head = String::from_utf8_lossy(&self.head);
        let tail = String::from_utf8_lossy(&tail);
        match self.left_out {
            0 => format!("{head}{tail}"),
            n => format!("{head}\n[{n} bytes left out]\n{tail}"),
        }
    }
}

impl Said {
    /// Reads until the end; `status` gets what the program says of itself.
    pub(super) fn read(mut input: impl Read, mut status: impl FnMut(&str)) -> Self {
        let mut said = Self::default();
        let mut held = Vec::new();
        let mut buffer = vec![0; 16 << 10];
        while let Ok(n) = input.read(&mut buffer) {
            let piece = buffer.get(..n).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            held.extend_from_slice(piece);
            let mut at = 0;
            while let Some(end) = held.get(at..).and_then(|rest| memchr::memchr(b'\n', rest)) {
                said.line(held.get(at..=at + end).unwrap_or_default(), &mut status);
                at += end + 1;
            }
            held.drain(..at);
            if held.len() > LINE {
                said.log.push(&held);
                held.clear();
            }
        }
        if !held.is_empty() {
            said.line(&held, &mut status);
        }
        said
    }

    fn line(&mut self, line: &[u8], status: &mut impl FnMut(&str)) {
        if let Some(rest) = line.strip_prefix(b"reporter:") {
            let rest = String::from_utf8_lossy(rest);
            let rest = rest.trim_end_matches(['\n', '\r']);
            if let Some(text) = rest.strip_prefix("status:") {
                let shown = text.chars().filter(|c| !c.is_control()).take(STATUS).collect::<String>();
                status(shown.trim());
                return;
            }
            if rest.strip_prefix("counter:").is_some_and(|counter| self.count(counter)) {
                return;
            }
        }
        self.log.push(line);
    }

    /// `group,name,n`; false where it is something else.
    fn count(&mut self, counter: &str) -> bool {
        let Some((names, n)) = counter.rsplit_once(',') else { return false };
        let Some((group, name)) = names.split_once(',') else { return false };
        let (group, name) = (group.trim(), name.trim());
        let Ok(n) = n.trim().parse::<u64>() else { return false };
        let full = format!("{group}/{name}");
        // A program may add to what the program around it counts by groups.
        let Ok(counter) = full.parse::<Counter>() else { return false };
        let known = self.counters.0.contains_key(&counter);
        if group.is_empty()
            || name.is_empty()
            || full.len() > NAME
            || full.chars().any(char::is_control)
            || (!known && self.counters.0.len() >= COUNTERS)
        {
            return false;
        }
        self.counters.add(counter, n);
        true
    }

    pub(super) fn log(&self) -> String {
        self.log.text()
    }

    /// The last lines, for a message; `None` where there are none.
    pub(super) fn last_lines(&self) -> Option<String> {
        let text = self.log.text();
        let lines: Vec<&str> = text.lines().rev().filter(|l| !l.trim().is_empty()).take(SHOWN_LINES).collect();
        let mut shown = lines.into_iter().rev().collect::<Vec<_>>().join("\n");
        if shown.len() > SHOWN_BYTES {
            let cut = (shown.len() - SHOWN_BYTES..shown.len()).find(|n| shown.is_char_boundary(*n)).unwrap_or(0);
            shown = format!("…{}", shown.get(cut..).unwrap_or_default());
        }
        (!shown.is_empty()).then_some(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> (Said, Vec<String>) {
        let mut statuses = Vec::new();
        let said = Said::read(text, |s| statuses.push(s.to_owned()));
        (said, statuses)
    }

    #[test]
    fn counters_and_status_are_taken_out_of_the_log() {
        let text = b"one\nreporter:counter:words, long ,2\nreporter:status:half \x1bway\nreporter:counter:words,long,18446744073709551615\n\
            reporter:counter:a,b,c,1\nreporter:counter:words,-1\nreporter:counter:,x,1\nreporter:counter:x,y,-1\n\xff\nlast";
        let (said, statuses) = read(text);
        assert_eq!(statuses, ["half way"]);
        assert_eq!(said.counters.get(&Counter::Own { group: "words".into(), name: "long".into() }), u64::MAX);
        assert_eq!(said.counters.get(&Counter::Own { group: "a".into(), name: "b,c".into() }), 1);
        let log = "one\nreporter:counter:words,-1\nreporter:counter:,x,1\nreporter:counter:x,y,-1\n\u{fffd}\nlast";
        assert_eq!(said.log(), log);
        assert_eq!(said.last_lines().unwrap(), log);
    }

    #[test]
    fn a_long_log_keeps_both_ends() {
        let text: String = (0..50_000).map(|n| format!("line {n}\n")).collect();
        let (said, _) = read(text.as_bytes());
        let log = said.log();
        assert!(log.starts_with("line 0\nline 1\n") && log.ends_with("line 49998\nline 49999\n"));
        let left_out = text.len() - HEAD - TAIL;
        assert!(log.contains(&format!("\n[{left_out} bytes left out]\n")), "{}", log.len());
        assert_eq!(said.last_lines().unwrap().lines().count(), SHOWN_LINES);
        let (said, _) = read(&vec![b'x'; 1 << 20]);
        assert!(said.log().len() < HEAD + TAIL + 100);
        assert!(said.last_lines().unwrap().len() <= SHOWN_BYTES + 3);
        assert_eq!(read(b"").0.last_lines(), None);
    }

    #[test]
    fn counters_are_not_without_end() {
        let text: String = (0..COUNTERS + 10).map(|n| format!("reporter:counter:g,c{n},1\n")).collect();
        let (said, _) = read(format!("{text}reporter:counter:g,c0,1\n").as_bytes());
        assert_eq!(said.counters.0.len(), COUNTERS);
        assert_eq!(said.counters.get(&Counter::Own { group: "g".into(), name: "c0".into() }), 2);
        assert_eq!(said.log().lines().count(), 10);
    }
}
