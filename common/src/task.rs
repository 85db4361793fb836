//! What one task does and what it leaves: the language between the planners of the coordinator and the workers.

use serde::{Deserialize, Serialize};

use crate::counters::Counters;
use crate::ids::{AttemptId, ObjectId, WorkerId};
use crate::manifest::{ObjectRef, ShardEntry};
use crate::mapreduce::{
    AggregateTask, BoundsTask, CheckTask, CombineTask, ConformTask, LookupTask, MapTask, MergeGroupsTask, MergeTask,
    RangeTask, ReduceTask, SampleTask, Step,
};
use crate::model::{Encoder, Learn, LinfaFit, Model, Served, Target};
use crate::rules::{Rule, RuleStatistics};
use crate::schema::{DataType, Schema};
use crate::spec::{Chunk, How, Keep, SourceFormat, Validate};

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

/// A column to hash, and the type its values are brought to first (`None`: as they are).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashColumn {
    pub name: String,
    pub dtype: Option<DataType>,
}

/// How rows are hashed for the shuffle: the columns and the number of partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashPlan {
    /// `None`: every column of the frame, in its order and type.
    pub columns: Option<Vec<HashColumn>>,
    /// Also ship a hash of the whole row, to drop exact duplicates before matching by key.
    pub with_row_hash: bool,
    /// A power of two.
    pub partitions: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParseTask {
    pub chunk: Chunk,
    /// The source's name in messages and rejects.
    pub source_name: String,
    pub format: SourceFormat,
    pub schema: Schema,
    pub schema_is_fixed: bool,
    pub nulls: Vec<String>,
    /// Rules to apply after parsing, with what they needed to know of the whole dataset: an entry a rule.
    pub rules: Vec<Rule>,
    pub statistics: Vec<Option<RuleStatistics>>,
    /// The shard's place in the dataset.
    pub ordinal: u32,
    /// Also write the row hashes to the shuffle.
    pub hash: Option<HashPlan>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CleanTask {
    pub input: ShardInput,
    /// The schema of the input dataset.
    pub schema: Schema,
    pub rules: Vec<Rule>,
    /// What the rules before needed to know of the whole dataset: an entry a rule, `None` where nothing was needed.
    pub statistics: Vec<Option<RuleStatistics>>,
    /// For rejects: the dataset's name and the rows before this shard.
    pub source_name: String,
    pub first_row: u64,
}

/// Applies `rules` but the last, and summarises this shard for the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatisticsTask {
    pub input: ShardInput,
    pub schema: Schema,
    pub rules: Vec<Rule>,
    pub statistics: Vec<Option<RuleStatistics>>,
}

/// Combines the summaries of all shards, in shard order, into the statistics that `rule` needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergeStatisticsTask {
    pub runs: TaskRange,
    pub rule: Rule,
    /// The map tasks' results, in task order.
    pub partials: Vec<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HashTask {
    /// Shards that follow each other in their dataset: a group, whose rows are numbered as if they were one shard.
    pub inputs: Vec<ShardInput>,
    /// The group's number on its side.
    pub group: u32,
    pub schema: Schema,
    pub plan: HashPlan,
    /// Rows without a value in a key column get hashes of their own, by this number of their side and their position, so that
    /// they equal no other row.
    #[serde(default)]
    pub nulls_apart: Option<u32>,
}

/// Finds duplicates among the hashes of partitions `partitions.0..partitions.1`; puts out the rows to drop, a partition for each
/// group of shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DuplicatesTask {
    /// The tasks that hashed the groups, in their order.
    pub hashes: Vec<TaskRange>,
    pub partitions: (u32, u32),
    pub keep: Keep,
}

/// Drops the rows that an earlier stage named from a group of shards: by a deletion vector, or by rewriting a shard when a third of
/// it is gone. Puts out those that have rows left, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DropTask {
    pub inputs: Vec<ShardInput>,
    pub schema: Schema,
    /// The tasks that found what to drop, and the partition that has these shards' rows.
    pub found: TaskRange,
    pub partition: u32,
}

/// What a match is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// Exact duplicates of the right side count once, as if pandas' `drop_duplicates` had gone before.
    #[default]
    Comparison,
    Join,
    /// The rows it puts out for the driving side are those without a partner, to be dropped.
    Semi,
    /// The same, of those that have one.
    Anti,
}

