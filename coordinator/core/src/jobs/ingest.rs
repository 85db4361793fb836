//! Ingest: parse chunks into shards, clean and hash them in the same pass where that is possible, and parse again those
//! chunks that were parsed before a later one widened a column.

use std::collections::BTreeMap;

use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::kinds::dedup::{DedupPhase, HashColumn, HashPlan};
use shardmill_common::kinds::ingest::{
    ChunkPlace, Constant, Fixed, IngestPhase, IngestSpec, Odd, ParseResult, ParseTask, Source, SourceFormat,
};
use shardmill_common::manifest::{Manifest, ShardEntry};
use shardmill_common::name::DatasetRef;
use shardmill_common::rules::{Rule, RuleStatistics};
use shardmill_common::schema::{DataType, Field, Schema, Unit};
use shardmill_common::shared::Shared;
use shardmill_common::task::{TaskKind, TaskOutput, TaskSpec};
use shardmill_common::unfit::{OwnUnfit, Unfit};
use shardmill_common::units::show_count;

use super::clean::{Statistics, gather_statistics, schema_after};
use super::compact::{compact_stages, is_worth_it};
use super::dedup::{Progress, check_keys, drop_duplicates, hash_stage};
use super::plan::{
    Draft, Next, Publication, ResolvedJob, ShardAt, StageView, find, groups_read, joined_schema, partitions_for, whole,
};
use crate::command::Facts;
use crate::core::Core;
use crate::jobs::Planner;

/// A guess at the bytes of a row of text, to choose the number of partitions before any row was counted.
const BYTES_PER_ROW: u64 = 50;

/// What is wrong with an ingest alone.
#[derive(Debug, thiserror::Error)]
enum IngestUnfit {
    #[error("the checksum of {source_name} is none: `{}`", checksum.escape_debug())]
    Checksum { source_name: String, checksum: String },
    #[error("the sources have no columns")]
    NoColumns,
    #[error("a chunk names source {0}, which is not there")]
    NoSource(u32),
}

impl OwnUnfit for IngestUnfit {}

impl Planner for IngestSpec {
    fn resolve(&mut self, core: &Core, _facts: &Facts) -> Result<(), Refusal> {
        self.base = None;
        if self.refuse_taken
            && let Some(twice) =
                self.sources.iter().find(|source| core.catalog.has_taken(&self.output, &source.checksum))
        {
            let name = &self.output;
            return Err(Refusal::Conflict(format!("an earlier ingest into `{name}` took {} already", twice.name)));
        }
        if self.append {
            // Appending to what is not there yet makes it: a loop's first run is like the others.
            self.base = core.catalog.find(&DatasetRef { name: self.output.clone(), version: None }).ok().cloned();
        }
        Ok(())
    }

    fn check(&self, _job: &ResolvedJob) -> Result<(), Unfit> {
        if let Some(odd) = self.sources.iter().find(|s| !s.checksum.bytes().all(|b| b.is_ascii_alphanumeric())) {
            let (source_name, checksum) = (odd.name.clone(), odd.checksum.clone());
            return Err(IngestUnfit::Checksum { source_name, checksum }.into());
        }
        if self.schema.is_empty() {
            return Err(IngestUnfit::NoColumns.into());
        }
        for chunk in &self.chunks {
            if chunk.source as usize >= self.sources.len() {
                return Err(IngestUnfit::NoSource(chunk.source).into());
            }
        }
        if let Some(rules) = &self.clean {
            rules.check(&self.schema)?;
        } else if let (Some(dedup), None) = (&self.dedup, &self.base) {
            check_keys(dedup.keys.as_deref(), &self.schema, "the data")?;
        }
        Ok(())
    }

