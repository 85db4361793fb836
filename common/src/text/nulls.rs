//! The cells that mean null.

/// What pandas takes for missing besides the empty cell (documentation of `read_csv`, `na_values`), but for the spellings of NaN,
/// which are floats here.
pub const COMMON_NULLS: [&str; 13] =
    ["#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "n/a", "null"];

/// A set of null markers, made to be asked about every cell.
#[derive(Clone, Debug)]
pub struct Nulls {
    /// By first byte: whether any marker starts so.
    first: Box<[bool; 256]>,
    markers: Vec<Box<[u8]>>,
}

impl Nulls {
    pub fn new(markers: &[String]) -> Self {
        let mut first = Box::new([false; 256]);
        let markers: Vec<Box<[u8]>> = markers.iter().filter(|m| !m.is_empty()).map(|m| m.as_bytes().into()).collect();
        for byte in markers.iter().filter_map(|m| m.first()) {
            if let Some(flag) = first.get_mut(usize::from(*byte)) {
                *flag = true;
            }
        }
        Self { first, markers }
    }

    /// Whether a cell with this text, quoted or not, is null. The empty cell is not asked about: its quotes matter.
    #[inline]
    pub fn has(&self, cell: &[u8]) -> bool {
        match cell.first() {
            Some(byte) if self.first.get(usize::from(*byte)) == Some(&true) => {
                self.markers.iter().any(|m| **m == *cell)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_cells() {
        let nulls = Nulls::new(&["NA".to_owned(), "-999".to_owned(), String::new()]);
        assert!(nulls.has(b"NA") && nulls.has(b"-999"));
        assert!(!nulls.has(b"N") && !nulls.has(b"NAN") && !nulls.has(b"") && !nulls.has(b"-99"));
    }
}
