//! Grouping rows and computing counts, sums and the like of every group, in two steps: states of a shard's groups, which
//! travel, and what is made of them when those of all shards have met.
//!
//! Groups are told apart by the 128-bit hash of their keys. States are merged in shard order, so sums of floats do not depend
//! on where tasks ran. Null values count for nothing, except as rows; NaN is a value: sums, means and variances with one are
//! NaN, and it is one distinct value, but `min`, `max` and quantiles leave it out unless there is nothing else.

mod accumulate;
mod cells;
mod distinct;
mod groups;
mod layout;
mod quantile;
mod sums;

pub use accumulate::{Accumulator, Overflow};
pub use cells::Cells;
pub use distinct::{DistinctCounter, DistinctPairs};
pub use groups::Groups;
pub use layout::{Layout, Output, Source, key_name, state_name};
pub use quantile::{OfShares, Quantiles, ValueCounts};
