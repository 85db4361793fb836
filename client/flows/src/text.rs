//! Text that is safe and pleasant on a terminal: escaped cells, counts, sizes, seconds.

use std::fmt::Write;

use shardmill_common::time::Timestamp;
pub use shardmill_common::units::clip;

/// `text` with every character that could steer a terminal written as an escape.
pub fn escape(text: &str) -> String {
    if !text.chars().any(steers) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if steers(c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// The same for a message of several lines: the lines stay.
pub fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

/// Control characters, and the marks that reverse the direction of text and so can disguise it.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most `limit` characters, both ends kept: names that are long often differ at their end.
pub fn clip_middle(text: &str, limit: usize) -> String {
    let count = text.chars().count();
    if count <= limit {
        return text.to_owned();
    }
    let kept = limit.saturating_sub(1);
    let head: String = text.chars().take(kept.div_ceil(2)).collect();
    let tail: String = text.chars().skip(count - kept / 2).collect();
    format!("{head}…{tail}")
}

/// The name of a class; one that would not be seen, or not wholly, is quoted.
pub fn class_name(name: &str) -> String {
    if name.is_empty() || name.trim() != name { format!("\"{name}\"") } else { name.to_owned() }
}

/// Text in lines of at most `width` characters, broken at blanks; words that are longer are broken, too.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for mut word in text.split(' ') {
        let mut count = word.chars().count();
        loop {
            let gap = usize::from(used > 0);
            if let Some(line) = lines.last_mut().filter(|_| used + gap + count <= width) {
                line.push_str(&" "[..gap]);
                line.push_str(word);
                used += gap + count;
                break;
            }
            if used == 0 {
                let (head, rest) = word.split_at(word.char_indices().nth(width).map_or(word.len(), |(at, _)| at));
                if let Some(line) = lines.last_mut() {
                    line.push_str(head);
                }
                (word, count) = (rest, count - width);
            }
            lines.push(String::new());
            used = 0;
        }
    }
    lines
}

/// A time without its milliseconds.
pub fn to_the_second(time: Timestamp) -> String {
    let text = time.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// Seconds to the millisecond, for programs.
pub fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// `0.42 s`, `12.3 s`, `4 min 10 s`.
pub fn seconds(s: f64) -> String {
    if s < 10.0 {
        format!("{s:.2} s")
    } else if s < 120.0 {
        format!("{s:.1} s")
    } else if s < 7200.0 {
        format!("{} min {} s", (s / 60.0) as u64, (s % 60.0) as u64)
    } else {
        format!("{} h {} min", (s / 3600.0) as u64, (s % 3600.0 / 60.0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_steer_the_terminal() {
        assert_eq!(escape("plain äß"), "plain äß");
        assert_eq!(escape("a\x1b[31mred\r\n\t\x07"), "a\\u{1b}[31mred\\r\\n\\t\\u{7}");
        assert_eq!(escape("\u{202e}evil\u{9b}"), "\\u{202e}evil\\u{9b}");
    }

    #[test]
    fn long_cells_are_clipped_by_characters() {
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("äöüß", 3), "äö…");
        assert_eq!(clip_middle("äöü", 3), "äöü");
        assert_eq!(clip_middle("class number 1", 8), "clas…r 1");
        assert_eq!(clip_middle("äöüß", 1), "…");
    }

    #[test]
    fn class_names_are_seen() {
        assert_eq!(["", " ", "a ", "a b"].map(class_name), ["\"\"", "\" \"", "\"a \"", "a b"]);
    }

    #[test]
    fn long_text_is_wrapped() {
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("ü abcdefghijkl m", 5), ["ü", "abcde", "fghij", "kl m"]);
        assert_eq!(wrap("abcde fghij", 5), ["abcde", "fghij"]);
    }

    #[test]
    fn times_are_told_to_the_second() {
        assert_eq!(to_the_second(Timestamp(1_700_000_000_123)), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(0.421), "0.42 s");
        assert_eq!(seconds(250.0), "4 min 10 s");
    }
}
