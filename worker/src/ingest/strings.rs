//! String columns whose values stay where they lie in the chunk's text.

use polars::prelude::{Column, IntoColumn, PlSmallStr, StringChunked};
use polars_arrow::array::{PrimitiveArray, Utf8ViewArray, View};
use polars_arrow::bitmap::Bitmap;
use polars_arrow::datatypes::ArrowDataType;

/// Values of a string column under way: views into the text, or into `own` where the value is not the text as written.
#[derive(Debug, Default)]
pub(super) struct Strings {
    views: Vec<View>,
    own: Vec<u8>,
    total: usize,
}

const IN_TEXT: u32 = 0;
const IN_OWN: u32 = 1;

impl Strings {
    pub(super) fn len(&self) -> usize {
        self.views.len()
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.views.reserve(rows);
    }

    pub(super) fn push_null(&mut self) {
        self.views.push(View::default());
    }

    /// A value that is the text from `start`.
    #[inline(always)]
    pub(super) fn push_text(&mut self, data: &[u8], start: u32, value: &[u8]) {
        self.total += value.len();
        let view = match data.get(start as usize..).and_then(<[u8]>::first_chunk::<16>) {
            Some(bytes) => view_of(*bytes, value.len(), IN_TEXT, start),
            None => View::new_from_bytes(value, IN_TEXT, start),
        };
        self.views.push(view);
    }

    pub(super) fn push_own(&mut self, value: &[u8]) {
        let start = self.own.len() as u32;
        self.own.extend_from_slice(value);
        self.total += value.len();
        self.views.push(View::new_from_bytes(value, IN_OWN, start));
    }

    /// The column. Every value pushed must have been UTF-8, from within `text`.
    pub(super) fn finish(self, name: PlSmallStr, text: &PrimitiveArray<u8>, validity: Option<Bitmap>) -> Column {
        let own = PrimitiveArray::from_vec(self.own);
        let buffers = vec![text.values().clone(), own.values().clone()];
        let held = buffers.iter().map(|b| b.len()).sum();
        // SAFETY: the readers of this module's parent push cells of records that were validated as UTF-8, cut at ASCII
        // bytes; views were made from the bytes of those very buffers, in this order.
        let array = unsafe {
            Utf8ViewArray::new_unchecked(
                ArrowDataType::Utf8View,
                self.views.into(),
                buffers.into(),
                validity,
                Some(self.total),
                held,
            )
        };
        StringChunked::with_chunk(name, array).into_column()
    }
}

/// The view of a value of `len` bytes that starts `bytes`: copying a fixed size and masking beats copying `len` bytes.
#[inline(always)]
fn view_of(bytes: [u8; 16], len: usize, buffer_idx: u32, offset: u32) -> View {
    let length = len as u32;
    let bytes = u128::from_le_bytes(bytes);
    let word = |value: u128| u32::from_ne_bytes((value as u32).to_le_bytes());
    if length <= View::MAX_INLINE_SIZE {
        let kept = bytes & ((1_u128 << (8 * length)) - 1);
        View { length, prefix: word(kept), buffer_idx: word(kept >> 32), offset: word(kept >> 64) }
    } else {
        View { length, prefix: word(bytes), buffer_idx, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_as_the_engine_makes_them() {
        let data = *b"abcdefghijklmnop";
        for len in 0..=16 {
            let ours = view_of(data, len, 0, 7);
            let theirs = View::new_from_bytes(&data[..len], 0, 7);
            assert_eq!(ours.as_u128(), theirs.as_u128(), "{len}");
        }
    }
}
