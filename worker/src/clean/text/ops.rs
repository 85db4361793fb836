//! What one text rule does to one cell. Each function writes only when the text changes, and says whether it did.

use memchr::memmem::Finder;
use regex::{Captures, Regex, Replacer};
use shardmill_common::rules::{NormalForm, Side};
use unicode_normalization::{
    IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick,
};

/// `text` without white space at its ends.
#[inline]
pub fn trim(text: &str, side: Side) -> &str {
    // Most cells have nothing to trim, which their first and last byte show.
    if let [first, .., last] = text.as_bytes()
        && is_plain(*first)
        && is_plain(*last)
    {
        return text;
    }
    match side {
        Side::Both => text.trim(),
        Side::Start => text.trim_start(),
        Side::End => text.trim_end(),
    }
}

/// An ASCII byte that is not white space.
#[inline]
fn is_plain(byte: u8) -> bool {
    (0x21..0x7f).contains(&byte)
}

/// Makes every run of white space one space.
pub fn collapse(text: &str, out: &mut String) -> bool {
    let mut last_was_space = false;
    let mut dirty = false;
    for byte in text.bytes() {
        let is_space = byte == b' ';
        dirty |= (is_space && last_was_space) || !(0x20..0x80).contains(&byte);
        last_was_space = is_space;
    }
    if !dirty {
        return false;
    }
    out.clear();
    let mut in_space = false;
    for c in text.chars() {
        if c.is_whitespace() {
            if !in_space {
                out.push(' ');
            }
            in_space = true;
        } else {
            in_space = false;
            out.push(c);
        }
    }
    out != text
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Whether ASCII bytes have a letter of the case that starts at `first` (`A` or `a`); `None` when some byte is not ASCII.
#[inline]
fn has_case(bytes: &[u8], first: u8) -> Option<bool> {
    let from = ONES * u64::from(0x80 - first);
    let past = ONES * u64::from(0x80 - (first + 26));
    let mut not_ascii = 0u64;
    let mut found = 0u64;
    let mut look = |word: u64| {
        not_ascii |= word & HIGH;
        let word = word & !HIGH;
        found |= (word + from) & !(word + past) & HIGH;
    };
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        look(u64::from_le_bytes(*word));
    }
    if !tail.is_empty() {
        let mut word = 0u64;
        for byte in tail {
            word = word << 8 | u64::from(*byte);
        }
        look(word);
    }
    if not_ascii == 0 { Some(found != 0) } else { None }
}

pub fn lower(text: &str, out: &mut String) -> bool {
    match has_case(text.as_bytes(), b'A') {
        Some(false) => false,
        Some(true) => {
            out.clear();
            out.push_str(text);
            out.make_ascii_lowercase();
            true
        }
        None => {
            *out = text.to_lowercase();
            out != text
        }
    }
}

pub fn upper(text: &str, out: &mut String) -> bool {
    match has_case(text.as_bytes(), b'a') {
        Some(false) => false,
        Some(true) => {
            out.clear();
            out.push_str(text);
            out.make_ascii_uppercase();
            true
        }
        None => {
            *out = text.to_uppercase();
            out != text
        }
    }
}

/// The first letter of each word upper, the others lower; a word is letters, digits and apostrophes.
pub fn title(text: &str, out: &mut String) -> bool {
    out.clear();
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        in_word = c.is_alphanumeric() || (in_word && matches!(c, '\'' | '’'));
    }
    out != text
}

pub fn normalize(text: &str, form: NormalForm, out: &mut String) -> bool {
    // ASCII is normal in every form.
    if text.is_ascii() {
        return false;
    }
    let quick = match form {
        NormalForm::Nfc => is_nfc_quick(text.chars()),
        NormalForm::Nfd => is_nfd_quick(text.chars()),
        NormalForm::Nfkc => is_nfkc_quick(text.chars()),
        NormalForm::Nfkd => is_nfkd_quick(text.chars()),
    };
    if quick == IsNormalized::Yes {
        return false;
    }
    out.clear();
    match form {
        NormalForm::Nfc => out.extend(text.nfc()),
        NormalForm::Nfd => out.extend(text.nfd()),
        NormalForm::Nfkc => out.extend(text.nfkc()),
        NormalForm::Nfkd => out.extend(text.nfkd()),
    }
    out != text
}

