//! Shuffle files: one a map task, its partitions one after another as Arrow IPC streams, then an index.

mod read;
mod rows;
mod write;

#[cfg(test)]
pub use read::to_frame;
pub use read::{frames, partition_in_file};
pub use rows::{partition_rows, shuffle_rows};
pub use write::ShuffleWriter;

/// The last bytes of a complete shuffle file.
const MAGIC: &[u8; 8] = b"SMSHUF01";
