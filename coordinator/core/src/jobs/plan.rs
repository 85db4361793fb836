//! The vocabulary of planning, and the parts that several kinds of jobs share.

use serde::{Deserialize, Serialize};
use shardmill_common::failure::Failure;
use shardmill_common::ids::ObjectId;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::repair::{CopyPhase, CopyTask};
use shardmill_common::manifest::{Manifest, ObjectRef, ShardEntry};
use shardmill_common::model::{Evaluation, Model};
use shardmill_common::name::DatasetName;
use shardmill_common::phase::Phase;
use shardmill_common::schema::Schema;
use shardmill_common::task::{PartitionSize, ShardInput, ShardRef, TaskKind, TaskOutput, TaskRange, TaskSpec};
use shardmill_common::unfit::OwnUnfit;

/// A job with its inputs as they were when it was accepted: all a planner needs, and all a restart needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedJob {
    pub spec: JobSpec,
    /// In the order of `Kind::inputs`.
    pub inputs: Vec<Manifest>,
    /// Copies wanted of what it makes.
    pub replicas: u32,
}

/// A job whose input is not there: the program is at fault.
#[derive(Debug, thiserror::Error)]
#[error("the input is missing")]
pub struct NoInput;

impl OwnUnfit for NoInput {}

impl From<NoInput> for Failure {
    fn from(missing: NoInput) -> Self {
        Failure::internal(missing)
    }
}

impl ResolvedJob {
    /// The first input, or the only one.
    pub fn input(&self) -> Result<&Manifest, NoInput> {
        self.inputs.first().ok_or(NoInput)
    }
}

/// A stage as planners see it: its tasks, with the output of those that are done.
pub struct StageView<'a> {
    pub name: &'a str,
    pub memo: Option<&'a serde_json::Value>,
    /// From its planning to its last task's end, as far as this coordinator saw it.
    pub seconds: f64,
    pub tasks: Vec<(&'a TaskKind, Option<&'a TaskOutput>)>,
}

impl<'a> StageView<'a> {
    pub fn is(&self, phase: impl Phase) -> bool {
        self.name == phase.name()
    }

    pub fn outputs(&self) -> impl Iterator<Item = &'a TaskOutput> + '_ {
        self.tasks.iter().filter_map(|(_, output)| *output)
    }

    /// The schema of what each of its tasks left, if it left one.
    pub fn schemas(&self) -> impl Iterator<Item = Option<&'a Schema>> + '_ {
        self.tasks.iter().map(|(kind, output)| (*output)?.schema_of(&***kind))
    }
}

/// A version to publish: the catalog gives it its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub name: DatasetName,
    pub schema: Schema,
    pub shards: Vec<ShardEntry>,
}

impl Draft {
    /// This version, and one of the rows that were rejected on the way to it, if there are any.
    pub fn and_rejects(self, rejects: impl Iterator<Item = ShardEntry>) -> Vec<Draft> {
        let rejects = Draft { name: self.name.rejects(), schema: rejects_schema(), shards: rejects.collect() };
        if rejects.shards.is_empty() { vec![self] } else { vec![self, rejects] }
    }
}

/// What a job publishes, all at once.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Publication {
    /// The dataset first, then its rejects if there are any.
    pub drafts: Vec<Draft>,
    /// Rows read from each source, by its number.
    pub source_rows: Vec<u64>,
    /// A trained model; the catalog gives it its number, job and time.
    pub model: Option<Box<Model>>,
    pub evaluation: Option<Box<Evaluation>>,
    /// What a person should know of how it went.
    pub notices: Vec<String>,
}

/// A stage as it was planned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planned {
    pub name: String,
    pub tasks: Vec<TaskSpec>,
    /// Earlier stages whose shuffle output this or a later stage still reads.
    pub keeps: Vec<u32>,
    /// What the planner wants to know again when this stage is done: the state of an optimiser, which holds all that
    /// earlier rounds found.
    pub memo: Option<serde_json::Value>,
    /// Earlier stages whose tasks made neither shards nor shuffle files and whose results the memo holds: they are dropped.
    pub forgets: Vec<u32>,
}

/// What follows the stages that are done.
#[derive(Clone, Debug)]
pub enum Next {
    Stage(Box<Planned>),
    Publish(Box<Publication>),
    /// Done, with nothing to publish.
    Quiet,
}

