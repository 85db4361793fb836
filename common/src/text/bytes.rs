//! Bytes as text: hexadecimal digits.

/// Bytes of pairs of hexadecimal digits, behind `0x`, `\x` or nothing; nothing, where they are no such pairs.
pub fn parse_hex(cell: &[u8]) -> Option<Vec<u8>> {
    let digits = cell.strip_prefix(b"0x").or_else(|| cell.strip_prefix(b"\\x")).unwrap_or(cell);
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Appends two small hexadecimal digits for each byte.
pub fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.extend([byte >> 4, byte & 15].map(|d| DIGITS[usize::from(d)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_in_pairs_are_bytes() {
        assert_eq!(parse_hex(b"00ffA7"), Some(vec![0, 255, 0xa7]));
        assert_eq!(parse_hex(b"0x01"), Some(vec![1]));
        assert_eq!(parse_hex(b"\\x0102"), Some(vec![1, 2]));
        assert_eq!(parse_hex(b""), Some(vec![]));
        for no in ["0", "0g", "123", "0x0", "\u{e4}\u{e4}"] {
            assert_eq!(parse_hex(no.as_bytes()), None, "{no}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes: Vec<u8>) {
            let mut text = Vec::new();
            write_hex(&bytes, &mut text);
            prop_assert_eq!(parse_hex(&text), Some(bytes));
        }
    }
}
