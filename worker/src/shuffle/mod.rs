//! Shuffle files: one a map task, its partitions one after another as Arrow IPC streams, then an index.

mod error;
mod input;
mod local;
mod read;
mod remote;
mod rows;
mod write;

pub use error::{Damage, PartitionError};
pub use input::ShuffleInput;
pub use local::{Indexes, LocalFile, LocalPartitions, WINDOW};
pub use read::frames;
#[cfg(test)]
pub use read::{partition_in_file, to_frame};
pub use remote::{Piece, RemotePartitions};
pub use rows::{partition_rows, shuffle_rows};
pub use write::ShuffleWriter;

/// The last bytes of a complete shuffle file.
const MAGIC: &[u8; 8] = b"SMSHUF01";
