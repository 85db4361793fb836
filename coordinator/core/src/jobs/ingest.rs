//! Ingest: parse chunks into shards, clean and hash them in the same pass where that is possible, and parse again those
//! chunks that were parsed before a later one widened a column.

use std::collections::BTreeMap;

use shardmill_common::counters::Counters;
use shardmill_common::failure::Failure;
use shardmill_common::manifest::ShardEntry;
use shardmill_common::rules::{Rule, RuleStatistics};
use shardmill_common::schema::Schema;
use shardmill_common::spec::{ChunkPlace, IngestSpec, SourceFormat};
use shardmill_common::task::{HashColumn, HashPlan, ParseResult, ParseTask, TaskKind, TaskOutput, TaskSpec};

use super::clean::{Statistics, gather_statistics, schema_after};
use super::dedup::{Progress, check_keys, drop_duplicates, hash_stage};
use super::plan::{
    Draft, Next, Publication, ResolvedJob, ShardAt, StageView, find, groups_of, joined_schema, partitions_for,
    rejects_schema, whole,
};

const PARSE: &str = "parse";
/// A guess at the bytes of a row of text, to choose the number of partitions before any row was counted.
const BYTES_PER_ROW: u64 = 50;

pub fn check(spec: &IngestSpec) -> Result<(), String> {
    if let Some(odd) = spec.sources.iter().find(|s| !s.checksum.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return Err(format!("the checksum of {} is none: `{}`", odd.name, odd.checksum.escape_debug()));
    }
    if spec.schema.is_empty() {
        return Err("the sources have no columns".into());
    }
    for chunk in &spec.chunks {
        if chunk.source as usize >= spec.sources.len() {
            return Err("a chunk names a source that is not there".into());
        }
    }
    if let Some(rules) = &spec.clean {
        rules.check(&spec.schema)?;
    } else if let (Some(dedup), None) = (&spec.dedup, &spec.base) {
        check_keys(dedup.keys.as_deref(), &spec.schema, "the data")?;
    }
    Ok(())
}

/// The newest parse of each chunk.
struct Parsed<'a> {
    stage: u32,
    task: u32,
    spec: &'a ParseTask,
    output: &'a TaskOutput,
    result: ParseResult,
}

fn newest<'a>(stages: &[StageView<'a>]) -> BTreeMap<u32, Parsed<'a>> {
    let mut newest = BTreeMap::new();
    for (stage, view) in (0u32..).zip(stages) {
        for (task, (kind, output)) in (0u32..).zip(&view.tasks) {
            if let (TaskKind::Parse(spec), Some(output)) = (*kind, *output) {
                let result = output.result.clone().and_then(|r| serde_json::from_value(r).ok()).unwrap_or_default();
                newest.insert(spec.ordinal, Parsed { stage, task, spec, output, result });
            }
        }
    }
    newest
}

pub fn next(spec: &IngestSpec, _job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
    let rules: &[Rule] = spec.clean.as_ref().map_or(&[], |r| &r.rules);
    let asks = rules.iter().any(Rule::needs_statistics);
    if find(stages, PARSE).is_none() {
        let schema = match &spec.base {
            // Text is read in the type the dataset already has, so that nothing is lost on the way to it.
            Some(base) if rules.is_empty() && !spec.schema_is_fixed => widened_by(&spec.schema, &base.schema),
            _ => spec.schema.clone(),
        };
        let (rules, hash) = if asks { (&[][..], None) } else { (rules, fused_hash(spec)) };
        let all: Vec<u32> = (0..spec.chunks.len() as u32).collect();
        return Ok(parse_stage(spec, &all, &schema, rules, &vec![None; rules.len()], hash));
    }
    let parsed = newest(stages);
    let observed = parsed.values().fold(Schema::default(), |sum, p| sum.join(&p.result.observed));
    let stale: Vec<u32> = parsed.iter().filter(|(_, p)| p.result.observed != observed).map(|(n, _)| *n).collect();
    if !stale.is_empty() {
        // A later chunk widened a column. The others are read again from their text: what `007` was is not in the integer 7.
        let one = parsed.values().next().ok_or_else(|| Failure::internal("nothing was parsed"))?.spec;
        return Ok(parse_stage(spec, &stale, &observed, &one.rules, &one.statistics, one.hash.clone()));
    }
    check_rejects(spec, &parsed)?;
    let shards: Vec<ShardAt> = parsed.values().filter_map(|p| ShardAt::made(p.stage, p.task, p.output)).collect();
    if asks && parsed.values().all(|p| p.spec.rules.is_empty()) && !parsed.is_empty() {
        return match gather_statistics(rules, &shards, &observed, stages)? {
            Statistics::Next(next) => Ok(next),
            // The final pass reads the text again, so that a row that a rule rejects is known by file, line and text.
            Statistics::Known(known) => {
                let all: Vec<u32> = (0..spec.chunks.len() as u32).collect();
                Ok(parse_stage(spec, &all, &observed, rules, &known, fused_hash(spec)))
            }
        };
    }
    finish(spec, stages, &parsed, shards)
}

