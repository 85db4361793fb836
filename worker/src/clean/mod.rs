//! Cleaning: applies rules to a shard, and gathers what rules must know of the whole dataset.

mod actions;
mod apply;
mod cast;
mod cells;
mod checks;
mod merge;
mod parse;
mod sql;
mod state;
mod summary;
mod text;

pub use apply::{Cleaned, Place, RejectedRow, apply, check};
pub use merge::{Runs, merge};
pub use summary::{Summary, summarise};

#[cfg(test)]
mod tests;
