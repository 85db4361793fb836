//! Maps and reduces that people bring, and the sorting, grouping and joining that Shardmill plans itself: what is asked for,
//! and what one task of it does. A file a family.

mod aggregate;
mod job;
mod join;
mod sort;
mod step;

pub use aggregate::{Aggregate, AggregateSpec, AggregateTask, Function, MergeGroupsTask, aggregated_schema};
pub use job::{
    CheckTask, Checked, CombineTask, ConformTask, MapInput, MapOutput, MapReduceSpec, MapTask, ReduceSide, ReduceTask,
    common_keys, side_schema,
};
pub use join::{JoinHow, JoinSpec, LookupTask, TooLarge};
pub use sort::{BoundsTask, MergeTask, RangeTask, SampleTask, SortKey, SortOrder, SortSpec, Unsorted};
pub use step::{Format, Limits, Program, ShippedFile, Step, Work};
