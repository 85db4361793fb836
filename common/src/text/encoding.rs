//! Bytes of a text source before they are text: byte order marks and Latin-1.

/// The length of a UTF-8 byte order mark at the start of a source: 3 or 0.
pub fn bom_len(start: &[u8]) -> usize {
    if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
}

/// Latin-1 bytes as UTF-8. Newlines, and so line numbers, stay as they are.
pub fn latin1_to_utf8(bytes: Vec<u8>) -> Vec<u8> {
    let wide = bytes.iter().filter(|b| !b.is_ascii()).count();
    if wide == 0 {
        return bytes;
    }
    let mut text = Vec::with_capacity(bytes.len() + wide);
    for byte in bytes {
        let mut buffer = [0; 2];
        text.extend_from_slice(char::from(byte).encode_utf8(&mut buffer).as_bytes());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin1() {
        assert_eq!(latin1_to_utf8(b"caf\xe9,\xff\n".to_vec()), "café,ÿ\n".as_bytes());
        assert_eq!(bom_len("\u{feff}a".as_bytes()), 3);
        assert_eq!(bom_len(b"a"), 0);
    }
}
