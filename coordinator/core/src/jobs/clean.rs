//! Cleaning: for every rule that must know the whole dataset a map/reduce of its own, then one map stage that applies them all.

use shardmill_common::failure::Failure;
use shardmill_common::rules::{Rule, RuleSet, RuleStatistics};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::spec::CleanSpec;
use shardmill_common::task::{CleanTask, MergeStatisticsTask, StatisticsTask, TaskKind, TaskRange, TaskSpec};

use super::plan::{
    Draft, Next, Publication, ResolvedJob, ShardAt, StageView, find, joined_schema, output, rejects_schema, whole,
};

const CLEAN: &str = "clean";
const SUMMARISE: &str = "summarise";
const MERGE: &str = "merge statistics";

pub fn check(spec: &CleanSpec, job: &ResolvedJob) -> Result<(), String> {
    let input = job.inputs.first().ok_or("the input is missing")?;
    spec.rules.check(&input.schema)
}

pub fn next(spec: &CleanSpec, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
    let input = job.inputs.first().ok_or_else(|| Failure::internal("the input is missing"))?;
    let shards: Vec<ShardAt> = input.shards.iter().map(ShardAt::stored).collect();
    let rules = &spec.rules.rules;
    let statistics = match gather_statistics(rules, &shards, &input.schema, stages)? {
        Statistics::Next(next) => return Ok(next),
        Statistics::Known(statistics) => statistics,
    };
    let Some(clean) = find(stages, CLEAN) else {
        let mut first_row = 0;
        let tasks = shards
            .iter()
            .enumerate()
            .map(|(n, shard)| {
                let task = CleanTask {
                    input: shard.input(n),
                    schema: input.schema.clone(),
                    rules: rules.clone(),
                    statistics: statistics.clone(),
                    source_name: input.reference().to_string(),
                    first_row,
                };
                first_row += shard.entry.rows();
                shard.task(TaskKind::Clean(task), Vec::new())
            })
            .collect();
        return Ok(Next::stage(CLEAN, tasks, Vec::new()));
    };
    let outputs = whole(stages, clean).tasks().map(|(s, t)| output(stages, s, t)).collect::<Result<Vec<_>, _>>()?;
    let schema = if shards.is_empty() {
        schema_after(&spec.rules, &input.schema)?
    } else {
        joined_schema(outputs.iter().copied())
    };
    let mut drafts = vec![Draft {
        name: spec.output.clone(),
        schema: schema.published(),
        shards: outputs.iter().filter_map(|o| o.shard.clone()).filter(|s| s.rows() > 0).collect(),
    }];
    let rejects: Vec<_> = outputs.iter().filter_map(|o| o.rejects.clone()).collect();
    if !rejects.is_empty() {
        drafts.push(Draft { name: spec.output.rejects(), schema: rejects_schema(), shards: rejects });
    }
    Ok(Next::Publish(Box::new(Publication { drafts, ..Default::default() })))
}

/// The schema of what comes out when no row went in: a column whose type only the engine could tell is text.
pub fn schema_after(rules: &RuleSet, schema: &Schema) -> Result<Schema, Failure> {
    let shape = rules.shape_after(schema).map_err(Failure::bad_input)?;
    Ok(Schema::new(
        shape.columns.into_iter().map(|c| Field::new(c.name, c.dtype.unwrap_or(DataType::String))).collect(),
    ))
}

/// How far the statistics have come.
pub enum Statistics {
    Next(Next),
    /// An entry a rule.
    Known(Vec<Option<RuleStatistics>>),
}

/// The stages that find out what rules must know of the whole dataset, rule after rule, since each sees what those before it made.
pub fn gather_statistics(
    rules: &[Rule],
    shards: &[ShardAt],
    schema: &Schema,
    stages: &[StageView<'_>],
) -> Result<Statistics, Failure> {
    let asking: Vec<usize> = (0..rules.len()).filter(|n| rules[*n].needs_statistics()).collect();
    let stages_named =
        |name: &str| -> Vec<u32> { (0u32..).zip(stages).filter(|(_, s)| s.name == name).map(|(n, _)| n).collect() };
    let (summaries, merges) = (stages_named(SUMMARISE), stages_named(MERGE));
    let mut known: Vec<Option<RuleStatistics>> = vec![None; rules.len()];
    for (merge, rule) in merges.iter().zip(&asking) {
        let result = output(stages, *merge, 0)?.result.clone();
        let statistics = serde_json::from_value(result.unwrap_or_default())
            .map_err(|e| Failure::internal(format!("statistics of rule {}: {e}", rules[*rule].label)))?;
        known[*rule] = Some(statistics);
    }
    let Some(rule) = asking.get(merges.len()).copied() else { return Ok(Statistics::Known(known)) };
    if summaries.len() == merges.len() {
        let tasks = shards
            .iter()
            .enumerate()
            .map(|(n, shard)| {
                let task = StatisticsTask {
                    input: shard.input(n),
                    schema: schema.clone(),
                    rules: rules[..=rule].to_vec(),
                    statistics: known[..=rule].to_vec(),
                };
                shard.task(TaskKind::Statistics(task), Vec::new())
            })
            .collect();
        return Ok(Statistics::Next(Next::stage(SUMMARISE, tasks, Vec::new())));
    }
    let runs = summaries.last().map_or(TaskRange { stage: 0, from: 0, to: 0 }, |s| whole(stages, *s));
    let partials = runs
        .tasks()
        .map(|(s, t)| Ok(output(stages, s, t)?.result.clone().unwrap_or_default()))
        .collect::<Result<Vec<_>, Failure>>()?;
    let task = TaskSpec {
        kind: TaskKind::MergeStatistics(MergeStatisticsTask { runs, rule: rules[rule].clone(), partials }),
        reads: vec![runs],
        objects: Vec::new(),
        memory: 64 << 20,
    };
    Ok(Statistics::Next(Next::stage(MERGE, vec![task], vec![runs.stage])))
}
