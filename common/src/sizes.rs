//! Sizes of partitions as they travel and are kept: variable-length numbers (LEB128), rows and bytes by turns, in base64. Ten thousand
//! map tasks of a thousand partitions are some 40 MB so, and several times that as JSON numbers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::task::PartitionSize;

fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off the front; `None` where there is none, or one that is too large.
fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn packed(sizes: &[PartitionSize]) -> String {
    let mut bytes = Vec::with_capacity(sizes.len() * 4);
    for size in sizes {
        put(size.rows, &mut bytes);
        put(size.bytes, &mut bytes);
    }
    STANDARD.encode(bytes)
}

fn unpacked<E: serde::de::Error>(text: &str) -> Result<Vec<PartitionSize>, E> {
    let bytes = STANDARD.decode(text).map_err(E::custom)?;
    let (mut rest, mut sizes) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        let size = take(&mut rest).and_then(|rows| Some(PartitionSize { rows, bytes: take(&mut rest)? }));
        sizes.push(size.ok_or_else(|| E::custom("sizes of partitions that are cut short"))?);
    }
    Ok(sizes)
}

pub fn serialize<S: Serializer>(sizes: &[PartitionSize], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&packed(sizes))
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PartitionSize>, D::Error> {
    unpacked(&String::deserialize(from)?)
}

/// Of whoever may have none.
pub mod optional {
    use super::*;

    pub fn serialize<S: Serializer>(sizes: &Option<Vec<PartitionSize>>, to: S) -> Result<S::Ok, S::Error> {
        sizes.as_deref().map(packed).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<PartitionSize>>, D::Error> {
        Option::<String>::deserialize(from)?.map(|text| unpacked(&text)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::TaskOutput;

    #[test]
    fn sizes_come_back_and_are_small() {
        let numbers = [0, 1, 127, 128, 300, 1 << 40, u64::MAX];
        let sizes: Vec<PartitionSize> =
            numbers.iter().flat_map(|a| numbers.map(|b| PartitionSize { rows: *a, bytes: b })).collect();
        for shuffle in [None, Some(Vec::new()), Some(sizes)] {
            let output = TaskOutput { shuffle, ..Default::default() };
            let json = serde_json::to_string(&output).unwrap();
            assert_eq!(serde_json::from_str::<TaskOutput>(&json).unwrap(), output, "{json}");
        }
        let thousand = Some(vec![PartitionSize { rows: 90, bytes: 2000 }; 1000]);
        let json = serde_json::to_string(&TaskOutput { shuffle: thousand, ..Default::default() }).unwrap();
        assert!(json.len() < 4200, "{}", json.len());
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        for bytes in [&[1u8][..], &[0x80, 0x80], &[1, 0x80], &[0xff; 10]] {
            let json = format!("{{\"shuffle\":\"{}\"}}", STANDARD.encode(bytes));
            assert!(serde_json::from_str::<TaskOutput>(&json).is_err(), "{bytes:?}");
        }
    }
}
