//! Evaluation: every shard is predicted where it lies, or its predictions are those that an endpoint gave, and compared with
//! its labels; for classes the distinct scores then meet
//! by bucket, so that the areas under the curves are those of all rows together.

mod metrics;
mod ranking;
mod served;

use std::collections::BTreeMap;

use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::ids::JobId;
use shardmill_common::kinds::evaluate::{AssessTask, EvaluatePhase, EvaluateSpec};
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Assessment, Evaluation, Model, ModelRef, Sums, Target};
use shardmill_common::name::DatasetRef;
use shardmill_common::schema::{DataType, Schema};
use shardmill_common::shared::Shared;
use shardmill_common::time::Timestamp;
use shardmill_common::unfit::{OwnUnfit, Unfit};

use self::metrics::ClassFindings;
use self::ranking::Ranked;
use super::plan::{Next, Publication, ResolvedJob, ShardAt, StageView, find, output, whole};
use super::predict::check_features;
use crate::command::Facts;
use crate::core::Core;
use crate::jobs::Planner;
use crate::jobs::outline::{Outline, read_all, shards};

/// What is wrong with an evaluation alone.
#[derive(Debug, thiserror::Error)]
enum EvaluateUnfit {
    #[error("{input} has no rows")]
    NoRows { input: DatasetRef },
    #[error("{model} was imported, and the centres of its clusters are not known: it cannot be evaluated")]
    NoCentres { model: ModelRef },
    #[error("{model} finds clusters, which have no label such as `{label}`")]
    ClustersHaveNoLabel { model: ModelRef, label: String },
    #[error(
        "{input} has no column `{label}` to compare with; name the column of labels with --label: its columns are {columns}"
    )]
    NoLabel { input: DatasetRef, label: String, columns: String },
    #[error("column `{label}` of {input} is {found}; {model} predicts {wanted}")]
    LabelType { input: DatasetRef, label: String, found: DataType, model: ModelRef, wanted: String },
}

impl OwnUnfit for EvaluateUnfit {}

impl Planner for EvaluateSpec {
    fn resolve(&mut self, core: &Core, _facts: &Facts) -> Result<(), Refusal> {
        self.resolved = Some(Box::new(core.pinned(&mut self.model)?));
        Ok(())
    }

    fn check(&self, job: &ResolvedJob) -> Result<(), Unfit> {
        let input = job.input()?;
        let model = self.resolved.as_deref().ok_or(Unfit::ModelMissing)?;
        if input.rows() == 0 {
            return Err(EvaluateUnfit::NoRows { input: input.reference() }.into());
        }
        if model.graph().is_some() && matches!(model.target, Target::Cluster { .. }) {
            return Err(EvaluateUnfit::NoCentres { model: model.reference() }.into());
        }
        match &self.served {
            None => check_features(model, input)?,
            Some(served) => served::check(served, model, input)?,
        }
        check_label(self, model, input)
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let input = job.input()?;
        let model = self.resolved.as_deref().ok_or_else(|| Failure::internal("the model is missing"))?;
        let Some(assess) = find(stages, EvaluatePhase::Assess) else {
            return Ok(assess_stage(self, model, input));
        };
        let range = whole(stages, assess);
        let mut found = Assessment { rows: 0, rows_skipped: 0, sums: None };
        for (stage, task) in range.tasks() {
            if !found.merge(output(stages, stage, task)?.report::<AssessTask>()?) {
                return Err(Failure::internal("the shards were assessed for different kinds of models"));
            }
        }
        let Some(sums) = &found.sums else {
            let (rows, input) = (found.rows_skipped, input.reference());
            return Err(Failure::bad_input(match &self.served {
                None => format!(
                    "none of the {rows} rows of {input} can be evaluated: they have no label, or no value of a column that the model \
                     needs"
                ),
                Some(served) => served::nothing(served, model, rows, &input),
            }));
        };
        let rankings = match (sums, find(stages, EvaluatePhase::Rank)) {
            (Sums::Classes(sums), None) => {
                let tasks = ranking::tasks(range, sums, stages, buckets(model, input))?;
                if !tasks.is_empty() {
                    return Ok(Next::stage(EvaluatePhase::Rank, tasks, vec![assess]));
                }
                Vec::new()
            }
            (Sums::Classes(sums), Some(stage)) => ranking::collect(stages, stage, sums, buckets(model, input))?,
            _ => Vec::new(),
        };
        let evaluation = evaluation(self, model, input, &found, sums, &rankings);
        Ok(Next::publish(Publication { evaluation: Some(Box::new(evaluation)), ..Default::default() }))
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        let does = format!("predict the rows of {} with {} and compare with their labels", read_all(job), self.model);
        outline.stage(EvaluatePhase::Assess, shards(job), does);
        if self.resolved.as_ref().is_some_and(|model| matches!(model.target, Target::Class { .. })) {
            outline.later(EvaluatePhase::Rank, "put the scores in order for the areas under the curves");
        }
        Some(outline)
    }
}

