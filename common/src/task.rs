//! What one task does and what it leaves: the language between the planners of the coordinator and the workers.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::counters::Counters;
use crate::failure::Failure;
use crate::ids::{AttemptId, ObjectId, WorkerId};
use crate::kinds::{
    aggregate, clean, compact, compare, dedup, evaluate, ingest, join, mapreduce, predict, repair, sort, split, sql,
    train,
};
use crate::manifest::{ObjectRef, ShardEntry};
use crate::schema::Schema;
use crate::shared::Shared;

/// A shard to read: of a published version, or made by an earlier stage of the same job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardRef {
    Stored(ShardEntry),
    /// The shard that this task of an earlier stage put out.
    Made {
        stage: u32,
        task: u32,
        /// Which of its shards.
        #[serde(default)]
        part: u32,
    },
}

/// A shard with its place in its dataset. Positions in the shuffle are (ordinal, row).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardInput {
    pub shard: ShardRef,
    pub ordinal: u32,
}

impl ShardInput {
    /// Bytes that lie outside the job.
    pub fn stored_bytes(&self) -> u64 {
        match &self.shard {
            ShardRef::Stored(entry) => entry.object.bytes,
            ShardRef::Made { .. } => 0,
        }
    }
}

/// Tasks `from..to` of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskRange {
    pub stage: u32,
    pub from: u32,
    pub to: u32,
}

impl TaskRange {
    pub fn one(stage: u32, task: u32) -> Self {
        Self { stage, from: task, to: task + 1 }
    }

    pub fn tasks(self) -> impl Iterator<Item = (u32, u32)> {
        (self.from..self.to).map(move |task| (self.stage, task))
    }

    /// The fewest ranges that list these tasks in this order.
    pub fn gather(tasks: impl IntoIterator<Item = (u32, u32)>) -> Vec<TaskRange> {
        let mut ranges: Vec<TaskRange> = Vec::new();
        for (stage, task) in tasks {
            match ranges.last_mut() {
                Some(last) if last.stage == stage && last.to == task => last.to += 1,
                _ => ranges.push(TaskRange::one(stage, task)),
            }
        }
        ranges
    }
}

/// What the scheduler must know of a task, whatever it does.
pub trait Task {
    /// Every shard that an attempt opens.
    fn opens(&self) -> Vec<&ShardInput>;

    /// Bytes that it reads from outside the job.
    fn input_bytes(&self) -> u64 {
        self.opens().into_iter().map(ShardInput::stored_bytes).sum()
    }

    /// Whether only a worker that allows programs may run it.
    fn runs_programs(&self) -> bool {
        false
    }

    /// The schema of the rows that it puts out, where it is known before.
    fn expects(&self) -> Option<&Schema> {
        None
    }
}

/// A task that reports something besides shards, a shuffle file and counters.
pub trait Reporting {
    type Report: Serialize + DeserializeOwned;
}

macro_rules! tasks {
    ($($task:ident($spec:ty);)+) => {
        /// What a task does.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "task", rename_all = "snake_case")]
        pub enum TaskKind {
            $($task($spec),)+
        }

        impl Deref for TaskKind {
            type Target = dyn Task;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(TaskKind::$task(task) => task,)+
                }
            }
        }

        $(impl From<$spec> for TaskKind {
            fn from(task: $spec) -> Self {
                TaskKind::$task(task)
            }
        })+
    };
}

tasks! {
    Parse(ingest::ParseTask);
    Clean(clean::CleanTask);
    Statistics(clean::StatisticsTask);
    MergeStatistics(clean::MergeStatisticsTask);
    Hash(dedup::HashTask);
    Duplicates(dedup::DuplicatesTask);
    Drop(dedup::DropTask);
    Match(compare::MatchTask);
    Deliver(compare::DeliverTask);
    Emit(compare::EmitTask);
    Compact(compact::CompactTask);
    Count(split::CountTask);
    Split(split::SplitTask);
    Profile(train::ProfileTask);
    Learn(train::LearnTask);
    Fit(train::FitTask);
    Predict(predict::PredictTask);
    Assess(evaluate::AssessTask);
    Rank(evaluate::RankTask);
    Check(mapreduce::CheckTask);
    Map(mapreduce::MapTask);
    Combine(mapreduce::CombineTask);
    Reduce(mapreduce::ReduceTask);
    Aggregate(aggregate::AggregateTask);
    MergeGroups(aggregate::MergeGroupsTask);
    Sample(sort::SampleTask);
    Bounds(sort::BoundsTask);
    Range(sort::RangeTask);
    Merge(sort::MergeTask);
    Lookup(join::LookupTask);
    Query(sql::QueryTask);
    Copy(repair::CopyTask);
}

