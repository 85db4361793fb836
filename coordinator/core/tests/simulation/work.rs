//! What a worker answers to a launch: sizes and shards of the kind's shape, and a digest of everything the task read. A digest
//! stands for the rows: whatever happened to workers, the same job must publish the same digests.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use rand::Rng;
use serde_json::Value;
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::ids::{AttemptId, ObjectId, WorkerId};
use shardmill_common::kinds::clean::{MergeStatisticsTask, StatisticsTask};
use shardmill_common::kinds::dedup::HashColumn;
use shardmill_common::kinds::evaluate::{AssessTask, RankTask};
use shardmill_common::kinds::ingest::{ParseResult, ParseTask};
use shardmill_common::kinds::mapreduce::step::Step;
use shardmill_common::kinds::mapreduce::{CheckTask, Checked, MapOutput};
use shardmill_common::kinds::sort::Unsorted;
use shardmill_common::kinds::split::{CountTask, Counts};
use shardmill_common::kinds::train::{LearnTask, ProfileTask};
use shardmill_common::manifest::{DeletionVector, ShardEntry};
use shardmill_common::model::{Assessment, ClassSums, Ranking, Sums};
use shardmill_common::rules::RuleStatistics;
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::task::{PartitionSize, ShardInput, ShardRef, TaskKind, TaskOutput, TaskPlace};

use super::world::{Launched, ROWS, Sim, schema};
use crate::training;

/// Where a task read something from.
enum Read {
    /// What a task put into the shuffle.
    Shuffle { stage: u32, from: u32, to: u32 },
    /// A shard that was there before the job.
    Stored(ObjectId),
    /// A shard that a task of the job made.
    Made { stage: u32, task: u32, part: usize },
}

/// Everything that a kind names to be read, in the order in which it does: ranges of tasks and shards look alike in all kinds.
fn reads(value: &Value, found: &mut Vec<Read>) {
    let number = |v: &Value, key: &str| v.get(key).and_then(Value::as_u64).map(|n| n as u32);
    match value {
        Value::Object(map) => {
            if let (3, Some(stage), Some(from), Some(to)) =
                (map.len(), number(value, "stage"), number(value, "from"), number(value, "to"))
            {
                return found.push(Read::Shuffle { stage, from, to });
            }
            if let Some(made) = map.get("made").filter(|made| made.is_object()) {
                let (stage, task) = (number(made, "stage").unwrap(), number(made, "task").unwrap());
                return found.push(Read::Made { stage, task, part: number(made, "part").unwrap_or(0) as usize });
            }
            if let Some(stored) = map.get("stored").filter(|stored| stored.is_object()) {
                let entry: ShardEntry = serde_json::from_value(stored.clone()).unwrap();
                return found.push(Read::Stored(entry.object.id));
            }
            map.values().for_each(|v| reads(v, found));
        }
        Value::Array(values) => values.iter().for_each(|v| reads(v, found)),
        _ => {}
    }
}

