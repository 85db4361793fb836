//! The order of a reduce's rows within its partition: the statement's own, then by the keys. It does not depend on whether
//! the partition was reduced at once or in parts.

use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::dedup::HashColumn;
use shardmill_common::kinds::sort::{SortKey, SortOrder};

use crate::spill::{ExternalSort, sort_frame};
use crate::sql::Statement;
use crate::tasks::{Context, ShardSink};

/// Orders to apply one after another, each stable: the last one counts most.
pub fn passes(statement: &Statement, keys: &[HashColumn]) -> Vec<SortOrder> {
    // A global group is one statement's result, in its order.
    if keys.is_empty() {
        return Vec::new();
    }
    let ascending = |name: &str| SortKey { column: name.to_owned(), descending: false };
    let (there, missing): (Vec<&HashColumn>, Vec<&HashColumn>) =
        keys.iter().partition(|key| statement.schema.get(&key.name).is_some());
    let mut by: Vec<SortKey> = there.iter().map(|key| ascending(&key.name)).collect();
    if !missing.is_empty() {
        // Rows of different keys may look the same up to here.
        let rest = statement.schema.names().filter(|name| !there.iter().any(|key| key.name == *name));
        by.extend(rest.map(ascending));
    }
    let mut passes = vec![SortOrder { by, nulls_last: false }];
    for (column, descending, nulls_last) in statement.order.iter().rev() {
        let key = SortKey { column: column.clone(), descending: *descending };
        passes.push(SortOrder { by: vec![key], nulls_last: *nulls_last });
    }
    passes
}

/// A frame in order.
pub fn sorted(frame: DataFrame, passes: &[SortOrder]) -> Result<DataFrame, Failure> {
    passes.iter().try_fold(frame, |frame, order| sort_frame(&frame, order))
}

/// Rows that come in parts and may not fit in memory, in order.
pub struct Sorting<'a, 'p> {
    context: &'a Context,
    rest: &'p [SortOrder],
    first: Option<ExternalSort<'a>>,
    unsorted: Vec<DataFrame>,
}

impl<'a, 'p> Sorting<'a, 'p> {
    pub fn new(context: &'a Context, passes: &'p [SortOrder]) -> Self {
        let budget = context.budget / 3;
        let first = passes.first().map(|order| ExternalSort::new(context, order.clone(), budget));
        Self { context, rest: passes.get(1..).unwrap_or_default(), first, unsorted: Vec::new() }
    }

    pub fn push(&mut self, frame: DataFrame) -> Result<(), Failure> {
        match &mut self.first {
            Some(sort) => sort.push(frame),
            None => {
                self.unsorted.push(frame);
                Ok(())
            }
        }
    }

    /// Hands the rows on in order; returns the bytes that were set aside for it.
    pub fn finish(self, sink: &mut ShardSink<'_>) -> Result<u64, Failure> {
        for frame in self.unsorted {
            sink.push(frame)?;
        }
        let Some(first) = self.first else { return Ok(0) };
        let mut sorted = first.finish()?;
        let mut spilled = sorted.spilled();
        for order in self.rest {
            let mut next = ExternalSort::new(self.context, order.clone(), self.context.budget / 3);
            for frame in sorted {
                next.push(frame?)?;
            }
            sorted = next.finish()?;
            spilled += sorted.spilled();
        }
        for frame in sorted {
            sink.push(frame?)?;
        }
        Ok(spilled)
    }
}