/// A task with what the scheduler must know of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    pub kind: TaskKind,
    /// Earlier tasks of the same job whose shard or shuffle output it reads.
    pub reads: Vec<TaskRange>,
    /// Stored objects it reads; a worker that has them is preferred.
    pub objects: Vec<ObjectId>,
    /// Bytes of memory it is expected to need.
    pub memory: u64,
}

/// Rows and bytes of one partition of a shuffle file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionSize {
    pub rows: u64,
    pub bytes: u64,
}

/// Sizes of partitions, one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionSizes(#[serde(with = "crate::sizes")] pub Vec<PartitionSize>);

/// What a task reported. Its type is known by the task: see [`TaskOutput::report`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Report(serde_json::Value);

/// A type's name without its path.
fn name_of<T>() -> &'static str {
    let path = std::any::type_name::<T>();
    path.rsplit("::").next().unwrap_or(path)
}

/// What a finished attempt leaves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskOutput {
    /// The shard it made, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardEntry>,
    /// Further shards, where one task made several: they follow `shard`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<ShardEntry>,
    /// Rows it read, of shards and of the shuffle.
    #[serde(default)]
    pub read: u64,
    /// Bytes it wrote to its own disk for want of memory.
    #[serde(default)]
    pub spilled: u64,
    /// The shard of rejected rows, if there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<ShardEntry>,
    /// The schema of its rows, where it is another than the task [`expects`](Task::expects).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// Sizes of the partitions it wrote to the shuffle, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::sizes::optional")]
    pub shuffle: Option<Vec<PartitionSize>>,
    #[serde(default)]
    pub counters: Counters,
    /// What a [`Reporting`] task reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Report>,
    /// Objects the attempt wrote (a shard may also reuse objects that were there before).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrote: Vec<ObjectRef>,
}

impl TaskOutput {
    /// The output of a task of the kind `T` that reports this.
    pub fn reporting<T: Reporting>(report: &T::Report) -> Result<Self, Failure> {
        Self::default().and_reports::<T>(report)
    }

    /// The same output, with what a task of the kind `T` reports.
    pub fn and_reports<T: Reporting>(self, report: &T::Report) -> Result<Self, Failure> {
        let result = serde_json::to_value(report)
            .map_err(|e| Failure::internal(format!("what a {} reports cannot be written: {e}", name_of::<T>())))?;
        Ok(Self { result: Some(Report(result)), ..self })
    }

    /// What a task of the kind `T` reported.
    pub fn report<T: Reporting>(&self) -> Result<T::Report, Failure> {
        let task = name_of::<T>();
        let Report(result) =
            self.result.as_ref().ok_or_else(|| Failure::internal(format!("a {task} reported nothing")))?;
        T::Report::deserialize(result)
            .map_err(|e| Failure::internal(format!("what a {task} reported cannot be read: {e}")))
    }

    /// The same output, with these shards.
    pub fn and_shards(self, shards: impl IntoIterator<Item = ShardEntry>) -> Self {
        let mut shards = shards.into_iter();
        Self { shard: shards.next(), more: shards.collect(), ..self }
    }

    /// The schema of its rows, if this is what that task left.
    pub fn schema_of<'a>(&'a self, task: &'a dyn Task) -> Option<&'a Schema> {
        self.schema.as_ref().or_else(|| task.expects())
    }

    /// Leaves the schema out if it is the expected one: thousands of outputs would repeat it.
    pub fn forget_expected_schema(&mut self, kind: &TaskKind) {
        if let (Some(schema), Some(expected)) = (&self.schema, kind.expects())
            && schema.is_identical(expected)
        {
            self.schema = None;
        }
    }

    /// Every shard it made, in order.
    pub fn shards(&self) -> impl Iterator<Item = &ShardEntry> {
        self.shard.iter().chain(&self.more)
    }
}

/// How to reach a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub worker: WorkerId,
    /// `http://host:port` of its gRPC door.
    pub url: String,
    /// The machine and the data folder, so that a worker on the same machine reads the file itself.
    pub machine: String,
    pub data_dir: String,
}

/// Where the output of one finished task is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskPlace {
    pub attempt: AttemptId,
    pub worker: WorkerId,
    /// The shards it made, in order, where the reader opens them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardEntry>,
}

/// An attempt as it is sent to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    pub attempt: AttemptId,
    pub kind: TaskKind,
    /// One more failure would fail the job: time to find out which records are to blame.
    #[serde(default)]
    pub last_try: bool,
    /// Outputs of earlier tasks that this one reads, with the shards of those whose shards it opens.
    pub places: Vec<TaskPlace>,
    /// Earlier stages of which it reads so many outputs that their places were sent to the worker once, each with the version
    /// of the list that is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<(u32, u64)>,
    /// Workers that hold the stored objects it reads.
    pub holders: Vec<(ObjectId, Vec<WorkerId>)>,
    pub peers: Shared<Vec<Peer>>,
}