fn check_label(spec: &EvaluateSpec, model: &Model, input: &Manifest) -> Result<(), Unfit> {
    let Some(trained) = model.target.label() else {
        return match &spec.label {
            None => Ok(()),
            Some(label) => {
                Err(EvaluateUnfit::ClustersHaveNoLabel { model: model.reference(), label: label.clone() }.into())
            }
        };
    };
    let name = spec.label.as_ref().unwrap_or(&trained.column);
    let found = column_type(name, &input.schema).ok_or_else(|| {
        let (input, columns) = (input.reference(), input.schema.names_joined());
        EvaluateUnfit::NoLabel { input, label: name.clone(), columns }
    })?;
    let fits = match &model.target {
        Target::Number { .. } => found.is_numeric() || found == trained.dtype,
        Target::Class { .. } | Target::Cluster { .. } => {
            found == trained.dtype || found.of_classes() == Some(trained.dtype)
        }
    };
    if fits {
        return Ok(());
    }
    let wanted = match &model.target {
        Target::Number { .. } => "numbers".to_owned(),
        Target::Class { .. } | Target::Cluster { .. } => format!("classes of type {}", trained.dtype),
    };
    let (input, model, label) = (input.reference(), model.reference(), name.clone());
    Err(EvaluateUnfit::LabelType { input, label, found, model, wanted }.into())
}

fn column_type(name: &str, schema: &Schema) -> Option<DataType> {
    schema.get(name).map(|f| f.dtype)
}

/// Buckets of scores a class: some for every 100,000 rows, since scores are spread unevenly, but few where classes are many.
fn buckets(model: &Model, input: &Manifest) -> u32 {
    let classes = model.target.classes().len().max(1) as u64;
    let most = (2048 / classes).clamp(1, 1024);
    let wanted = (input.rows() / 25_000).clamp(1, most);
    // A power of two, rounded down.
    1 << wanted.ilog2()
}

fn assess_stage(spec: &EvaluateSpec, model: &Model, input: &Manifest) -> Next {
    let (lean, schema) = (Shared::new(model.lean()), Shared::new(input.schema.clone()));
    let label = model.target.label().map(|trained| spec.label.clone().unwrap_or_else(|| trained.column.clone()));
    let classes = model.target.classes().len() as u64;
    let (buckets, width) = (buckets(model, input), model.features.width() as u64);
    let mut first_row = 0;
    let tasks = input
        .shards
        .iter()
        .enumerate()
        .map(|(n, entry)| {
            let shard = ShardAt::stored(entry);
            let task = AssessTask {
                input: shard.input(n),
                schema: schema.clone(),
                model: lean.clone(),
                label: label.clone(),
                served: spec.served.clone(),
                buckets,
                source_name: input.reference().to_string(),
                first_row,
            };
            first_row += entry.rows();
            let mut spec = shard.task(task, Vec::new());
            spec.memory += entry.rows() * (8 * (width + classes) + 48);
            spec
        })
        .collect();
    Next::stage(EvaluatePhase::Assess, tasks, Vec::new())
}

fn evaluation(
    spec: &EvaluateSpec,
    model: &Model,
    input: &Manifest,
    found: &Assessment,
    sums: &Sums,
    rankings: &[Ranked],
) -> Evaluation {
    let classes = model.target.classes();
    let (metrics, calibration, roc, confusion) = match sums {
        Sums::Classes(sums) => {
            let names: Vec<String> = classes.iter().map(ToString::to_string).collect();
            let findings = ClassFindings { rows: found.rows, sums, rankings, names: &names };
            (findings.metrics(), findings.calibration(), findings.curves(), sums.confusion.clone())
        }
        Sums::Numbers(sums) => (metrics::numbers(sums), Vec::new(), Vec::new(), Vec::new()),
        Sums::Clusters(sums) => (
            metrics::clusters(sums, model.parameters.centers().unwrap_or_default()),
            Vec::new(),
            Vec::new(),
            Vec::new(),
        ),
    };
    Evaluation {
        model: model.reference(),
        data: input.reference(),
        served: spec.served.clone(),
        label: model.target.label().map(|trained| spec.label.clone().unwrap_or_else(|| trained.column.clone())),
        rows: found.rows,
        rows_skipped: found.rows_skipped,
        // JSON has no infinity; such a number says as little as one that is not defined.
        metrics: metrics.into_iter().filter(|(_, x)| x.is_finite()).collect::<BTreeMap<_, _>>(),
        classes: classes.to_vec(),
        confusion_matrix: confusion,
        calibration,
        roc,
        // Filled in when it is published.
        job: JobId(0),
        created: Timestamp(0),
    }
}

#[cfg(test)]
#[path = "evaluate/evaluate_tests.rs"]
mod tests;
