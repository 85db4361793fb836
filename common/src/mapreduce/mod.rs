//! Maps and reduces that people bring, and the sorting, grouping and joining that Shardmill plans itself: what is asked for,
//! and what one task of it does. A file a family.

mod aggregate;
mod job;
mod join;
mod sort;
mod step;

pub use aggregate::{Aggregate, AggregateSpec, AggregateTask, Function, MergeGroupsTask};
pub use job::{
    CheckTask, Checked, CombineTask, ConformTask, MapInput, MapOutput, MapReduceSpec, MapTask, ReduceSide, ReduceTask,
};
pub use join::{JoinHow, JoinSpec, LookupTask};
pub use sort::{BoundsTask, MergeTask, RangeTask, SampleTask, SortKey, SortOrder, SortSpec};
pub use step::{Format, Limits, Program, ShippedFile, Step, Work};