    fn next(&self, _job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let rules: &[Rule] = self.clean.as_ref().map_or(&[], |r| &r.rules);
        let asks = rules.iter().any(Rule::needs_statistics);
        if find(stages, IngestPhase::Parse).is_none() {
            let schema = match &self.base {
                // Text is read in the type the dataset already has, so that nothing is lost on the way to it.
                Some(base) if rules.is_empty() && !self.fixed.is_all() => {
                    let is_text = |s: &Source| !matches!(s.format, SourceFormat::Parquet | SourceFormat::Arrow);
                    widened_by(&self.schema, &base.schema, &self.fixed, self.sources.iter().all(is_text))
                }
                _ => self.schema.clone(),
            };
            let (rules, hash) = if asks { (&[][..], None) } else { (rules, fused_hash(self)) };
            let all: Vec<u32> = (0..self.chunks.len() as u32).collect();
            return Ok(parse_stage(self, &all, &schema, rules, &vec![None; rules.len()], hash));
        }
        let parsed = newest(stages);
        let reports = parsed.iter().map(|(n, p)| Ok((*n, p.output.report::<ParseTask>()?)));
        let reports = reports.collect::<Result<BTreeMap<u32, ParseResult>, Failure>>()?;
        let observed_by =
            |n: &u32| reports.get(n).and_then(|r| r.observed.as_ref()).or(Some(&*parsed.get(n)?.spec.schema));
        let observed = joined_schema(parsed.keys().filter_map(observed_by));
        let stale: Vec<u32> = parsed.keys().copied().filter(|n| observed_by(n) != Some(&observed)).collect();
        if !stale.is_empty() {
            // A later chunk widened a column. The others are read again from their text: what `007` was is not in the integer 7.
            let one = parsed.values().next().ok_or_else(|| Failure::internal("nothing was parsed"))?.spec;
            return Ok(parse_stage(self, &stale, &observed, &one.rules, &one.statistics, one.hash.as_deref().cloned()));
        }
        check_rejects(self, &parsed, &reports)?;
        let shards: Vec<ShardAt> = parsed.values().filter_map(|p| ShardAt::made(p.stage, p.task, p.output)).collect();
        if asks && parsed.values().all(|p| p.spec.rules.is_empty()) && !parsed.is_empty() {
            return match gather_statistics(rules, &shards, "what was read", &observed, stages)? {
                Statistics::Next(next) => Ok(next),
                // The final pass reads the text again, so that a row that a rule rejects is known by file, line and text.
                Statistics::Known(known) => {
                    let all: Vec<u32> = (0..self.chunks.len() as u32).collect();
                    Ok(parse_stage(self, &all, &observed, rules, &known, fused_hash(self)))
                }
            };
        }
        finish(self, stages, &parsed, notices(&reports), shards)
    }

    /// Its shards have the size that was asked for; those that it adds to are another matter.
    fn compacts(&self) -> bool {
        false
    }

    /// `files`, `rows` (read and not rejected), `rejected`, what the rules did, and `duplicates`.
    fn counters<'a>(&self, _job: &ResolvedJob, _sum: Counters, stages: &dyn Fn() -> Vec<StageView<'a>>) -> Counters {
        let stages = &stages();
        let parsed = newest(stages);
        let mut sum = Counters::default();
        for p in parsed.values() {
            sum.merge(&p.output.counters);
        }
        let mut counters = Counters::default();
        counters.add(Counter::Files, self.sources.len() as u64);
        counters.add(Counter::Rows, sum.get(&Counter::RowsRead).saturating_sub(sum.get(&Counter::Rejected)));
        counters.add(Counter::Rejected, sum.get(&Counter::Rejected));
        for odd in [Counter::RowsFilled, Counter::RowsCut] {
            if sum.get(&odd) > 0 {
                counters.add(odd.clone(), sum.get(&odd));
            }
        }
        for (counter, n) in &sum.0 {
            if counter.parts().1.is_some() {
                counters.add(counter.clone(), *n);
            }
        }
        if self.dedup.is_some() {
            let duplicates = find(stages, DedupPhase::Find)
                .and_then(|s| stages.get(s as usize))
                .map_or(0, |view| view.outputs().map(|o| o.counters.get(&Counter::Duplicates)).sum());
            counters.add(Counter::Duplicates, duplicates);
        }
        counters
    }
}

