//! Sorting the rows of one range, or of a dataset that is small.

use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::sort::{MergeTask, Unsorted};
use shardmill_common::task::TaskOutput;

use super::{Context, ShardSink};
use crate::spill::ExternalSort;

pub fn run(context: &Context, task: &MergeTask) -> Result<TaskOutput, Failure> {
    let mut output = TaskOutput::default();
    let mut sort = ExternalSort::new(context, (*task.order).clone(), context.budget);
    match &task.rows {
        Unsorted::Shards(shards) => {
            for shard in shards {
                let frame = context.open(shard, &task.schema)?;
                output.counters.add(Counter::RowsIn, frame.height() as u64);
                sort.push(frame)?;
            }
        }
        Unsorted::Range { runs, partition } => {
            for data in context.partitions(*runs, *partition) {
                for frame in crate::shuffle::frames(data?) {
                    let frame = frame?;
                    context.advance(frame.height() as u64, 0);
                    sort.push(frame)?;
                }
            }
        }
    }
    let sorted = sort.finish()?;
    output.spilled = sorted.spilled();
    let mut sink = ShardSink::new(context);
    for frame in sorted {
        sink.push(frame?)?;
    }
    sink.finish(&mut output)?;
    Ok(output)
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