fn digest(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// What a step puts out: a program finds a column in one part that the others do not have.
fn made_by(step: Option<&Step>, task: u32) -> Schema {
    let extra = step.is_some_and(Step::is_program) && task == 0;
    let extra = extra.then(|| Schema::new(vec![Field::new("extra", DataType::Int64)]));
    extra.iter().fold(schema(), |made, extra| made.join(extra))
}

/// The place of a task's output, by what came with a launch and in no other way.
fn place_of(launched: &Launched, stage: u32, task: u32) -> Option<&TaskPlace> {
    match launched.lists.iter().find(|(s, _)| *s == stage) {
        Some((_, list)) => list.places.iter().find(|p| p.attempt.task.task == task),
        None => named(launched, stage, task),
    }
}

/// The place of a task whose shards are opened: it comes with the launch itself.
fn named(launched: &Launched, stage: u32, task: u32) -> Option<&TaskPlace> {
    let mut places = launched.launch.places.iter();
    places.find(|p| (p.attempt.task.stage, p.attempt.task.task) == (stage, task))
}

fn entry_of(launched: &Launched, input: &ShardInput) -> ShardEntry {
    match &input.shard {
        ShardRef::Stored(entry) => entry.clone(),
        ShardRef::Made { stage, task, part } => {
            named(launched, *stage, *task).and_then(|place| place.shards.get(*part as usize)).unwrap().clone()
        }
    }
}

fn rows_of(launched: &Launched, inputs: &[ShardInput]) -> u64 {
    inputs.iter().map(|input| entry_of(launched, input).rows()).sum()
}

/// So many rows in as many parts of about the same size.
fn parts(rows: u64, parts: u64) -> impl Iterator<Item = u64> {
    (0..parts).map(move |n| rows / parts + u64::from(n < rows % parts))
}

impl Sim {
    /// The digest of all that a launch reads, found by the places that came with it and in no other way.
    fn read(&self, launched: &Launched) -> Result<u64, Failure> {
        let launch = &launched.launch;
        let mut found = Vec::new();
        reads(&serde_json::to_value(&launch.kind).unwrap(), &mut found);
        let mut sum = digest((launch.attempt.task.stage, launch.attempt.task.task));
        for read in found {
            let content = match read {
                Read::Shuffle { stage, from, to } => {
                    let mut all = Vec::new();
                    for task in from..to {
                        let place = place_of(launched, stage, task);
                        let place = place.unwrap_or_else(|| panic!("no place of {stage}/{task} for {:?}", launch.kind));
                        all.push(self.fetch(place)?);
                    }
                    digest(all)
                }
                Read::Stored(object) => self.object_digest(launched, object)?,
                Read::Made { stage, task, part } => {
                    let place = named(launched, stage, task)
                        .unwrap_or_else(|| panic!("no place of the shard of {stage}/{task}"));
                    let shard = place.shards.get(part).unwrap_or_else(|| panic!("{stage}/{task} made no shard {part}"));
                    let mut all = Vec::new();
                    for object in shard.objects() {
                        all.push(self.object_digest(launched, object.id)?);
                    }
                    digest(all)
                }
            };
            sum = digest((sum, content));
        }
        Ok(sum)
    }

    /// What an attempt put into the shuffle, from the process that made it.
    fn fetch(&self, place: &TaskPlace) -> Result<u64, Failure> {
        let source = &self.workers[&place.worker];
        if source.up && source.shuffles.contains(&place.attempt) {
            return Ok(self.shuffles[&place.attempt].0);
        }
        Err(Failure::FetchFailed { task: place.attempt.task, worker: place.worker, message: "gone".into() })
    }

    fn object_digest(&self, launched: &Launched, object: ObjectId) -> Result<u64, Failure> {
        let told = launched.launch.holders.iter().find(|(id, _)| *id == object);
        let told = told.map(|(_, holders)| holders.as_slice()).unwrap_or_default();
        if told.iter().any(|w| self.workers[w].up && self.workers[w].objects.contains(&object)) {
            return Ok(self.contents[&object]);
        }
        Err(Failure::ObjectUnavailable { object, bad_copies: vec![], message: "gone".into() })
    }

    /// A shard that an attempt wrote, with what it stands for.
    fn write(&mut self, output: &mut TaskOutput, content: u64) -> ShardEntry {
        let object = self.object();
        self.contents.insert(object.id, content);
        output.wrote.push(object.clone());
        ShardEntry { object, stored_rows: ROWS, deletions: None }
    }

    fn write_shards(&mut self, output: &mut TaskOutput, count: u32, content: u64) {
        for part in 0..count {
            let entry = self.write(output, digest((content, part)));
            match output.shard {
                None => output.shard = Some(entry),
                Some(_) => output.more.push(entry),
            }
        }
    }

    /// What a real worker would answer.
    pub(super) fn carry_out(&mut self, worker: WorkerId, launched: &Launched) -> Result<TaskOutput, Failure> {
        let launch = &launched.launch;
        let kind = &launch.kind;
        let name = serde_json::to_value(kind).unwrap();
        self.kinds.insert(name["task"].as_str().unwrap().to_owned());
        if kind.runs_programs() {
            assert!(self.workers[&worker].allow_programs, "a program on a worker that allows none");
            if let Some(tries) = &mut self.failed_programs {
                tries.push((launch.attempt.task, worker, launch.last_try));
                return Err(Failure::ProgramFailed { message: "exit status 1".into() });
            }
            if !launch.last_try && self.rng.random_ratio(1, 25) {
                self.faults += 1;
                return Err(Failure::ProgramFailed { message: "exit status 1".into() });
            }
        }
        if let TaskKind::Copy(task) = kind {
            let has = |o: ObjectId| self.workers.values().any(|w| w.up && w.objects.contains(&o));
            if let Some(lost) = task.objects.iter().find(|o| !has(o.id)) {
                return Err(Failure::ObjectUnavailable { object: lost.id, bad_copies: vec![], message: "gone".into() });
            }
            let mut output = TaskOutput::default();
            output.wrote.clone_from(&task.objects);
            return Ok(self.leave(worker, launch.attempt, None, output));
        }
        let content = self.read(launched)?;
        if self.rng.random_ratio(1, 100) {
            self.faults += 1;
            return Err(Failure::internal("a fault of the machine"));
        }
        let mut output = TaskOutput { read: ROWS, ..TaskOutput::default() };
        let sizes = |n: usize| Some(vec![PartitionSize { rows: 10, bytes: 10 }; n]);
        match kind {
            TaskKind::Parse(task) => {
                self.write_shards(&mut output, 1, content);
                // One chunk in the middle needs a wider type than the sample showed.
                let mut observed = (*task.schema).clone();
                if task.ordinal == 3 {
                    observed = observed.join(&Schema::new(vec![Field::new("k", DataType::Float64)]));
                }
                output.schema = Some(observed.clone());
                let observed = Some(observed).filter(|observed| *observed != *task.schema);
                output = output.and_reports::<ParseTask>(&ParseResult { observed, ..Default::default() }).unwrap();
                output.counters.add(Counter::RowsRead, ROWS);
                output.shuffle = task.hash.as_ref().and_then(|h| sizes(h.partitions as usize));
            }
            TaskKind::Hash(task) => output.shuffle = sizes(task.plan.partitions as usize),
            TaskKind::Duplicates(task) => {
                output.shuffle = sizes(task.hashes.iter().map(|r| (r.to - r.from) as usize).sum());
            }
            TaskKind::Drop(task) => {
                let object = self.write(&mut output, content).object;
                for input in &task.inputs {
                    let deletions = Some(DeletionVector { object: object.clone(), at: 0, dropped: 10 });
                    let entry = ShardEntry { deletions, ..entry_of(launched, input) };
                    match output.shard {
                        None => output.shard = Some(entry),
                        Some(_) => output.more.push(entry),
                    }
                }
            }
            TaskKind::Match(task) => {
                let shards = task.left_first_rows.len() + task.right_first_rows.len();
                output.shuffle = sizes(shards * 2);
            }
            TaskKind::Deliver(task) => output.shuffle = sizes(task.targets as usize),
            TaskKind::Emit(_) | TaskKind::Lookup(_) | TaskKind::Split(_) => {
                self.write_shards(&mut output, 1, content);
            }
            TaskKind::Compact(task) => {
                let stored_rows = rows_of(launched, &task.inputs);
                let entry = self.write(&mut output, content);
                output.shard = Some(ShardEntry { stored_rows, ..entry });
            }
            TaskKind::Clean(_) | TaskKind::Predict(_) => {
                self.write_shards(&mut output, 1, content);
                output.schema = Some(schema());
                if launch.attempt.task.task == 1 {
                    output.rejects = Some(self.write(&mut output, digest((content, "rejects"))));
                }
            }
            TaskKind::Statistics(_) => {
                output.shuffle = sizes(1);
                output = output.and_reports::<StatisticsTask>(&serde_json::json!({})).unwrap();
            }
            TaskKind::MergeStatistics(_) => {
                output = output.and_reports::<MergeStatisticsTask>(&RuleStatistics::default()).unwrap();
            }
            TaskKind::Count(_) => {
                let values = vec![(None, 3), (Some("a".to_owned()), ROWS - 3)];
                output = output.and_reports::<CountTask>(&Counts { values, too_many: false }).unwrap();
            }
            TaskKind::Assess(task) => {
                let (positives, negatives) = (vec![4], vec![6]);
                let sums =
                    ClassSums { confusion: vec![vec![5, 1], vec![1, 3]], positives, negatives, ..Default::default() };
                output.shuffle = sizes(task.buckets as usize);
                let found = Assessment { rows: 10, rows_skipped: 0, sums: Some(Sums::Classes(sums)) };
                output = output.and_reports::<AssessTask>(&found).unwrap();
            }
            TaskKind::Rank(_) => output = output.and_reports::<RankTask>(&Ranking::default()).unwrap(),
            TaskKind::Profile(task) => {
                output = output.and_reports::<ProfileTask>(&training::profile(task.input.ordinal)).unwrap();
            }
            TaskKind::Learn(task) => output = output.and_reports::<LearnTask>(&training::learn(task)).unwrap(),
            TaskKind::Check(task) => {
                let programs = task.spec.runs_programs();
                let checked = Checked {
                    maps: task.schemas.iter().map(|s| Some(s.clone())).collect(),
                    keys: task.spec.keys.iter().map(|k| HashColumn { name: k.clone(), dtype: None }).collect(),
                    // What a program writes is known once it has written.
                    output: (!programs).then(schema),
                };
                output = output.and_reports::<CheckTask>(&checked).unwrap();
            }
            TaskKind::Map(task) => match &*task.output {
                MapOutput::Shards => {
                    self.write_shards(&mut output, 1 + launch.attempt.task.task % 3, content);
                    output.schema = Some(made_by(task.step.as_deref(), launch.attempt.task.task));
                }
                MapOutput::Shuffle { partitions, .. } => {
                    // Large enough that a reduce takes a few partitions only.
                    output.shuffle = Some(vec![PartitionSize { rows: 10, bytes: 4 << 20 }; *partitions as usize]);
                    if task.work.skip_bad > 0 && launch.attempt.task.task == 1 {
                        output.rejects = Some(self.write(&mut output, digest((content, "rejects"))));
                        output.counters.add(Counter::Skipped, 1);
                    }
                }
            },
            TaskKind::Query(_) => {
                self.write_shards(&mut output, 2, content);
                output.schema = Some(schema());
            }
            TaskKind::Reduce(task) => {
                self.write_shards(&mut output, 1 + launch.attempt.task.task % 3, content);
                output.schema = Some(made_by(Some(&task.step), launch.attempt.task.task));
            }
            TaskKind::MergeGroups(_) => {
                self.write_shards(&mut output, 1 + launch.attempt.task.task % 2, content);
                output.spilled = 5;
            }
            TaskKind::Merge(task) => {
                let rows = match &task.rows {
                    Unsorted::Shards(inputs) => rows_of(launched, inputs),
                    Unsorted::Range { runs, partition } => {
                        let places = runs.tasks().map(|(stage, task)| place_of(launched, stage, task).unwrap());
                        places.map(|place| self.shuffles[&place.attempt].1[*partition as usize]).sum()
                    }
                };
                let count = 1 + launch.attempt.task.task % 2;
                self.write_shards(&mut output, count, content);
                let made = output.shard.iter_mut().chain(&mut output.more);
                made.zip(parts(rows, count.into())).for_each(|(shard, rows)| shard.stored_rows = rows);
                output.spilled = 5;
            }
            TaskKind::Range(task) => {
                let rows = parts(rows_of(launched, &task.inputs), task.partitions.into());
                output.shuffle = Some(rows.map(|rows| PartitionSize { rows, bytes: 10 }).collect());
            }
            TaskKind::Aggregate(task) => output.shuffle = sizes(task.partitions as usize),
            TaskKind::Sample(_) | TaskKind::Bounds(_) | TaskKind::Combine(_) => output.shuffle = sizes(1),
            other => panic!("the simulation does not know {other:?}"),
        }
        output.forget_expected_schema(kind);
        let shuffled = output.shuffle.is_some().then_some(content);
        Ok(self.leave(worker, launch.attempt, shuffled, output))
    }

    /// Puts an attempt's files on its worker.
    fn leave(&mut self, worker: WorkerId, attempt: AttemptId, shuffled: Option<u64>, output: TaskOutput) -> TaskOutput {
        let w = self.workers.get_mut(&worker).unwrap();
        w.objects.extend(output.wrote.iter().map(|o| o.id));
        if let Some(content) = shuffled {
            w.shuffles.insert(attempt);
            let rows = output.shuffle.iter().flatten().map(|size| size.rows).collect();
            self.shuffles.insert(attempt, (content, rows));
        }
        output
    }

    /// The digest of a published dataset: of its shards in their order.
    pub(super) fn dataset_digest(&self, shards: &[ShardEntry]) -> u64 {
        let of = |s: &ShardEntry| s.objects().map(|o| self.contents[&o.id]).collect::<Vec<_>>();
        digest(shards.iter().map(of).collect::<Vec<_>>())
    }
}
