//! Bytes of a text source before they are text: byte order marks, windows-1252, and what encoding bytes seem to have.

/// The length of a UTF-8 byte order mark at the start of a source: 3 or 0.
pub fn bom_len(start: &[u8]) -> usize {
    if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
}

/// What windows-1252 has at 0x80 to 0x9f; five bytes that it leaves open are control characters, as on the web
/// (<https://encoding.spec.whatwg.org/index-windows-1252.txt>).
const UPPER_CONTROLS: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}', '\u{2030}',
    '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}',
    '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}',
    '\u{17e}', '\u{178}',
];
/// Letters that only Icelandic has of the languages that are written in windows-1252, and that stand for others in its relatives.
const ELSEWHERE: [u8; 6] = [0xd0, 0xdd, 0xde, 0xf0, 0xfd, 0xfe];
const OPEN: [u8; 5] = [0x81, 0x8d, 0x8f, 0x90, 0x9d];

/// Bytes of windows-1252 as UTF-8. Newlines, and so line numbers, stay as they are.
pub fn windows_1252_to_utf8(bytes: Vec<u8>) -> Vec<u8> {
    let wide = bytes.iter().filter(|b| !b.is_ascii()).count();
    if wide == 0 {
        return bytes;
    }
    let mut text = Vec::with_capacity(bytes.len() + 2 * wide);
    for byte in bytes {
        let upper = byte.checked_sub(0x80).and_then(|at| UPPER_CONTROLS.get(usize::from(at)));
        let mut buffer = [0; 4];
        text.extend_from_slice(upper.copied().unwrap_or(char::from(byte)).encode_utf8(&mut buffer).as_bytes());
    }
    text
}

/// The encoding that the start of a text seems to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    Utf8,
    Utf16Le,
    Utf16Be,
    Windows1252,
    /// None of these; the first byte that is not UTF-8 is there.
    Unknown {
        offset: usize,
    },
}

/// Looks at the start of a text. What is not UTF-8 is windows-1252 if it can be a text of a western language in it: its letters beyond
/// ASCII stand mostly alone. A text of which only little is not UTF-8 is taken for UTF-8 with faults.
pub fn guess_encoding(start: &[u8]) -> Guess {
    match start {
        [0xff, 0xfe, ..] => return Guess::Utf16Le,
        [0xfe, 0xff, ..] => return Guess::Utf16Be,
        _ => {}
    }
    if let Some(guess) = utf16_without_mark(start) {
        return guess;
    }
    let (mut at, mut valid, mut faults, mut first) = (0, 0_usize, 0_usize, None);
    while let Some(rest) = start.get(at..).filter(|rest| !rest.is_empty()) {
        match std::str::from_utf8(rest) {
            Ok(text) => {
                valid += beyond_ascii(text.as_bytes());
                break;
            }
            Err(error) => {
                valid += beyond_ascii(rest.get(..error.valid_up_to()).unwrap_or_default());
                // A character that is cut off by the end of what is looked at is none.
                let Some(length) = error.error_len() else { break };
                first.get_or_insert(at + error.valid_up_to());
                faults += 1;
                at += error.valid_up_to() + length;
            }
        }
    }
    let Some(offset) = first else { return Guess::Utf8 };
    if faults * 10 <= valid {
        return Guess::Utf8;
    }
    let high = |b: &u8| !b.is_ascii();
    let all = start.iter().filter(|b| high(b)).count();
    let beside = start.windows(2).filter(|pair| pair.iter().all(high)).count();
    let odd = start.iter().any(|b| OPEN.contains(b) || ELSEWHERE.contains(b)) || has_odd_words(start);
    if odd || beside * 4 > all { Guess::Unknown { offset } } else { Guess::Windows1252 }
}