/// Matches left and right hashes of some partitions. Its own output has a partition for each group of shards of the driving side
/// (the rows it keeps, in no order, with the number of their partners), then one for each of the other side (rows only it has),
/// and, when rows are delivered, one more for each of the other side: its rows that have partners with the set of rows of one key
/// that they belong to, and which groups of the driving side want which set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatchTask {
    pub left: TaskRange,
    pub right: TaskRange,
    pub partitions: (u32, u32),
    #[serde(default)]
    pub matching: Matching,
    pub how: How,
    pub validate: Validate,
    /// In a comparison: the right side's hashes carry row hashes: exact duplicates are told by (key, row) rather than by the key alone,
    /// which is then the whole row. Either way they are dropped before matching, as pandas' `drop_duplicates` does.
    pub right_has_row_hash: bool,
    /// Tell the other side's shards which of their rows are wanted where; they then send their columns.
    pub deliver: bool,
    /// Rows before each left group, then before each right one: for messages that name rows.
    pub left_first_rows: Vec<u64>,
    pub right_first_rows: Vec<u64>,
}

/// Sends the columns of matched rows of a group of shards of the other side to the groups of the driving side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliverTask {
    pub inputs: Vec<ShardInput>,
    pub schema: Schema,
    pub columns: Vec<String>,
    pub matches: TaskRange,
    /// The partition of the match output that says which of these rows are wanted where.
    pub partition: u32,
    /// Groups of the driving side.
    pub targets: u32,
}

/// Where a column of a merged row comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedColumn {
    pub name: String,
    pub dtype: DataType,
    /// The column's name on the side that drives, if it is there.
    pub driver: Option<String>,
    /// The column's name on the other side, if it is there. Key columns have both.
    pub other: Option<String>,
}

/// Writes the merged rows of a group of shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmitTask {
    pub inputs: Vec<ShardInput>,
    /// The group's number on its side.
    pub group: u32,
    pub schema: Schema,
    pub columns: Vec<MergedColumn>,
    /// The group belongs to the driving side (whose order the output keeps) or supplies the rows only the other side has.
    pub is_driver: bool,
    /// The driving side is the left one.
    pub driver_is_left: bool,
    pub matches: TaskRange,
    /// The partition of the match output that holds the group's rows.
    pub partition: u32,
    /// The deliver tasks, where columns of the other side are needed; the group's rows are in the partition of its number.
    pub delivered: Option<TaskRange>,
    /// Report differing cells instead of merged rows: key columns first in `columns`, this many.
    pub changes: Option<u32>,
    /// Add the column `_merge`, which tells the sides a row is on.
    #[serde(default)]
    pub indicator: bool,
}

/// Copies objects to this worker from those that hold them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyTask {
    /// Published objects (repair, drain).
    pub objects: Vec<ObjectRef>,
    /// What tasks of this job made, as (stage, task); resolved when the attempt is launched, since a re-run makes new objects.
    pub made: Vec<TaskRange>,
}

/// The part of a permutation of rows that one side of a split takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitGroup {
    /// The stratum; `None` for rows without a value there, or where nothing is stratified.
    pub value: Option<String>,
    /// Rows of the group in the shards before this one, and in all.
    pub first: u64,
    pub total: u64,
    /// The side takes the rows whose place in the group's permutation is in `from..to`.
    pub from: u64,
    pub to: u64,
}

/// Keeps one side's rows of a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitTask {
    pub input: ShardInput,
    pub schema: Schema,
    /// The column to stratify by; without it there is one group.
    pub stratify: Option<String>,
    pub groups: Vec<SplitGroup>,
    pub seed: u64,
}

/// Counts a shard's rows by the values of a column (as text; at most `limit` different ones).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountTask {
    pub input: ShardInput,
    pub schema: Schema,
    pub column: String,
    pub limit: u64,
}

/// The result of a count task: values in order, with their rows; `None` is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    pub values: Vec<(Option<String>, u64)>,
    pub too_many: bool,
}

/// What kind of label a training expects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    Class(String),
    Number(String),
}

/// Looks at a shard's raw columns before training. Its `result` is a `model::Profile`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileTask {
    pub input: ShardInput,
    pub schema: Schema,
    pub label: Option<LabelKind>,
    pub weight_column: Option<String>,
    pub numeric: Vec<String>,
    pub categorical: Vec<String>,
    /// A row without a value in one of these is left out.
    pub required: Vec<String>,
    pub max_categories: u64,
    /// Of how many rows of the dataset one is sampled (see `sampled_row`); 0: none is.
    #[serde(default)]
    pub sample_every: u64,
    /// For messages and the sample: the dataset's name and the rows before this shard.
    pub source_name: String,
    pub first_row: u64,
}

