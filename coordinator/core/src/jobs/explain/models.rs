//! The plans of training, prediction and evaluation, in words.

use shardmill_common::model::{Algorithm, Solver, Target, TrainSpec};
use shardmill_common::spec::{EvaluateSpec, PredictSpec};

use super::super::plan::ResolvedJob;
use super::{Outline, read_all, shards};

pub fn train(spec: &TrainSpec, job: &ResolvedJob, outline: &mut Outline) {
    outline.stage("profile", shards(job), format!("look at the columns of {}", read_all(job)));
    if matches!(&spec.algorithm, Algorithm::Logistic(options) if options.solver == Solver::Linfa) {
        outline.stage("fit", 1, "fit the model on one worker that reads every shard");
        return;
    }
    outline.stage(
        "round",
        shards(job),
        "sum up each shard for the parameters of the round, until the model has converged",
    );
    let most = match &spec.algorithm {
        Algorithm::Logistic(options) => options.max_iter,
        Algorithm::Linear(options) => options.max_iter,
        Algorithm::KMeans(options) => options.max_iter,
        Algorithm::NaiveBayes(_) => return,
    };
    outline.note(format!("at most {most} rounds (--max-iter); the features stay in the workers' memory between them"));
}

pub fn predict(spec: &PredictSpec, job: &ResolvedJob, outline: &mut Outline) {
    outline.stage("predict", shards(job), format!("predict the rows of {} with {}", read_all(job), spec.model));
}

pub fn evaluate(spec: &EvaluateSpec, job: &ResolvedJob, outline: &mut Outline) {
    let does = format!("predict the rows of {} with {} and compare with their labels", read_all(job), spec.model);
    outline.stage("assess", shards(job), does);
    if spec.resolved.as_ref().is_some_and(|model| matches!(model.target, Target::Class { .. })) {
        outline.later("rank", "put the scores in order for the areas under the curves");
    }
}
