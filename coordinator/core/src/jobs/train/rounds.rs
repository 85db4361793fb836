//! The stages of the rounds: what the optimiser asks goes out to every shard, and what comes back is added up in their order.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::train::{FitTask, LearnTask};
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{
    Algorithm, ClassMoments, Encoder, Encoding, GlmSums, Learn, Learnt, LinfaFit, Link, Round, Target, TrainSpec,
};
use shardmill_common::phase::Phase;
use shardmill_common::task::{TaskOutput, TaskSpec};

use super::super::plan::{Next, Planned, ShardAt, StageView, frame_memory, output, whole};
use super::finish::{self, Trained};
use super::memo::{Memo, Prepared, State};
use super::profile;
use crate::train::{Bayes, Outcome, add_up, naive_bayes};
use shardmill_common::kinds::train::TrainPhase;
use shardmill_common::shared::Shared;

/// The stage that the memo's state asks for.
pub fn stage(
    spec: &TrainSpec,
    input: &Manifest,
    shards: &[ShardAt],
    stages: &[StageView<'_>],
    memo: Memo,
) -> Result<Next, Failure> {
    let (phase, tasks) = match learn(&memo.state) {
        Some(learn) => (TrainPhase::Round, learn_tasks(spec, input, shards, &memo.prepared, learn)),
        None => (TrainPhase::Fit, vec![fit_task(spec, input, shards, &memo.prepared)?]),
    };
    // The profile's counters are the job's; everything else of earlier rounds is in the memo.
    let forgets =
        (0u32..).zip(stages).filter(|(_, s)| s.is(TrainPhase::Round) && !s.tasks.is_empty()).map(|(n, _)| n).collect();
    let memo = serde_json::to_value(memo).map_err(Failure::internal)?;
    Ok(Next::Stage(Box::new(Planned {
        name: phase.name().into(),
        tasks,
        keeps: Vec::new(),
        memo: Some(memo),
        forgets,
    })))
}

fn learn(state: &State) -> Option<Learn> {
    match state {
        State::Glm(glm) => Some(Learn::Glm(glm.request())),
        State::Bayes { .. } => Some(Learn::ClassMoments),
        State::KMeans(kmeans) => Some(kmeans.request()),
        State::Linfa => None,
    }
}

fn learn_tasks(
    spec: &TrainSpec,
    input: &Manifest,
    shards: &[ShardAt],
    prepared: &Prepared,
    learn: Learn,
) -> Vec<TaskSpec> {
    let (schema, encoder) = (Shared::new(input.schema.clone()), Shared::new(prepared.working().clone()));
    let (class_weights, learn) = (Shared::new(prepared.class_weights.clone()), Shared::new(learn));
    let target = Some(prepared.target.clone()).filter(|t| !matches!(t, Target::Cluster { .. })).map(Shared::new);
    let row = row_bytes(prepared.working());
    let mut first_row = 0;
    let tasks = shards.iter().enumerate().map(|(n, shard)| {
        let task = LearnTask {
            input: shard.input(n),
            schema: schema.clone(),
            encoder: encoder.clone(),
            target: target.clone(),
            weight_column: spec.weight_column.clone(),
            class_weights: class_weights.clone(),
            learn: learn.clone(),
            source_name: input.reference().to_string(),
            first_row,
        };
        first_row += shard.entry.rows();
        let mut task = shard.task(task, Vec::new());
        task.memory = task.memory.saturating_add(shard.entry.rows().saturating_mul(row));
        task
    });
    tasks.collect()
}

/// Memory of an encoded row, twice over: numbers of 8 bytes, and one code of 4 for all of a column's categories.
fn row_bytes(encoder: &Encoder) -> u64 {
    let of = |encoding: &Encoding, indicator: bool| {
        let own = if matches!(encoding, Encoding::Numeric { .. }) { 8 } else { 4 };
        own + if indicator { 8 } else { 0 }
    };
    2 * encoder.features.iter().map(|f| of(&f.encoding, f.indicator)).sum::<u64>()
}

fn fit_task(spec: &TrainSpec, input: &Manifest, shards: &[ShardAt], prepared: &Prepared) -> Result<TaskSpec, Failure> {
    let Algorithm::Logistic(options) = &spec.algorithm else {
        return Err(Failure::internal("linfa fits logistic regression only"));
    };
    let fit = LinfaFit {
        alpha: 1.0 / options.c,
        fit_intercept: options.fit_intercept,
        max_iter: u64::from(options.max_iter),
        // linfa's objective is a sum and not a mean.
        gradient_tolerance: options.tol * prepared.rows as f64,
    };
    let task = FitTask {
        inputs: Shared::new(shards.iter().enumerate().map(|(n, shard)| shard.input(n)).collect()),
        schema: Shared::new(input.schema.clone()),
        encoder: Shared::new(prepared.encoder.clone()),
        target: Shared::new(prepared.target.clone()),
        fit,
        source_name: input.reference().to_string(),
    };
    let dense = prepared.rows.saturating_mul(prepared.encoder.width() as u64 * 16);
    Ok(TaskSpec {
        kind: task.into(),
        reads: Vec::new(),
        objects: shards.iter().flat_map(|s| s.entry.objects().map(|o| o.id)).collect(),
        memory: frame_memory(input.bytes()).saturating_add(dense),
    })
}

fn results<'a>(stages: &[StageView<'a>], stage: u32) -> Result<Vec<&'a TaskOutput>, Failure> {
    whole(stages, stage).tasks().map(|(stage, task)| output(stages, stage, task)).collect()
}

