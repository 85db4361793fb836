//! What a task reads of shards: for the progress bar, and so that the places of those shards are sent along.

use shardmill_common::mapreduce::Unsorted;
use shardmill_common::task::{ShardInput, ShardRef, TaskKind};

/// Every shard that an attempt opens. A kind that opens shards of earlier tasks must name them here.
pub(super) fn opens(kind: &TaskKind) -> Vec<&ShardInput> {
    match kind {
        TaskKind::Clean(t) => vec![&t.input],
        TaskKind::Statistics(t) => vec![&t.input],
        TaskKind::Hash(t) => t.inputs.iter().collect(),
        TaskKind::Drop(t) => t.inputs.iter().collect(),
        TaskKind::Deliver(t) => t.inputs.iter().collect(),
        TaskKind::Emit(t) => t.inputs.iter().collect(),
        TaskKind::Count(t) => vec![&t.input],
        TaskKind::Split(t) => vec![&t.input],
        TaskKind::Profile(t) => vec![&t.input],
        TaskKind::Learn(t) => vec![&t.input],
        TaskKind::Fit(t) => t.inputs.iter().collect(),
        TaskKind::Predict(t) => vec![&t.input],
        TaskKind::Assess(t) => vec![&t.input],
        TaskKind::Check(t) => t.samples.iter().flatten().collect(),
        TaskKind::Map(t) => vec![&t.input],
        TaskKind::Conform(t) => vec![&t.input],
        TaskKind::Aggregate(t) => t.inputs.iter().collect(),
        TaskKind::Sample(t) => t.inputs.iter().collect(),
        TaskKind::Range(t) => t.inputs.iter().collect(),
        TaskKind::Merge(t) => match &t.rows {
            Unsorted::Shards(inputs) => inputs.iter().collect(),
            Unsorted::Range { .. } => Vec::new(),
        },
        TaskKind::Lookup(t) => std::iter::once(&t.input).chain(&t.others).collect(),
        TaskKind::Parse(_)
        | TaskKind::MergeStatistics(_)
        | TaskKind::Duplicates(_)
        | TaskKind::Match(_)
        | TaskKind::Rank(_)
        | TaskKind::Combine(_)
        | TaskKind::Reduce(_)
        | TaskKind::MergeGroups(_)
        | TaskKind::Bounds(_)
        | TaskKind::Copy(_) => Vec::new(),
    }
}

/// Bytes that a task reads from outside the job.
pub(super) fn input_bytes(kind: &TaskKind) -> u64 {
    let stored = |input: &ShardInput| match &input.shard {
        ShardRef::Stored(entry) => entry.object.bytes,
        ShardRef::Made { .. } => 0,
    };
    match kind {
        TaskKind::Parse(t) => t.chunk.bytes,
        TaskKind::Copy(t) => t.objects.iter().map(|o| o.bytes).sum(),
        // A table that every task looks up in is the same one each time, and a check takes a sample.
        TaskKind::Lookup(t) => stored(&t.input),
        TaskKind::Check(_) => 0,
        kind => opens(kind).into_iter().map(stored).sum(),
    }
}
