//! Partitions of another worker's shuffle files as they come over the wire: each piece is checked as it arrives, and little more is
//! held than one piece and what the connection's window lets through.

use bytes::{Buf, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

use super::PartitionError;

/// Length and checksum, in front of every piece.
const HEAD: usize = 16;

/// What stands in front of a piece on the wire.
pub struct Piece;

impl Piece {
    /// Adds a piece to what is to be sent.
    pub fn put(out: &mut BytesMut, data: &[u8]) {
        out.extend_from_slice(&(data.len() as u64).to_le_bytes());
        out.extend_from_slice(&xxh3_64(data).to_le_bytes());
        out.extend_from_slice(data);
    }
}

/// Takes pieces apart again, from a stream of bytes that knows nothing of them.
#[derive(Default)]
pub struct RemotePartitions {
    buffer: BytesMut,
}

impl RemotePartitions {
    /// The next piece, if all of it is here.
    pub fn take(&mut self) -> Option<Result<Bytes, PartitionError>> {
        let head = self.buffer.get(..HEAD)?;
        let (length, sum) = head.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let (length, sum) = (number(length), number(sum));
        // Room for the whole piece at once, instead of growing to twice its size; a length that is nonsense gets none.
        if self.buffer.capacity() < HEAD + length.min(1 << 30) as usize {
            self.buffer.reserve(HEAD + length.min(1 << 30) as usize - self.buffer.len());
        }
        if (self.buffer.len() - HEAD) as u64 >= length {
            self.buffer.advance(HEAD);
            let data = self.buffer.split_to(length as usize).freeze();
            let fits = xxh3_64(&data) == sum;
            return Some(if fits { Ok(data) } else { Err(PartitionError::Checksum) });
        }
        None
    }

    /// Bytes came.
    pub fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_however_they_are_cut() {
        let pieces = [&b"first"[..], b"", b"a longer third piece"];
        let mut wire = BytesMut::new();
        pieces.iter().for_each(|piece| Piece::put(&mut wire, piece));
        for size in [1, 3, 16, 1000] {
            let (mut read, mut found) = (RemotePartitions::default(), Vec::new());
            for cut in wire.chunks(size) {
                read.push(cut);
                while let Some(piece) = read.take() {
                    found.push(piece.unwrap());
                }
            }
            assert_eq!(found, pieces, "cut into {size}");
        }
        let last = wire.len() - 1;
        wire[last] ^= 1;
        let mut read = RemotePartitions::default();
        read.push(&wire);
        let found: Vec<bool> = std::iter::from_fn(|| read.take()).map(|piece| piece.is_ok()).collect();
        assert_eq!(found, [true, true, false]);
    }
}