impl Next {
    /// A stage that needs no memory of its own.
    pub fn stage(phase: impl Phase, tasks: Vec<TaskSpec>, keeps: Vec<u32>) -> Next {
        Next::Stage(Box::new(Planned { name: phase.name().into(), tasks, keeps, ..Default::default() }))
    }

    pub fn publish(publication: Publication) -> Next {
        Next::Publish(Box::new(publication))
    }

    /// Publishes nothing but versions of datasets.
    pub fn versions(drafts: Vec<Draft>) -> Next {
        Next::publish(Publication { drafts, ..Default::default() })
    }
}

/// A shard of a dataset in the making: how a task refers to it, and what it is as far as is known now.
#[derive(Clone, Debug)]
pub struct ShardAt {
    pub shard: ShardRef,
    pub entry: ShardEntry,
}

impl ShardAt {
    pub fn stored(entry: &ShardEntry) -> Self {
        Self { shard: ShardRef::Stored(entry.clone()), entry: entry.clone() }
    }

    /// The shard that a task put out, if it put out one.
    pub fn made(stage: u32, task: u32, output: &TaskOutput) -> Option<Self> {
        Self::all_made(stage, task, output).next()
    }

    /// Every shard that a task put out, in order.
    pub fn all_made(stage: u32, task: u32, output: &TaskOutput) -> impl Iterator<Item = Self> {
        let of = move |(part, entry): (u32, &ShardEntry)| Self {
            shard: ShardRef::Made { stage, task, part },
            entry: entry.clone(),
        };
        (0u32..).zip(output.shards()).map(of)
    }

    pub fn input(&self, ordinal: usize) -> ShardInput {
        ShardInput { shard: self.shard.clone(), ordinal: ordinal as u32 }
    }

    /// A task that reads this shard (and `reads` besides).
    pub fn task(&self, kind: impl Into<TaskKind>, reads: Vec<TaskRange>) -> TaskSpec {
        let mut reads = reads;
        let objects: Vec<ObjectId> = match &self.shard {
            ShardRef::Stored(entry) => entry.objects().map(|o| o.id).collect(),
            ShardRef::Made { stage, task, .. } => {
                reads.push(TaskRange::one(*stage, *task));
                // A made shard may reuse the file of a published one.
                Vec::new()
            }
        };
        TaskSpec { kind: kind.into(), reads, objects, memory: frame_memory(self.entry.object.bytes) }
    }
}

/// Shards of up to so many bytes are read by one task together: a task for each of many small shards would cost more than its
/// work. Where there are very many, up to a 64th of them all, within the second number: what groups send each other grows with
/// the square of how many there are.
const GROUP_BYTES: u64 = 2 << 20;
const MOST_GROUP_BYTES: u64 = 8 << 20;
const GROUPS: u64 = 64;

/// The size of a shard for grouping. Rows that compress very well still take memory, and their numbers room.
fn size_of(shard: &ShardAt) -> u64 {
    shard.entry.object.bytes.max(shard.entry.stored_rows.saturating_mul(8))
}

/// Where each group of neighbouring shards ends that one task reads. Follows from their sizes alone.
pub fn groups_of(shards: &[ShardAt]) -> Vec<u32> {
    let all: u64 = shards.iter().map(size_of).sum();
    groups_up_to(shards, (all / GROUPS).clamp(GROUP_BYTES, MOST_GROUP_BYTES))
}

/// Where each group of neighbouring shards ends that have up to so many bytes together.
pub fn groups_up_to(shards: &[ShardAt], most: u64) -> Vec<u32> {
    let mut ends: Vec<u32> = Vec::new();
    let mut bytes = 0;
    for (n, shard) in (1u32..).zip(shards) {
        let size = size_of(shard);
        match ends.last_mut() {
            Some(end) if bytes + size <= most => {
                *end = n;
                bytes += size;
            }
            _ => {
                ends.push(n);
                bytes = size;
            }
        }
    }
    ends
}