/// Replaces every `find` by `with`.
pub fn replace(text: &str, find: &Finder<'_>, with: &str, out: &mut String) -> bool {
    let mut done = 0;
    out.clear();
    for at in find.find_iter(text.as_bytes()) {
        out.push_str(&text[done..at]);
        out.push_str(with);
        done = at + find.needle().len();
    }
    if done == 0 {
        return false;
    }
    out.push_str(&text[done..]);
    out != text
}

/// Replaces every match of `find` by `with`, in which `$1` is the first group.
pub fn replace_regex(text: &str, find: &Regex, mut with: &str, out: &mut String) -> bool {
    if !find.is_match(text) {
        return false;
    }
    out.clear();
    let mut done = 0;
    if let Some(literal) = with.no_expansion() {
        for found in find.find_iter(text) {
            out.push_str(&text[done..found.start()]);
            out.push_str(&literal);
            done = found.end();
        }
    } else {
        for groups in find.captures_iter(text) {
            let (start, end) = span(&groups);
            out.push_str(&text[done..start]);
            groups.expand(with, out);
            done = end;
        }
    }
    out.push_str(&text[done..]);
    out != text
}

fn span(groups: &Captures<'_>) -> (usize, usize) {
    groups.get(0).map_or((0, 0), |whole| (whole.start(), whole.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(f: impl Fn(&str, &mut String) -> bool, text: &str) -> String {
        let mut out = "left over".to_owned();
        if f(text, &mut out) {
            assert_ne!(out, text, "said to have changed");
            out
        } else {
            text.to_owned()
        }
    }

    #[test]
    fn trimming_knows_unicode_and_sides() {
        assert_eq!(trim(" \t a b\u{a0}\u{3000}", Side::Both), "a b");
        assert_eq!(trim(" a ", Side::Start), "a ");
        assert_eq!(trim(" a ", Side::End), " a");
        assert_eq!(trim("a", Side::Both), "a");
        assert_eq!(trim(" ", Side::Both), "");
        assert_eq!(trim("", Side::Both), "");
    }

    #[test]
    fn case_fast_paths_equal_the_library() {
        let mut alphabet: Vec<char> = (0u8..128).map(char::from).collect();
        alphabet.extend(['é', 'É', 'ß', 'Σ', 'ı']);
        let mut seed = 7u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (length, ascii) = ((seed >> 40) % 25, !(seed >> 33).is_multiple_of(4));
            for _ in 0..length {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let range = if ascii { 128 } else { alphabet.len() };
                text.push(alphabet[(seed >> 33) as usize % range]);
            }
            assert_eq!(run(lower, &text), text.to_lowercase());
            assert_eq!(run(upper, &text), text.to_uppercase());
        }
    }

    #[test]
    fn the_other_operations() {
        assert_eq!(run(collapse, "a  b\t\nc\u{a0}d é"), "a b c d é");
        assert_eq!(run(collapse, "  a "), " a ");
        assert_eq!(run(title, "o'neil  SMITH-jones 3rd"), "O'neil  Smith-Jones 3rd");
        assert_eq!(run(|t, o| normalize(t, NormalForm::Nfc, o), "e\u{301}"), "é");
        assert_eq!(run(|t, o| normalize(t, NormalForm::Nfkc, o), "ﬁ"), "fi");
        assert_eq!(run(|t, o| normalize(t, NormalForm::Nfd, o), "é"), "e\u{301}");
        assert_eq!(run(|t, o| replace(t, &Finder::new("ab"), "b", o), "abab-c"), "bb-c");
        assert_eq!(run(|t, o| replace(t, &Finder::new("a"), "a", o), "aa"), "aa");
        let regex = Regex::new(r"(\d+)-(\d+)").unwrap();
        assert_eq!(run(|t, o| replace_regex(t, &regex, "$2/$1", o), "1-2 and 3-4."), "2/1 and 4/3.");
        assert_eq!(run(|t, o| replace_regex(t, &Regex::new("x*").unwrap(), "-", o), "ab"), "-a-b-");
    }
}