fn finish(
    spec: &IngestSpec,
    stages: &[StageView<'_>],
    parsed: &BTreeMap<u32, Parsed<'_>>,
    shards: Vec<ShardAt>,
) -> Result<Next, Failure> {
    let mut schema = joined_schema(parsed.values().map(|p| p.output));
    if schema.is_empty() {
        schema = match &spec.clean {
            Some(rules) => schema_after(rules, &spec.schema)?,
            None => spec.schema.clone(),
        };
    }
    let same = parsed.values().all(|p| p.output.schema.as_ref() == Some(&schema));
    if let Some(base) = &spec.base {
        schema = base.schema.join(&schema);
    }
    let schema = schema.published();
    let mut all: Vec<ShardAt> = spec.base.iter().flat_map(|b| &b.shards).map(ShardAt::stored).collect();
    all.extend(shards);
    if let Some(dedup) = &spec.dedup {
        check_keys(dedup.keys.as_deref(), &schema, "the data").map_err(Failure::bad_input)?;
        let fused = same && spec.base.is_none() && parsed.values().all(|p| p.output.shuffle.is_some());
        let hashes: Vec<(u32, u32)> = if fused {
            parsed.values().map(|p| (p.stage, p.task)).collect()
        } else {
            match find(stages, "hash") {
                None => return Ok(hash_stage(&all, &schema, dedup.keys.as_deref(), Vec::new())),
                Some(hash) => whole(stages, hash).tasks().collect(),
            }
        };
        // A chunk that was hashed by the task that parsed it is a group of its own.
        let ends: Vec<u32> = if fused { (1..=all.len() as u32).collect() } else { groups_of(&all) };
        match drop_duplicates(&all, &ends, &hashes, &schema, dedup.keep, stages)? {
            Progress::Next(next) => return Ok(next),
            Progress::Finished(kept) => all = kept,
        }
    }
    let shards: Vec<ShardEntry> = all.into_iter().map(|s| s.entry).filter(|e| e.rows() > 0).collect();
    let mut drafts = vec![Draft { name: spec.output.clone(), schema, shards }];
    let rejects: Vec<ShardEntry> = parsed.values().filter_map(|p| p.output.rejects.clone()).collect();
    if !rejects.is_empty() {
        drafts.push(Draft { name: spec.output.rejects(), schema: rejects_schema(), shards: rejects });
    }
    let mut source_rows = vec![0u64; spec.sources.len()];
    for p in parsed.values() {
        if let Some(sum) = source_rows.get_mut(p.spec.chunk.source as usize) {
            *sum += p.output.counters.get("rows_read");
        }
    }
    Ok(Next::Publish(Box::new(Publication { drafts, source_rows, ..Default::default() })))
}

/// The sampled columns, in the types that the base's columns of the same name join them to.
fn widened_by(sampled: &Schema, base: &Schema) -> Schema {
    let mut schema = sampled.clone();
    for field in &mut schema.fields {
        if let Some(theirs) = base.get(&field.name) {
            field.dtype = field.dtype.join(theirs.dtype);
        }
    }
    schema
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
                format: source.format.clone(),
                schema: schema.clone(),
                schema_is_fixed: spec.schema_is_fixed,
                nulls: spec.nulls.clone(),
                rules: rules.to_vec(),
                statistics: statistics.to_vec(),
                ordinal: *n,
                hash: hash.clone(),
            };
            Some(TaskSpec {
                kind: TaskKind::Parse(task),
                reads: Vec::new(),
                objects,
                memory: chunk.bytes * if columnar { 12 } else { 6 } + (16 << 20),
            })
        })
        .collect();
    // The hashes of chunks parsed earlier are still wanted.
    Next::stage(PARSE, tasks, vec![0])
}

fn check_rejects(spec: &IngestSpec, parsed: &BTreeMap<u32, Parsed<'_>>) -> Result<(), Failure> {
    let sum = |name: &str| -> u64 { parsed.values().map(|p| p.output.counters.get(name)).sum() };
    let (rejected, read) = (sum("rows_unreadable"), sum("rows_read"));
    if !spec.max_rejects.is_exceeded(rejected, read) {
        return Ok(());
    }
    let first = parsed.values().find_map(|p| p.result.first_reject.clone()).unwrap_or_default();
    Err(Failure::bad_input(format!(
        "{rejected} of {read} rows could not be read, more than the {} allowed (--max-rejects); the first: {first}",
        spec.max_rejects
    )))
}

/// `files`, `rows` (read and not rejected), `rejected`, what the rules did, and `duplicates`.
pub fn counters(spec: &IngestSpec, stages: &[StageView<'_>]) -> Counters {
    let parsed = newest(stages);
    let mut sum = Counters::default();
    for p in parsed.values() {
        sum.merge(&p.output.counters);
    }
    let mut counters = Counters::default();
    counters.add("files", spec.sources.len() as u64);
    counters.add("rows", sum.get("rows_read").saturating_sub(sum.get("rejected")));
    counters.add("rejected", sum.get("rejected"));
    for (name, n) in &sum.0 {
        if name.contains('/') {
            counters.add(name.as_str(), *n);
        }
    }
    if spec.dedup.is_some() {
        let duplicates = find(stages, "find duplicates")
            .and_then(|s| stages.get(s as usize))
            .map_or(0, |view| view.outputs().map(|o| o.counters.get("duplicates")).sum());
        counters.add("duplicates", duplicates);
    }
    counters
}
