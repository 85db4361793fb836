//! A vector of numbers that travels as base64 of its little-endian bytes: exact, and a third of the size of decimal text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Float64 values, packed. NaN and infinities keep their bits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Packed(pub Vec<f64>);

/// Why packed numbers could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PackedError {
    #[error("packed numbers cannot be read: {0}")]
    NotBase64(#[from] base64::DecodeError),
    #[error("packed numbers are cut off: there are {bytes} bytes of the last one")]
    CutOff { bytes: usize },
}

impl From<Packed> for String {
    fn from(packed: Packed) -> String {
        let bytes: Vec<u8> = packed.0.iter().flat_map(|x| x.to_le_bytes()).collect();
        STANDARD.encode(bytes)
    }
}

impl TryFrom<String> for Packed {
    type Error = PackedError;
    fn try_from(text: String) -> Result<Self, PackedError> {
        let bytes = STANDARD.decode(text)?;
        let (chunks, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(PackedError::CutOff { bytes: rest.len() });
        }
        Ok(Packed(chunks.iter().map(|c| f64::from_le_bytes(*c)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_survives() {
        let numbers = Packed(vec![0.1, -0.0, f64::INFINITY, f64::MIN_POSITIVE / 3.0, 1e300]);
        let text = serde_json::to_string(&numbers).unwrap();
        let back: Packed = serde_json::from_str(&text).unwrap();
        let bits = |p: &Packed| p.0.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&numbers));
        assert!(serde_json::from_str::<Packed>("\"AAA=\"").is_err());
    }
}
