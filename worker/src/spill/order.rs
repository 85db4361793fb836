//! Putting keys into order: a short prefix of each beside its row, sorted as numbers; only where prefixes are equal and cut
//! short are the keys themselves compared.

use polars::prelude::{DataFrame, DataType as PolarsType, IdxCa, IdxSize};
use polars_arrow::array::{Array, Utf8ViewArray};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::sort::SortOrder;

use super::key::Keys;
use crate::hash::one_array;

/// Rows in the order of their keys; rows of equal keys keep their order.
pub fn order_of(keys: &Keys) -> Vec<IdxSize> {
    let rows = keys.len();
    if (1..rows).all(|row| keys.get(row - 1) <= keys.get(row)) {
        return (0..rows as IdxSize).collect();
    }
    let common = common_prefix(keys);
    let longest = (0..rows).map(|row| keys.get(row).len()).max().unwrap_or(0) - common;
    if longest <= 8 { ordered::<1>(keys, common, longest) } else { ordered::<2>(keys, common, longest) }
}

/// The bytes that every key begins with.
fn common_prefix(keys: &Keys) -> usize {
    let first = keys.get(0);
    let mut common = first.len();
    for row in 1..keys.len() {
        let key = keys.get(row);
        if !key.starts_with(&first[..common]) {
            common = first.iter().zip(key).take_while(|(a, b)| a == b).count();
        }
    }
    common
}

/// `WORDS` words of eight bytes of a key, from `common` on; where it ends, zeros follow.
#[inline]
fn prefix<const WORDS: usize>(key: &[u8], common: usize) -> [u64; WORDS] {
    let rest = key.get(common..).unwrap_or(&[]);
    std::array::from_fn(|word| {
        let rest = rest.get(word * 8..).unwrap_or(&[]);
        match rest.first_chunk::<8>() {
            Some(bytes) => u64::from_be_bytes(*bytes),
            None => {
                let mut bytes = [0; 8];
                bytes[..rest.len()].copy_from_slice(rest);
                u64::from_be_bytes(bytes)
            }
        }
    })
}

fn ordered<const WORDS: usize>(keys: &Keys, common: usize, longest: usize) -> Vec<IdxSize> {
    let mut entries: Vec<([u64; WORDS], IdxSize)> =
        (0..keys.len()).map(|row| (prefix(keys.get(row), common), row as IdxSize)).collect();
    entries.sort_unstable();
    if longest > WORDS * 8 {
        // No key begins another, so equal prefixes of keys that end within them are equal keys, which the row has ordered.
        let mut from = 0;
        while from < entries.len() {
            let same = entries[from..].iter().take_while(|e| e.0 == entries[from].0).count();
            if same > 1 {
                entries[from..from + same]
                    .sort_unstable_by(|a, b| keys.get(a.1 as usize).cmp(keys.get(b.1 as usize)).then(a.1.cmp(&b.1)));
            }
            from += same;
        }
    }
    entries.into_iter().map(|(_, row)| row).collect()
}

/// Frames of the same columns as one, each column in one piece.
pub fn concat(frames: impl IntoIterator<Item = DataFrame>) -> Result<Option<DataFrame>, Failure> {
    let mut whole: Option<DataFrame> = None;
    for frame in frames {
        match &mut whole {
            None => whole = Some(frame),
            Some(whole) => {
                whole.vstack_mut(&frame).map_err(|e| Failure::internal(format!("rows of one kind differ: {e}")))?;
            }
        }
    }
    if let Some(whole) = &mut whole {
        whole.rechunk_mut();
    }
    Ok(whole)
}

/// A frame's rows in order; rows of equal keys keep theirs.
pub fn sort_frame(frame: &DataFrame, order: &SortOrder) -> Result<DataFrame, Failure> {
    take(frame, order_of_rows(frame, order)?)
}

/// The rows of a frame in order; rows of equal keys keep theirs.
pub fn order_of_rows(frame: &DataFrame, order: &SortOrder) -> Result<Vec<IdxSize>, Failure> {
    if let [key] = order.by.as_slice()
        && let Ok(column) = frame.column(&key.column)
        && *column.dtype() == PolarsType::String
        && frame.height() > 0
    {
        return Ok(order_of_text(&one_array(column.as_materialized_series())?, key.descending, order.nulls_last));
    }
    Ok(order_of(&Keys::of(frame, order)?))
}

/// One column of text is compared where it lies: its bytes compare as its keys would.
fn order_of_text(text: &Utf8ViewArray, descending: bool, nulls_last: bool) -> Vec<IdxSize> {
    let value = |row: IdxSize| text.value(row as usize).as_bytes();
    let rows = 0..text.len() as IdxSize;
    let (mut some, none): (Vec<IdxSize>, Vec<IdxSize>) = match text.validity() {
        Some(validity) => rows.partition(|row| validity.get_bit(*row as usize)),
        None => (rows.collect(), Vec::new()),
    };
    let turned = |a: &[u8], b: &[u8]| if descending { b.cmp(a) } else { a.cmp(b) };
    if !some.windows(2).all(|pair| turned(value(pair[0]), value(pair[1])).is_le()) {
        let first = some.first().map_or(&[][..], |row| value(*row));
        let common = some.iter().fold(first.len(), |common, row| {
            let other = value(*row);
            if other.starts_with(&first[..common]) {
                common
            } else {
                first.iter().zip(other).take_while(|(a, b)| a == b).count()
            }
        });
        let mut entries: Vec<([u64; 2], IdxSize)> = some
            .into_iter()
            .map(|row| {
                let words = prefix::<2>(value(row), common);
                (if descending { words.map(|word| !word) } else { words }, row)
            })
            .collect();
        entries.sort_unstable();
        // Equal prefixes may be cut short, or end in zeros of their own.
        for same in entries.chunk_by_mut(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
            same.sort_unstable_by(|a, b| turned(value(a.1), value(b.1)).then(a.1.cmp(&b.1)));
        }
        some = entries.into_iter().map(|(_, row)| row).collect();
    }
    if nulls_last { [some, none].concat() } else { [none, some].concat() }
}

pub(super) fn take(frame: &DataFrame, rows: Vec<IdxSize>) -> Result<DataFrame, Failure> {
    if rows.len() == frame.height() && (0..).zip(&rows).all(|(n, row): (IdxSize, _)| n == *row) {
        return Ok(frame.clone());
    }
    frame.take(&IdxCa::from_vec("i".into(), rows)).map_err(Failure::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_common_beginnings_and_long_keys_are_ordered_like_short_ones() {
        for (start, tail) in
            [("", ""), ("a long common beginning of all ", ""), ("x", " and a tail longer than a prefix")]
        {
            let words: Vec<String> = (0..500).map(|n| format!("{start}{}{tail}{}", n * 7919 % 100, n % 3)).collect();
            let mut keys = Keys::default();
            words.iter().for_each(|w| {
                let mut key = w.as_bytes().to_vec();
                key.push(0);
                keys.push(&key);
            });
            let mut expected: Vec<IdxSize> = (0..500).collect();
            expected.sort_by_key(|row| words[*row as usize].clone());
            assert_eq!(order_of(&keys), expected, "{start:?} {tail:?}");
        }
        assert!(order_of(&Keys::default()).is_empty());
    }
}