/// What follows a round.
pub fn advance(
    spec: &TrainSpec,
    input: &Manifest,
    shards: &[ShardAt],
    stages: &[StageView<'_>],
    stage: u32,
    mut memo: Memo,
) -> Result<Next, Failure> {
    let outputs = results(stages, stage)?;
    let seconds = stages.get(stage as usize).map_or(0.0, |s| s.seconds);
    let (told, trained) = accept(spec, &outputs, &mut memo)?;
    if let Some((loss, gradient)) = told {
        let round = memo.rounds.len() as u32 + 1;
        // A trial too far out may have no finite loss, and JSON no word for that.
        let finite = |x: f64| if x.is_finite() { x } else { f64::MAX };
        memo.rounds.push(Round { round, loss: finite(loss), gradient: finite(gradient), seconds });
    }
    match trained {
        Some(trained) => {
            let baseline = profile::distributions(spec, input, stages, &memo.prepared.encoder)?;
            finish::publish(spec, input, &outputs, memo, Trained { baseline, ..trained })
        }
        None => self::stage(spec, input, shards, stages, memo),
    }
}

/// Objective and gradient of a round.
type Told = Option<(f64, f64)>;

fn accept(spec: &TrainSpec, outputs: &[&TaskOutput], memo: &mut Memo) -> Result<(Told, Option<Trained>), Failure> {
    let Memo { prepared, state, .. } = memo;
    match state {
        State::Glm(glm) => {
            let sums = learnt(outputs, |l| if let Learnt::Glm(sums) = l { Some(sums) } else { None })?;
            let used: u64 = sums.iter().map(|s| s.rows).sum();
            if used == 0 {
                return Err(Failure::bad_input(
                    "no row is left: each lacks a value, or has one that the model refuses",
                ));
            }
            if used < prepared.rows {
                // What an update's encoder refuses only shows here.
                let refused = prepared.rows - used;
                prepared.notices.push(format!("{refused} rows have values that the model refuses and were left out"));
                (prepared.rows, prepared.rows_skipped) = (used, prepared.rows_skipped + refused);
            }
            let (loss, gradient, outcome) = glm.accept(add_up(sums.into_iter().filter(has_rows))?)?;
            let trained = match outcome {
                Outcome::Going => None,
                Outcome::Done(fitted) => Some(finish::glm(spec, prepared, glm, *fitted)?),
                Outcome::Separated(found) => return Err(finish::separated(prepared, &found)),
            };
            Ok((Some((loss, gradient)), trained))
        }
        State::Bayes { priors } => {
            let Algorithm::NaiveBayes(options) = &spec.algorithm else {
                return Err(Failure::internal("the state is of another algorithm"));
            };
            let moments: Vec<ClassMoments> =
                learnt(outputs, |l| if let Learnt::ClassMoments(moments) = l { Some(moments) } else { None })?;
            let fit = Bayes {
                classes: prepared.target.classes().len(),
                width: prepared.encoder.width(),
                var_smoothing: options.var_smoothing,
                priors: priors.clone(),
                base: spec.base.as_ref().map(|base| &base.parameters),
            };
            let parameters = naive_bayes(&fit, &moments)?;
            finish::check_bayes(prepared, &parameters)?;
            Ok((None, Some(Trained::at_once(parameters, "moments"))))
        }
        State::KMeans(kmeans) => {
            let (told, done) = kmeans.accept(learnt(outputs, Some)?)?;
            Ok((told, done.map(finish::kmeans)))
        }
        State::Linfa => {
            let fitted = outputs.first().ok_or_else(|| Failure::internal("nothing was fitted"))?;
            let result = fitted.report::<FitTask>()?;
            let Algorithm::Logistic(options) = &spec.algorithm else {
                return Err(Failure::internal("the state is of another algorithm"));
            };
            let classes = prepared.target.classes().len();
            let link = if classes == 2 { Link::Logistic } else { Link::Softmax { classes: classes as u32 } };
            let parameters =
                finish::parameters(link, prepared.encoder.width(), options.fit_intercept, &result.parameters.0)?;
            Ok((None, Some(Trained::at_once(parameters, "linfa"))))
        }
    }
}

/// A shard without rows adds nothing.
fn has_rows(sums: &GlmSums) -> bool {
    sums.rows > 0
}

fn learnt<T>(outputs: &[&TaskOutput], of: impl Fn(Learnt) -> Option<T>) -> Result<Vec<T>, Failure> {
    outputs
        .iter()
        .map(|output| {
            of(output.report::<LearnTask>()?)
                .ok_or_else(|| Failure::internal("a shard learnt something else than it was asked"))
        })
        .collect()
}