/// The newest parse of each chunk.
struct Parsed<'a> {
    stage: u32,
    task: u32,
    spec: &'a ParseTask,
    output: &'a TaskOutput,
}

impl<'a> Parsed<'a> {
    fn schema(&self) -> Option<&'a Schema> {
        self.output.schema_of(self.spec)
    }
}

fn newest<'a>(stages: &[StageView<'a>]) -> BTreeMap<u32, Parsed<'a>> {
    let mut newest = BTreeMap::new();
    for (stage, view) in (0u32..).zip(stages) {
        for (task, (kind, output)) in (0u32..).zip(&view.tasks) {
            if let (TaskKind::Parse(spec), Some(output)) = (*kind, *output) {
                newest.insert(spec.ordinal, Parsed { stage, task, spec, output });
            }
        }
    }
    newest
}

fn finish(
    spec: &IngestSpec,
    stages: &[StageView<'_>],
    parsed: &BTreeMap<u32, Parsed<'_>>,
    notices: Vec<String>,
    shards: Vec<ShardAt>,
) -> Result<Next, Failure> {
    let mut schema = joined_schema(parsed.values().filter_map(Parsed::schema));
    if schema.is_empty() {
        schema = match &spec.clean {
            Some(rules) => schema_after(&rules.rules, &spec.schema)?,
            None => spec.schema.clone(),
        };
    }
    let same = parsed.values().all(|p| p.schema() == Some(&schema));
    if let Some(base) = &spec.base {
        let joined = base.schema.join(&schema);
        if !spec.widen {
            check_widening(base, &schema, &joined).map_err(Failure::bad_input)?;
        }
        schema = joined;
    }
    let (known, schema) = (schema.clone(), schema.published());
    let mut all: Vec<ShardAt> = spec.base.iter().flat_map(|b| &b.shards).map(ShardAt::stored).collect();
    all.extend(shards);
    if let Some(dedup) = &spec.dedup {
        check_keys(dedup.keys.as_deref(), &schema, "the data").map_err(Failure::bad_input)?;
        let fused = same && spec.base.is_none() && parsed.values().all(|p| p.output.shuffle.is_some());
        let (hashes, ends): (Vec<(u32, u32)>, Vec<u32>) = if fused {
            // A chunk that was hashed by the task that parsed it is a group of its own.
            (parsed.values().map(|p| (p.stage, p.task)).collect(), (1..=all.len() as u32).collect())
        } else {
            let Some(stage) = find(stages, DedupPhase::Hash) else {
                return Ok(hash_stage(&all, &schema, dedup.keys.as_deref(), Vec::new()));
            };
            let hash = whole(stages, stage);
            (hash.tasks().collect(), groups_read(stages, hash))
        };
        match drop_duplicates(&all, &ends, &hashes, &schema, dedup.keep, stages)? {
            Progress::Next(next) => return Ok(next),
            Progress::Finished(kept) => all = kept,
        }
    }
    all.retain(|shard| shard.entry.rows() > 0);
    // What might not fit is written anew before it is published: then a value that does not fit ends this job, and not every
    // later read. A loop that adds a little again and again would come to more shards than rows are worth.
    let unsure = spec.base.as_ref().filter(|base| may_not_fit(&base.schema, &schema));
    if unsure.is_some() || spec.base.is_some() && is_worth_it(&all) {
        let old = unsure.iter().flat_map(|base| &base.shards).map(|shard| shard.object.id).collect();
        match compact_stages(&all, &schema, &old, stages)? {
            Progress::Next(next) => return Ok(next),
            Progress::Finished(compacted) => all = compacted,
        }
    }
    let shards: Vec<ShardEntry> = all.into_iter().map(|s| s.entry).collect();
    let drafts = Draft { name: spec.output.clone(), schema: known, shards }
        .and_rejects(parsed.values().filter_map(|p| p.output.rejects.clone()));
    let mut source_rows = vec![0u64; spec.sources.len()];
    for p in parsed.values() {
        if let Some(sum) = source_rows.get_mut(p.spec.chunk.source as usize) {
            *sum += p.output.counters.get(&Counter::RowsRead);
        }
    }
    Ok(Next::publish(Publication { drafts, source_rows, notices, ..Default::default() }))
}

/// What is odd about rows that were read.
fn notices(reports: &BTreeMap<u32, ParseResult>) -> Vec<String> {
    let (mut filled, mut cut, mut swallowing) = (Odd::default(), Odd::default(), Odd::default());
    for report in reports.values() {
        filled.add(&report.filled);
        cut.add(&report.cut);
        swallowing.add(&report.swallowing);
    }
    let told = |odd: Odd, one: &str, many: &str, so: &str| {
        let first = odd.first?;
        Some(match odd.records {
            1 => format!("{first}: {one}; {so}"),
            records => format!("{} {many}, the first at {first}; {so}", show_count(records)),
        })
    };
    let aside = "--ragged reject sets such rows aside";
    [
        told(
            filled,
            "a row has too few cells, and nulls in their place",
            "rows have too few cells, and nulls in their place",
            aside,
        ),
        told(
            cut,
            "a row has more cells than there are columns, empty ones, which were cut off",
            "rows have more cells than there are columns, empty ones, which were cut off",
            aside,
        ),
        told(
            swallowing,
            "lines that look like rows are in one quoted cell",
            "rows have lines in a quoted cell that look like rows",
            "is a quote missing, or one too many?",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The sampled columns, in the types that the base's columns of the same name join them to. Text is read in a type that it is
/// never taken for by itself, where the base has it.
fn widened_by(sampled: &Schema, base: &Schema, fixed: &Fixed, is_text: bool) -> Schema {
    let mut schema = sampled.clone();
    for field in &mut schema.fields {
        if !fixed.has(&field.name)
            && let Some(theirs) = base.get(&field.name)
        {
            match theirs.dtype {
                DataType::Decimal { .. } | DataType::Time | DataType::Duration | DataType::Binary if is_text => {
                    field.clone_from(theirs);
                }
                _ => field.join(theirs),
            }
        }
    }
    schema
}

/// Whether a column has a type now in which not every value of its earlier type has a place: long numbers as floats, far years in
/// nanoseconds.
fn may_not_fit(earlier: &Schema, now: &Schema) -> bool {
    let unsure = |from: DataType, to: DataType| match to {
        DataType::Float64 => matches!(from, DataType::Int64 | DataType::Decimal { .. }),
        DataType::Datetime(Unit::Nano) | DataType::DatetimeUtc(Unit::Nano) => {
            from == DataType::Date || from == DataType::DATETIME || from == DataType::DATETIME_UTC
        }
        _ => false,
    };
    earlier.fields.iter().any(|field| now.get(&field.name).is_some_and(|now| unsure(field.dtype, now.dtype)))
}

/// Whether the values that a dataset has come out as they were written, where a column of it becomes text.
fn check_widening(base: &Manifest, added: &Schema, joined: &Schema) -> Result<(), String> {
    let becomes_text = |field: &&Field| {
        let now = joined.get(&field.name).map(|f| f.dtype);
        now == Some(DataType::String) && !field.dtype.is_written_one_way()
    };
    let Some(field) = base.schema.fields.iter().find(becomes_text) else { return Ok(()) };
    let (name, dtype) = (&field.name, field.dtype);
    let new = added.get(name).map_or(DataType::String, |f| f.dtype);
    Err(format!(
        "column `{name}` of {} is {dtype}, and what is added to it is {new}: it would become text, and values that it has \
         would be written anew (1.50 as 1.5, TRUE as true). --widen does that; --types '{name}={dtype}' sets rows that do not \
         fit aside",
        base.reference()
    ))
}

/// How the parse tasks hash, if the hashes of a single pass will do.
fn fused_hash(spec: &IngestSpec) -> Option<HashPlan> {
    let dedup = spec.dedup.as_ref()?;
    if spec.base.is_some() {
        return None;
    }
    let bytes: u64 = spec.chunks.iter().map(|c| c.bytes).sum();
    let columns =
        dedup.keys.as_ref().map(|keys| keys.iter().map(|k| HashColumn { name: k.clone(), dtype: None }).collect());
    Some(HashPlan { columns, with_row_hash: false, partitions: partitions_for(bytes / BYTES_PER_ROW) })
}

fn parse_stage(
    spec: &IngestSpec,
    ordinals: &[u32],
    schema: &Schema,
    rules: &[Rule],
    statistics: &[Option<RuleStatistics>],
    hash: Option<HashPlan>,
) -> Next {
    let formats: Vec<Shared<SourceFormat>> = spec.sources.iter().map(|s| Shared::new(s.format.clone())).collect();
    let (schema, nulls) = (Shared::new(schema.clone()), Shared::new(spec.nulls.clone()));
    let (rules, statistics) = (Shared::new(rules.to_vec()), Shared::new(statistics.to_vec()));
    // Where the rules turn out not to fit, the tasks say so.
    let after = schema_after(&rules, &schema).map(Shared::new);
    let expects = after.unwrap_or_else(|_| schema.clone());
    let hash = hash.map(Shared::new);
    let wanted = (!spec.wanted.is_all()).then(|| Shared::new(spec.wanted.clone()));
    let constants = |source: &Source| (!source.constants.is_empty()).then(|| Shared::new(source.constants.clone()));
    let constants: Vec<Option<Shared<Vec<Constant>>>> = spec.sources.iter().map(constants).collect();
    let tasks = ordinals
        .iter()
        .filter_map(|n| {
            let chunk = spec.chunks.get(*n as usize)?;
            let source = spec.sources.get(chunk.source as usize)?;
            let objects = match &chunk.place {
                ChunkPlace::Object(object) => vec![object.id],
                ChunkPlace::File { .. } => Vec::new(),
            };
            let columnar = matches!(source.format, SourceFormat::Parquet | SourceFormat::Arrow);
            let task = ParseTask {
                chunk: chunk.clone(),
                source_name: source.name.clone(),
                format: formats.get(chunk.source as usize)?.clone(),
                schema: schema.clone(),
                fixed: spec.fixed.clone(),
                bytes: spec.bytes,
                nulls: nulls.clone(),
                wanted: wanted.clone(),
                constants: constants.get(chunk.source as usize)?.clone(),
                rules: rules.clone(),
                statistics: statistics.clone(),
                expects: expects.clone(),
                ordinal: *n,
                hash: hash.clone(),
            };
            Some(TaskSpec {
                kind: task.into(),
                reads: Vec::new(),
                objects,
                memory: chunk.bytes * if columnar { 12 } else { 6 } + (16 << 20),
            })
        })
        .collect();
    // The hashes of chunks parsed earlier are still wanted.
    Next::stage(IngestPhase::Parse, tasks, vec![0])
}

fn check_rejects(
    spec: &IngestSpec,
    parsed: &BTreeMap<u32, Parsed<'_>>,
    reports: &BTreeMap<u32, ParseResult>,
) -> Result<(), Failure> {
    let sum = |counter| -> u64 { parsed.values().map(|p| p.output.counters.get(&counter)).sum() };
    let (rejected, read) = (sum(Counter::RowsUnreadable), sum(Counter::RowsRead));
    if !spec.max_rejects.is_exceeded(rejected, read) {
        return Ok(());
    }
    let first = reports.values().find_map(|r| r.first_reject.clone()).unwrap_or_default();
    // Most rows are not wrong by themselves.
    let hint = match rejected * 2 > read && (first.contains("fields, found") || first.contains("field, found")) {
        true => "; how the text is written can be said: --delimiter, --quote, --escape, --skip-lines",
        false => "",
    };
    Err(Failure::bad_input(format!(
        "{rejected} of {read} rows could not be read, more than the {} allowed (--max-rejects); the first: {first}{hint}",
        spec.max_rejects
    )))
}
