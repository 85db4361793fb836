//! How large chunks are. The size follows from the input alone, never from the cluster, so that results do not either.

const SMALLEST: u64 = 16 << 20;
const LARGEST: u64 = 128 << 20;
/// About as many chunks as are wanted of a large input: enough to balance, few enough to manage.
const CHUNKS: u64 = 256;

/// Bytes of a chunk for so many bytes of input.
pub fn chunk_size(asked: Option<u64>, total: u64) -> u64 {
    asked.unwrap_or_else(|| (total / CHUNKS).clamp(SMALLEST, LARGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_with_the_input_within_bounds() {
        assert_eq!(chunk_size(None, 0), 16 << 20);
        assert_eq!(chunk_size(None, 4 << 30), 16 << 20);
        assert_eq!(chunk_size(None, 8 << 30), 32 << 20);
        assert_eq!(chunk_size(None, 1 << 40), 128 << 20);
        assert_eq!(chunk_size(Some(5), 1 << 40), 5);
    }
}
