//! The places of the bytes that shape a delimited text, found 64 bytes at a time.

/// Walks over the places of up to three distinct bytes, in order.
pub(super) struct Marks<'a> {
    data: &'a [u8],
    needles: [u8; 3],
    /// Where the block under way begins, and its marks that were not yet told.
    block: usize,
    bits: u64,
    /// Where the next block begins.
    next: usize,
}

const BLOCK: usize = 64;

impl<'a> Marks<'a> {
    pub(super) fn new(data: &'a [u8], needles: [u8; 3]) -> Self {
        Self { data, needles, block: 0, bits: 0, next: 0 }
    }

    /// The next place.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            if self.next >= self.data.len() {
                return None;
            }
            self.load(self.next);
        }
        let place = self.block + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(place)
    }

    /// Goes on at `place`, which may be ahead or behind.
    pub(super) fn seek(&mut self, place: usize) {
        let block = place - place % BLOCK;
        if block >= self.data.len() {
            self.bits = 0;
            self.next = self.data.len();
            return;
        }
        self.load(block);
        self.bits &= u64::MAX << (place % BLOCK);
    }

    #[inline(always)]
    fn load(&mut self, block: usize) {
        let rest = self.data.get(block..).unwrap_or_default();
        self.bits = match rest.first_chunk::<BLOCK>() {
            Some(full) => find(full, self.needles),
            None => {
                let mut padded = [0; BLOCK];
                padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                find(&padded, self.needles) & !(u64::MAX << rest.len())
            }
        };
        self.block = block;
        self.next = block + BLOCK;
    }
}

/// A bit for each byte that is one of the needles.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn find(block: &[u8; BLOCK], needles: [u8; 3]) -> u64 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8};

    let mut mask = 0;
    for (index, piece) in block.as_chunks::<16>().0.iter().enumerate() {
        let piece = u128::from_le_bytes(*piece);
        // SAFETY: these touch no memory, and every x86-64 processor has SSE2.
        let hits = unsafe {
            let [a, b, c] = needles.map(|n| _mm_set1_epi8(n as i8));
            let piece = _mm_set_epi64x((piece >> 64) as i64, piece as i64);
            let hit = _mm_or_si128(_mm_cmpeq_epi8(piece, b), _mm_cmpeq_epi8(piece, c));
            _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(piece, a), hit))
        };
        mask |= u64::from(hits as u16) << (index * 16);
    }
    mask
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn find(block: &[u8; BLOCK], needles: [u8; 3]) -> u64 {
    let [a, b, c] = needles;
    let mut mask = 0;
    for (index, byte) in block.iter().enumerate() {
        mask |= u64::from(*byte == a || *byte == b || *byte == c) << index;
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_place_and_no_other() {
        for len in [0, 1, 15, 63, 64, 65, 200, 256] {
            let data: Vec<u8> = (0..len).map(|i| b"\n,x\"y\0zabcdefg"[i * 7 % 14]).collect();
            let is_mark = |b: &u8| matches!(b, b'\n' | b',' | b'"');
            let expected: Vec<usize> = (0..len).filter(|i| is_mark(&data[*i])).collect();
            let mut marks = Marks::new(&data, *b"\n,\"");
            assert_eq!(std::iter::from_fn(|| marks.next()).collect::<Vec<_>>(), expected);
            for place in 0..=len {
                marks.seek(place);
                let from = expected.iter().copied().find(|p| *p >= place);
                assert_eq!(marks.next(), from, "{len} {place}");
            }
        }
    }

    #[test]
    fn padding_is_no_mark() {
        let mut marks = Marks::new(b"a\0", [0, b'\n', b'\n']);
        assert_eq!((marks.next(), marks.next()), (Some(1), None));
    }
}