/// Whether words have signs or capitals where none belong, as texts of other encodings have them in windows-1252: `\u{a3}ukasz`, `J\u{178}rgen`.
fn has_odd_words(text: &[u8]) -> bool {
    const CAPITALS: [u8; 4] = [0x8a, 0x8c, 0x8e, 0x9f];
    let is_capital = |b: u8| CAPITALS.contains(&b) || matches!(b, 0xc0..=0xd6 | 0xd8..=0xdd);
    // The ordinals, degrees and powers that end words, and the inner dot, may stand beside letters.
    let is_sign = |b: u8| {
        matches!(b, 0xa1..=0xbf)
            && !matches!(b, 0xaa | 0xad | 0xb0 | 0xb2 | 0xb3 | 0xb5 | 0xb7 | 0xb9 | 0xba | 0xa1 | 0xbf | 0xab | 0xbb)
    };
    let within = |w: &[u8]| {
        matches!(w, [before, capital, after]
        if before.is_ascii_alphabetic() && is_capital(*capital) && after.is_ascii_lowercase())
    };
    text.windows(3).any(within)
        || text.windows(2).any(|pair| match pair {
            [sign, letter] if is_sign(*sign) && letter.is_ascii_alphabetic() => true,
            [small, capital] => small.is_ascii_lowercase() && is_capital(*capital),
            _ => false,
        })
}

fn beyond_ascii(text: &[u8]) -> usize {
    text.iter().filter(|b| **b >= 0xc0).count()
}

/// UTF-16 of mostly ASCII has a zero in every other byte.
fn utf16_without_mark(start: &[u8]) -> Option<Guess> {
    let start = start.get(..4096).unwrap_or(start);
    let pairs = start.len() / 2;
    let zeros = |first: usize| start.iter().skip(first).step_by(2).take(pairs).filter(|b| **b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    if pairs < 2 {
        None
    } else if odd * 10 >= pairs * 4 && even == 0 {
        Some(Guess::Utf16Le)
    } else if even * 10 >= pairs * 4 && odd == 0 {
        Some(Guess::Utf16Be)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_1252() {
        let text = b"caf\xe9,\xff,\x80 5,\x93hi\x94\n".to_vec();
        assert_eq!(windows_1252_to_utf8(text), "café,ÿ,€ 5,“hi”\n".as_bytes());
        assert_eq!(bom_len("\u{feff}a".as_bytes()), 3);
        assert_eq!(bom_len(b"a"), 0);
    }

    #[test]
    fn encodings_are_guessed_with_care() {
        let utf16 = |text: &str, be: bool| -> Vec<u8> {
            text.encode_utf16().flat_map(|u| if be { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
        };
        assert_eq!(guess_encoding(b"a,b\n"), Guess::Utf8);
        assert_eq!(guess_encoding(b""), Guess::Utf8);
        assert_eq!(guess_encoding("größe,é".as_bytes()), Guess::Utf8);
        assert_eq!(guess_encoding(&"größe".as_bytes()[..3]), Guess::Utf8);
        assert_eq!(guess_encoding(&utf16("id,name\n1,Zoë\n", false)), Guess::Utf16Le);
        assert_eq!(guess_encoding(&utf16("id,name\n1,Zoë\n", true)), Guess::Utf16Be);
        assert_eq!(guess_encoding(&utf16("\u{feff}名前\n", false)), Guess::Utf16Le);
        assert_eq!(guess_encoding(b"id,v\n1,caf\xe9\n2,\x80 5\n"), Guess::Windows1252);
        // Cyrillic in windows-1251, and Japanese in Shift JIS.
        assert_eq!(guess_encoding(b"\xc0\xcc\xb8\xa7,\xb3\xaa\xc0\xcc\n"), Guess::Unknown { offset: 0 });
        assert_eq!(guess_encoding(b"\xcf\xf0\xe8\xe2\xe5\xf2,1\n"), Guess::Unknown { offset: 0 });
        assert_eq!(guess_encoding(b"a,\x93\xfa\x96\x7b\x8c\xea\n"), Guess::Unknown { offset: 2 });
        for text in [
            &b"imi\xea;miasto\n\xa3ukasz;\xa3\xf3d\x9f\n"[..],
            b"jm\xe9no\n\xaeofie\n",
            b"ad\nI\xfe\xfdk\n",
            b"id,name\n1,J\x9frgen\n",
        ] {
            assert!(matches!(guess_encoding(text), Guess::Unknown { .. }), "{text:?}");
        }
        assert_eq!(
            guess_encoding(b"\xa3 5, 20 m\xb2, \xa7 3, \x93na\xefve\x94, \x8auk, 5\xa0\x80, \xa9 Ann, El Ni\xf1o\n"),
            Guess::Windows1252
        );
        let mostly = ["é".repeat(100).as_bytes(), b"\xff"].concat();
        assert_eq!(guess_encoding(&mostly), Guess::Utf8);
        assert_eq!(guess_encoding(b"a\0b,c\n"), Guess::Utf8);
    }
}