/// One round of training over one shard. Its `result` is a `model::Learnt`.
///
/// Rows without a label, and rows without a value of a feature that has no filling, are left out. The encoded features stay
/// in the worker's memory, under the shard and the digest of what they were made with, as long as there is room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnTask {
    pub input: ShardInput,
    pub schema: Schema,
    pub encoder: Encoder,
    /// What is learnt; `None` for clusters.
    pub target: Option<Target>,
    pub weight_column: Option<String>,
    /// By class; empty: 1 each.
    pub class_weights: Vec<f64>,
    pub learn: Learn,
    pub source_name: String,
    pub first_row: u64,
}

/// Fits on one worker that reads every shard. Its `result` is a `model::LinfaResult`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitTask {
    pub inputs: Vec<ShardInput>,
    pub schema: Schema,
    pub encoder: Encoder,
    pub target: Target,
    pub fit: LinfaFit,
    pub source_name: String,
}

/// Which columns a prediction adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictOutputs {
    /// `prediction`.
    pub label: bool,
    /// `probability_<class>` for each class.
    pub probability: bool,
}

/// Predicts the rows of one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictTask {
    pub input: ShardInput,
    pub schema: Schema,
    /// Without curvature and spec base.
    pub model: Box<Model>,
    /// Columns of the input that the output keeps, in this order.
    pub keep: Vec<String>,
    pub outputs: PredictOutputs,
    pub source_name: String,
    pub first_row: u64,
}

/// Predicts a shard's rows and compares with their labels. Its `result` is the worker's sums; for classes it also writes the
/// scores to the shuffle, a partition for each (class, bucket of scores).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssessTask {
    pub input: ShardInput,
    pub schema: Schema,
    pub model: Box<Model>,
    /// `None` for clusters.
    pub label: Option<String>,
    /// Do not predict: take what an endpoint answered, from the rows that say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Served>,
    /// Buckets of scores a class, a power of two.
    pub buckets: u32,
    pub source_name: String,
    pub first_row: u64,
}

/// Sums the ROC and precision-recall curves over the scores of partitions `from..to`, all of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankTask {
    pub runs: TaskRange,
    pub partitions: (u32, u32),
    /// Positives and negatives of this class with scores above these partitions, and in all.
    pub positives_above: u64,
    pub negatives_above: u64,
    pub positives: u64,
    pub negatives: u64,
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

/// What a task does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum TaskKind {
    Parse(ParseTask),
    Clean(CleanTask),
    Statistics(StatisticsTask),
    MergeStatistics(MergeStatisticsTask),
    Hash(HashTask),
    Duplicates(DuplicatesTask),
    Drop(DropTask),
    Match(MatchTask),
    Deliver(DeliverTask),
    Emit(EmitTask),
    Count(CountTask),
    Split(SplitTask),
    Profile(Box<ProfileTask>),
    Learn(Box<LearnTask>),
    Fit(Box<FitTask>),
    Predict(Box<PredictTask>),
    Assess(Box<AssessTask>),
    Rank(RankTask),
    Check(Box<CheckTask>),
    Map(Box<MapTask>),
    Combine(CombineTask),
    Reduce(Box<ReduceTask>),
    Conform(ConformTask),
    Aggregate(AggregateTask),
    MergeGroups(MergeGroupsTask),
    Sample(SampleTask),
    Bounds(BoundsTask),
    Range(RangeTask),
    Merge(MergeTask),
    Lookup(Box<LookupTask>),
    Copy(CopyTask),
}

impl TaskKind {
    /// Whether only a worker that allows programs may run it.
    pub fn runs_programs(&self) -> bool {
        match self {
            TaskKind::Map(task) => task.step.as_ref().is_some_and(Step::is_program),
            TaskKind::Reduce(task) => task.step.is_program(),
            TaskKind::Check(task) => task.spec.runs_programs(),
            _ => false,
        }
    }
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
    /// The schema of the shard; for a parsed chunk the types that its cells need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// Sizes of the partitions it wrote to the shuffle, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::sizes")]
    pub shuffle: Option<Vec<PartitionSize>>,
    #[serde(default)]
    pub counters: Counters,
    /// A small result of the task's kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
    /// Objects the attempt wrote (a shard may also reuse objects that were there before).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrote: Vec<ObjectRef>,
}

impl TaskOutput {
    /// Every shard it made, in order.
    pub fn shards(&self) -> impl Iterator<Item = &ShardEntry> {
        self.shard.iter().chain(&self.more)
    }
}

/// The `result` of a parse task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParseResult {
    /// The types that the cells of the chunk need, before any rule, joined with those it was parsed with.
    pub observed: Schema,
    /// `file:line: reason`, of the first rejected row.
    pub first_reject: Option<String>,
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
    pub peers: Vec<Peer>,
}
