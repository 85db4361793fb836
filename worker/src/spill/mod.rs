//! What does not fit in memory: rows sorted through runs on disk, and rows split on disk by the hash of their keys. Order and
//! hash are Shardmill's own, so nothing here changes with the engine's version.

mod file;
mod key;
mod merge;
mod order;
mod sort;
mod split;

#[cfg(test)]
pub(crate) mod testing;

pub use file::{held_bytes, pieces};
pub use key::{KeyColumns, Keys};
pub use order::{concat, order_of, sort_frame};
pub use sort::{ExternalSort, Sorted};
pub use split::{HashSplit, SplitPart};
