//! Cleaning: for every rule that must know the whole dataset a map/reduce of its own, then one map stage that applies them all.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::clean::{CleanPhase, CleanSpec, CleanTask, MergeStatisticsTask, StatisticsTask};
use shardmill_common::rules::{Rule, RuleStatistics, shape_after};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::shared::Shared;
use shardmill_common::task::{TaskRange, TaskSpec};
use shardmill_common::unfit::Unfit;

use super::plan::{
    Draft, Next, ResolvedJob, ShardAt, StageView, each_group, find, groups_of, inputs_of, joined_schema, output,
    outputs, rows_of, task_of, whole,
};
use crate::jobs::Planner;
use crate::jobs::outline::{Outline, groups, number, read_all, shards};

impl Planner for CleanSpec {
    fn check(&self, job: &ResolvedJob) -> Result<(), Unfit> {
        let input = job.input()?;
        Ok(self.rules.check(&input.schema)?)
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let input = job.input()?;
        let shards: Vec<ShardAt> = input.shards.iter().map(ShardAt::stored).collect();
        let rules = &self.rules.rules;
        let name = input.reference().to_string();
        let statistics = match gather_statistics(rules, &shards, &name, &input.schema, stages)? {
            Statistics::Next(next) => return Ok(next),
            Statistics::Known(statistics) => statistics,
        };
        let Some(clean) = find(stages, CleanPhase::Clean) else {
            let mut first_row = 0;
            let expects = Shared::new(schema_after(rules, &input.schema)?);
            let (schema, rules) = (Shared::new(input.schema.clone()), Shared::new(rules.clone()));
            let statistics = Shared::new(statistics);
            let ends = groups_of(&shards);
            let tasks = each_group(&shards, &ends)
                .map(|(first, group)| {
                    let task = CleanTask {
                        inputs: inputs_of(first, group),
                        schema: schema.clone(),
                        rules: rules.clone(),
                        statistics: statistics.clone(),
                        expects: expects.clone(),
                        source_name: name.clone(),
                        first_row,
                    };
                    first_row += rows_of(group);
                    task_of(group, task, Vec::new())
                })
                .collect();
            return Ok(Next::stage(CleanPhase::Clean, tasks, Vec::new()));
        };
        let outputs = outputs(stages, whole(stages, clean))?;
        let schema = if shards.is_empty() {
            schema_after(rules, &input.schema)?
        } else {
            joined_schema(stages.get(clean as usize).iter().flat_map(|view| view.schemas().flatten()))
        };
        let shards = outputs.iter().flat_map(|o| o.shards()).filter(|s| s.rows() > 0).cloned().collect();
        let draft = Draft { name: self.output.clone(), schema: schema.published(), shards };
        Ok(Next::versions(draft.and_rejects(outputs.iter().filter_map(|o| o.rejects.clone()))))
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        let rules = &self.rules.rules;
        for rule in rules.iter().filter(|rule| rule.needs_statistics()) {
            let what =
                format!("read {} and summarise them for rule {}, which must know all rows", read_all(job), rule.label);
            outline.stage(CleanPhase::Summarise, shards(job), what);
            outline.stage(CleanPhase::MergeStatistics, 1, "put the summaries together");
        }
        let does = format!("apply {} to every row of {}, and write them", number(rules.len(), "rule"), read_all(job));
        outline.stage(CleanPhase::Clean, groups(job), does);
        Some(outline)
    }
}

/// The schema of what comes out as far as it is known before, and where no row went in: a column whose type only the engine could tell is text.
pub fn schema_after(rules: &[Rule], schema: &Schema) -> Result<Schema, Failure> {
    let shape = shape_after(rules, schema).map_err(Failure::bad_input)?;
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
/// `name` says in messages what the rows are rows of.
pub fn gather_statistics(
    rules: &[Rule],
    shards: &[ShardAt],
    name: &str,
    schema: &Schema,
    stages: &[StageView<'_>],
) -> Result<Statistics, Failure> {
    let asking: Vec<usize> = (0..rules.len()).filter(|n| rules[*n].needs_statistics()).collect();
    let stages_of =
        |phase: CleanPhase| -> Vec<u32> { (0u32..).zip(stages).filter(|(_, s)| s.is(phase)).map(|(n, _)| n).collect() };
    let (summaries, merges) = (stages_of(CleanPhase::Summarise), stages_of(CleanPhase::MergeStatistics));
    let mut known: Vec<Option<RuleStatistics>> = vec![None; rules.len()];
    for (merge, rule) in merges.iter().zip(&asking) {
        known[*rule] = Some(output(stages, *merge, 0)?.report::<MergeStatisticsTask>()?);
    }
    let Some(rule) = asking.get(merges.len()).copied() else { return Ok(Statistics::Known(known)) };
    if summaries.len() == merges.len() {
        let schema = Shared::new(schema.clone());
        let (rules, statistics) = (Shared::new(rules[..=rule].to_vec()), Shared::new(known[..=rule].to_vec()));
        let mut rows = 0;
        let task = |(n, shard): (usize, &ShardAt)| {
            let (input, schema) = (shard.input(n), schema.clone());
            let (rules, statistics) = (rules.clone(), statistics.clone());
            let (source_name, first_row) = (name.to_owned(), rows);
            rows += shard.entry.rows();
            shard.task(StatisticsTask { input, schema, rules, statistics, source_name, first_row }, Vec::new())
        };
        let tasks = shards.iter().enumerate().map(task).collect();
        return Ok(Statistics::Next(Next::stage(CleanPhase::Summarise, tasks, Vec::new())));
    }
    let runs = summaries.last().map_or(TaskRange { stage: 0, from: 0, to: 0 }, |s| whole(stages, *s));
    let partials = runs
        .tasks()
        .map(|(s, t)| output(stages, s, t)?.report::<StatisticsTask>())
        .collect::<Result<Vec<_>, Failure>>()?;
    let task = TaskSpec {
        kind: MergeStatisticsTask { runs, rule: Shared::new(rules[rule].clone()), partials: Shared::new(partials) }
            .into(),
        reads: vec![runs],
        objects: Vec::new(),
        memory: 64 << 20,
    };
    Ok(Statistics::Next(Next::stage(CleanPhase::MergeStatistics, vec![task], vec![runs.stage])))
}
