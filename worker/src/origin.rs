//! How messages name the rows of a dataset.

use shardmill_common::failure::Failure;

/// Where a shard's rows come from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub source: &'a str,
    /// Rows of the dataset before this shard.
    pub first_row: u64,
}

impl Origin<'_> {
    /// `row 17 of orders@1`; rows are counted from 1.
    pub fn name(self, row: u64) -> String {
        format!("row {} of {}", self.first_row + row + 1, self.source)
    }

    /// A failure of one row of the shard.
    pub fn fault(self, row: u64, what: impl std::fmt::Display) -> Failure {
        Failure::bad_input(format!("{}: {what}", self.name(row)))
    }
}
