//! Batch prediction: one map stage; shards are predicted where they lie, small neighbours together.

use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::kinds::predict::{PredictPhase, PredictSpec, PredictTask};
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Encoding, Feature, Model, ModelRef};
use shardmill_common::name::DatasetRef;
use shardmill_common::prediction::added_columns;
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::shared::Shared;
use shardmill_common::unfit::{OwnUnfit, Role, Unfit};

use super::plan::{
    Draft, Next, ResolvedJob, ShardAt, StageView, each_group, find, groups_of, inputs_of, outputs, rows_of, task_of,
    whole,
};
use crate::command::Facts;
use crate::core::Core;
use crate::jobs::Planner;
use crate::jobs::outline::{Outline, groups, read_all};

/// What is wrong with a prediction alone.
#[derive(Debug, thiserror::Error)]
enum PredictUnfit {
    #[error("{model} has no probabilities to put out: ask for the label")]
    NoProbabilities { model: ModelRef },
    #[error(
        "the prediction adds columns that {input} already has: {columns}; leave them out with --keep, or rename them"
    )]
    Clash { input: DatasetRef, columns: String },
    #[error("{input} lacks columns that {model} reads: {missing}; {listed}")]
    Lacks { input: DatasetRef, model: ModelRef, missing: String, listed: String },
    #[error("columns of {input} do not fit {model}: {columns}")]
    Types { input: DatasetRef, model: ModelRef, columns: String },
}

impl OwnUnfit for PredictUnfit {}

impl Planner for PredictSpec {
    fn resolve(&mut self, core: &Core, _facts: &Facts) -> Result<(), Refusal> {
        self.resolved = Some(Box::new(core.pinned(&mut self.model)?));
        Ok(())
    }

    fn check(&self, job: &ResolvedJob) -> Result<(), Unfit> {
        let input = job.input()?;
        let model = self.resolved.as_deref().ok_or(Unfit::ModelMissing)?;
        check_features(model, input)?;
        let keep = kept(self, &input.schema);
        for (n, column) in keep.iter().enumerate() {
            if input.schema.get(column).is_none() {
                return Err(Unfit::no_column(input.reference(), &input.schema, column, Role::Kept));
            }
            if keep[..n].contains(column) {
                return Err(Unfit::Twice { column: column.clone(), role: Role::Kept });
            }
        }
        let added = added_columns(&model.target, self.outputs);
        if added.is_empty() {
            return Err(PredictUnfit::NoProbabilities { model: model.reference() }.into());
        }
        let clashes = quoted(added.iter().map(|f| f.name.as_str()).filter(|name| keep.iter().any(|k| k == name)));
        if !clashes.is_empty() {
            return Err(PredictUnfit::Clash { input: input.reference(), columns: clashes }.into());
        }
        Ok(())
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let input = job.input()?;
        let model = self.resolved.as_deref().ok_or_else(|| Failure::internal("the model was not looked up"))?;
        let keep = kept(self, &input.schema);
        let Some(predict) = find(stages, PredictPhase::Predict) else {
            return Ok(predict_stage(self, model, input, &keep));
        };
        let outputs = outputs(stages, whole(stages, predict))?;
        let mut fields: Vec<Field> = keep.iter().filter_map(|c| input.schema.get(c).cloned()).collect();
        fields.extend(added_columns(&model.target, self.outputs));
        let shards = outputs.iter().filter_map(|o| o.shard.clone()).filter(|s| s.rows() > 0).collect();
        let draft = Draft { name: self.output.clone(), schema: Schema::new(fields).published(), shards };
        Ok(Next::versions(draft.and_rejects(outputs.iter().filter_map(|o| o.rejects.clone()))))
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        outline.stage(
            PredictPhase::Predict,
            groups(job),
            format!("predict the rows of {} with {}", read_all(job), self.model),
        );
        Some(outline)
    }
}

/// Whether every raw column that the model reads is there, in a type whose values it can take.
pub fn check_features(model: &Model, input: &Manifest) -> Result<(), Unfit> {
    let features = &model.features.features;
    let missing = quoted(features.iter().map(|f| f.column.as_str()).filter(|c| input.schema.get(c).is_none()));
    if !missing.is_empty() {
        let (input, model, listed) = (input.reference(), model.reference(), input.schema.listed());
        return Err(PredictUnfit::Lacks { input, model, missing, listed }.into());
    }
    let unfit: Vec<String> = features
        .iter()
        .filter_map(|feature| {
            let here = input.schema.get(&feature.column)?.dtype;
            let fits = fits(feature, here);
            (!fits).then(|| format!("`{}` is {here}, and the model learnt it as {}", feature.column, feature.dtype))
        })
        .collect();
    if unfit.is_empty() {
        return Ok(());
    }
    let (input, model, columns) = (input.reference(), model.reference(), unfit.join("; "));
    Err(PredictUnfit::Types { input, model, columns }.into())
}

/// Numbers and truth values are all numbers to a model; categories are told apart by their text, which depends on the type.
fn fits(feature: &Feature, here: DataType) -> bool {
    match (&feature.encoding, here) {
        (_, DataType::Null) => true,
        (Encoding::Numeric { .. }, DataType::Boolean) => true,
        (Encoding::Numeric { .. }, here) if here.is_numeric() => true,
        // Decimals of a scale are written alike, however many digits they may have.
        (Encoding::OneHot { .. }, DataType::Decimal { scale, .. }) => {
            matches!(feature.dtype, DataType::Decimal { scale: learnt, .. } if learnt == scale)
        }
        (Encoding::Numeric { .. } | Encoding::OneHot { .. }, here) => here == feature.dtype,
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

/// The columns of the input that the output keeps.
fn kept(spec: &PredictSpec, schema: &Schema) -> Vec<String> {
    spec.keep.clone().unwrap_or_else(|| schema.names().map(str::to_owned).collect())
}

fn predict_stage(spec: &PredictSpec, model: &Model, input: &Manifest, keep: &[String]) -> Next {
    let lean = Shared::new(model.lean());
    let (schema, keep) = (Shared::new(input.schema.clone()), Shared::new(keep.to_vec()));
    let numbers = (lean.features.width() + added_columns(&lean.target, spec.outputs).len()) as u64;
    let mut first_row = 0;
    let shards: Vec<ShardAt> = input.shards.iter().map(ShardAt::stored).collect();
    let ends = groups_of(&shards);
    let tasks = each_group(&shards, &ends)
        .map(|(first, group)| {
            let rows = rows_of(group);
            let task = PredictTask {
                inputs: inputs_of(first, group),
                schema: schema.clone(),
                model: lean.clone(),
                keep: keep.clone(),
                outputs: spec.outputs,
                source_name: input.reference().to_string(),
                first_row,
            };
            first_row += rows;
            let mut task = task_of(group, task, Vec::new());
            // One-hot columns are kept as codes, so this is more than enough for the encoded rows.
            task.memory = task.memory.saturating_add(rows.saturating_mul(numbers.min(256) * 8));
            task
        })
        .collect();
    Next::stage(PredictPhase::Predict, tasks, Vec::new())
}

#[cfg(test)]
#[path = "predict_tests.rs"]
mod tests;