/// Where the groups end that these tasks were planned for: what is under way does not ask again how large a group may be.
pub fn groups_read(stages: &[StageView<'_>], range: TaskRange) -> Vec<u32> {
    let tasks = stages.get(range.stage as usize).map_or(&[][..], |view| &view.tasks);
    let tasks = tasks.iter().take(range.to as usize).skip(range.from as usize);
    let end = |end: &mut u32, (kind, _): &(&TaskKind, _)| {
        *end += kind.opens().len() as u32;
        Some(*end)
    };
    tasks.scan(0, end).collect()
}

/// The groups that end there, each with the number of its first shard.
pub fn each_group<'a>(shards: &'a [ShardAt], ends: &'a [u32]) -> impl Iterator<Item = (usize, &'a [ShardAt])> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends).map(|(from, to)| (from as usize, &shards[from as usize..*to as usize]))
}

/// The shards of a group as a task's inputs, the first of them number `first` of its dataset.
pub fn inputs_of(first: usize, group: &[ShardAt]) -> Vec<ShardInput> {
    group.iter().enumerate().map(|(n, shard)| shard.input(first + n)).collect()
}

/// How many rows the shards of a group have.
pub fn rows_of(group: &[ShardAt]) -> u64 {
    group.iter().map(|shard| shard.entry.rows()).sum()
}

/// A task that reads these shards, one after another (and `reads` besides).
pub fn task_of(group: &[ShardAt], kind: impl Into<TaskKind>, reads: Vec<TaskRange>) -> TaskSpec {
    let bytes = group.iter().map(size_of).sum();
    let mut task = TaskSpec { kind: kind.into(), reads, objects: Vec::new(), memory: frame_memory(bytes) };
    for shard in group {
        match &shard.shard {
            ShardRef::Stored(entry) => task.objects.extend(entry.objects().map(|o| o.id)),
            ShardRef::Made { stage, task: made, .. } => {
                let made = TaskRange::one(*stage, *made);
                if task.reads.last() != Some(&made) {
                    task.reads.push(made);
                }
            }
        }
    }
    task
}

/// What a task that reads the shuffle has in flight besides its rows: files on its machine are read ahead by 8 MiB an input
/// (`WINDOW` of the workers; few tasks have more than one), each stream from another one by its window of 2 MiB (`STREAM_WINDOW`); room for ten of these.
pub const READ_AHEAD: u64 = 28 << 20;

/// Memory that a task on a Parquet shard of this size needs: file, decoded columns and their successors.
pub fn frame_memory(parquet_bytes: u64) -> u64 {
    parquet_bytes.saturating_mul(12).saturating_add(16 << 20)
}

/// Every object that a live job needs from outside: inputs, uploaded chunks, registered shards.
pub fn input_objects(job: &ResolvedJob) -> Vec<ObjectRef> {
    let mut objects: Vec<ObjectRef> = job.inputs.iter().flat_map(Manifest::objects).cloned().collect();
    objects.extend(job.spec.objects().into_iter().cloned());
    objects
}

/// Where the stage of this phase is, the last one if there are several.
pub fn find(stages: &[StageView<'_>], phase: impl Phase) -> Option<u32> {
    stages.iter().rposition(|s| s.is(phase)).map(|n| n as u32)
}

/// All tasks of a stage.
pub fn whole(stages: &[StageView<'_>], stage: u32) -> TaskRange {
    let to = stages.get(stage as usize).map_or(0, |s| s.tasks.len() as u32);
    TaskRange { stage, from: 0, to }
}

/// The output of a task that a planner knows to be done.
pub fn output<'a>(stages: &[StageView<'a>], stage: u32, task: u32) -> Result<&'a TaskOutput, Failure> {
    stages
        .get(stage as usize)
        .and_then(|s| s.tasks.get(task as usize))
        .and_then(|(_, output)| *output)
        .ok_or_else(|| Failure::internal(format!("stage {stage} has no output of task {task}")))
}

/// The outputs of all of these tasks, which a planner knows to be done.
pub fn outputs<'a>(stages: &[StageView<'a>], range: TaskRange) -> Result<Vec<&'a TaskOutput>, Failure> {
    range.tasks().map(|(stage, task)| output(stages, stage, task)).collect()
}

