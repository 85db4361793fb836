//! Shuffle files: one a map task, its partitions one after another as Arrow IPC streams, then an index.

mod read;
mod rows;
mod write;

pub use read::{frames, partition_in_file, to_frame};
pub use rows::{Partitioned, partition_rows, shuffle_rows};
pub use write::ShuffleWriter;

/// The last bytes of a complete shuffle file.
const MAGIC: &[u8; 8] = b"SMSHUF01";