/// The shards that a stage made, in order.
pub fn made_shards(stage: u32, stages: &[StageView<'_>]) -> Result<Vec<ShardAt>, Failure> {
    let all = (0u32..).zip(outputs(stages, whole(stages, stage))?);
    Ok(all.flat_map(|(task, output)| ShardAt::all_made(stage, task, output)).collect())
}

/// How many partitions the hashes of this many rows are spread over: about 100,000 rows each, a power of two.
pub fn partitions_for(rows: u64) -> u32 {
    (rows / 100_000).clamp(1, 4096).next_power_of_two() as u32
}

/// What these outputs put into each of `partitions` partitions together: rows or bytes, as `of` says.
pub fn partition_sums<'a>(
    outputs: impl IntoIterator<Item = &'a TaskOutput>,
    partitions: usize,
    of: impl Fn(&PartitionSize) -> u64,
) -> Vec<u64> {
    let mut sums = vec![0u64; partitions];
    for output in outputs {
        for (sum, size) in sums.iter_mut().zip(output.shuffle.iter().flatten()) {
            *sum += of(size);
        }
    }
    sums
}

/// Partitions as ranges `from..to`, neighbours together up to about `target`; at least one range.
pub fn neighbours(sizes: &[u64], target: u64) -> Vec<(u32, u32)> {
    let mut ranges = Vec::new();
    let (mut from, mut sum) = (0u32, 0u64);
    for (partition, size) in (0u32..).zip(sizes) {
        if sum > 0 && sum + size > target {
            ranges.push((from, partition));
            (from, sum) = (partition, 0);
        }
        sum += size;
    }
    ranges.push((from, sizes.len() as u32));
    ranges
}

/// Groups partitions into reduce tasks by the rows the map tasks reported, up to about `target_rows`; with each group's rows.
pub fn coalesce<'a>(
    outputs: impl Iterator<Item = &'a TaskOutput>,
    partitions: u32,
    target_rows: u64,
) -> Vec<(u32, u32, u64)> {
    let rows = partition_sums(outputs, partitions as usize, |size| size.rows);
    let with_rows = |(from, to): (u32, u32)| (from, to, rows[from as usize..to as usize].iter().sum());
    neighbours(&rows, target_rows).into_iter().map(with_rows).collect()
}

/// Rows for one reduce task over hashes: enough to be worth a task, few enough for the cache and for balance.
pub fn reduce_target(total_rows: u64) -> u64 {
    (total_rows / 64).clamp(200_000, 4_000_000)
}

/// These schemas, joined.
pub fn joined_schema<'a>(schemas: impl Iterator<Item = &'a Schema>) -> Schema {
    let (mut sum, mut last) = (Schema::default(), None);
    for schema in schemas {
        // Most tasks leave what all were expected to leave.
        if !last.replace(schema).is_some_and(|last| std::ptr::eq(last, schema)) {
            sum = sum.join(schema);
        }
    }
    sum
}

/// The schema of every dataset of rejects.
fn rejects_schema() -> Schema {
    use shardmill_common::schema::{DataType, Field};
    Schema::new(vec![
        Field::new("file", DataType::String),
        Field::new("line", DataType::Int64),
        Field::new("raw", DataType::String),
        Field::new("reason", DataType::String),
    ])
}

/// A task that copies a stored object.
pub fn copy_of(object: &ObjectRef) -> TaskSpec {
    TaskSpec {
        kind: CopyTask { objects: vec![object.clone()], made: Vec::new() }.into(),
        reads: Vec::new(),
        objects: vec![object.id],
        memory: object.bytes + (4 << 20),
    }
}

/// Puts the copying of what was made before its publication, unless it was done or there is nowhere to copy to.
pub fn copies_first(
    job: &ResolvedJob,
    stages: &[StageView<'_>],
    publication: Box<Publication>,
    live_workers: u32,
) -> Next {
    let copies = job.replicas.min(live_workers.max(1)).saturating_sub(1);
    if copies == 0 || find(stages, CopyPhase::Copy).is_some() {
        return Next::Publish(publication);
    }
    let published: std::collections::BTreeSet<ObjectId> =
        publication.drafts.iter().flat_map(|d| &d.shards).flat_map(|s| s.objects().map(|o| o.id)).collect();
    let mut tasks = Vec::new();
    for (stage, view) in (0u32..).zip(stages) {
        for (task, (_, output)) in (0u32..).zip(&view.tasks) {
            let Some(output) = output else { continue };
            let bytes: u64 = output.wrote.iter().filter(|o| published.contains(&o.id)).map(|o| o.bytes).sum();
            if bytes == 0 {
                continue;
            }
            for _ in 0..copies {
                let made = vec![TaskRange::one(stage, task)];
                tasks.push(TaskSpec {
                    kind: CopyTask { objects: Vec::new(), made: made.clone() }.into(),
                    reads: made,
                    objects: Vec::new(),
                    memory: bytes + (4 << 20),
                });
            }
        }
    }
    for object in job.spec.brought() {
        tasks.extend((0..copies).map(|_| copy_of(object)));
    }
    if tasks.is_empty() { Next::Publish(publication) } else { Next::stage(CopyPhase::Copy, tasks, Vec::new()) }
}

#[cfg(test)]
mod tests {
    use shardmill_common::kinds::compact::CompactTask;

    use super::*;

    #[test]
    fn small_shards_are_read_together_and_large_ones_alone() {
        let shard = |bytes: u64| {
            let object = ObjectRef { id: ObjectId(Default::default()), bytes, checksum: String::new() };
            ShardAt::stored(&ShardEntry { object, stored_rows: 1, deletions: None })
        };
        let sizes = [1 << 20, 1 << 20, 1, 5 << 20, 10, 10, 2 << 20];
        let shards: Vec<ShardAt> = sizes.map(shard).to_vec();
        let ends = groups_of(&shards);
        assert_eq!(ends, [2, 3, 4, 6, 7]);
        let groups: Vec<(usize, usize)> = each_group(&shards, &ends).map(|(first, g)| (first, g.len())).collect();
        assert_eq!(groups, [(0, 2), (2, 1), (3, 1), (4, 2), (6, 1)]);
        assert!(groups_of(&[]).is_empty());
        let many = vec![shard(100_000); 3000];
        assert_eq!(groups_of(&many).len(), 66, "300 MB in pieces of 4.7 MB");
        let more = vec![shard(1 << 20); 1000];
        assert_eq!(groups_of(&more).len(), 125, "8 at a time");
    }

    #[test]
    fn what_is_under_way_keeps_its_groups() {
        let kinds: Vec<TaskKind> = [2, 1, 3].map(|shards| group_of_made(shards).kind).into();
        let tasks = kinds.iter().map(|kind| (kind, None)).collect();
        let stages = [StageView { name: "hash", memo: None, seconds: 0.0, tasks }];
        assert_eq!(groups_read(&stages, whole(&stages, 0)), [2, 3, 6]);
        assert_eq!(groups_read(&stages, TaskRange { stage: 0, from: 1, to: 3 }), [1, 4]);
    }

    /// A task that reads so many shards of one other task.
    fn group_of_made(shards: u32) -> TaskSpec {
        let object = ObjectRef { id: ObjectId(Default::default()), bytes: 1, checksum: String::new() };
        let entry = ShardEntry { object, stored_rows: 1, deletions: None };
        let shard = |part| ShardAt { shard: ShardRef::Made { stage: 4, task: 7, part }, entry: entry.clone() };
        let shards: Vec<ShardAt> = (0..shards).map(shard).collect();
        let task = CompactTask { inputs: inputs_of(0, &shards), schema: Schema::default().into() };
        task_of(&shards, task, Vec::new())
    }

    #[test]
    fn a_task_is_read_once_for_all_its_shards() {
        assert_eq!(group_of_made(80).reads, [TaskRange::one(4, 7)]);
    }

    #[test]
    fn neighbours_are_grouped_up_to_the_target() {
        let output = TaskOutput {
            shuffle: Some([5, 5, 20, 0, 1].iter().map(|rows| PartitionSize { rows: *rows, bytes: 0 }).collect()),
            ..Default::default()
        };
        let groups = coalesce([&output, &output].into_iter(), 5, 20);
        assert_eq!(groups, vec![(0, 2, 20), (2, 3, 40), (3, 5, 2)]);
        let sum: u64 = groups.iter().map(|g| g.2).sum();
        assert_eq!(sum, 62);
    }

    #[test]
    fn partitions_are_powers_of_two() {
        assert_eq!(partitions_for(0), 1);
        assert_eq!(partitions_for(5_250_000), 64);
        assert_eq!(partitions_for(u64::MAX), 4096);
    }
}
