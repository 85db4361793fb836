//! The stages of the rounds: what the optimiser asks goes out to every shard, and what comes back is added up in their order.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::train::{FitTask, LearnTask, TrainPhase};
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Encoder, Encoding, Learn, LinfaFit, Round, Target, TrainSpec};
use shardmill_common::phase::Phase;
use shardmill_common::shared::Shared;
use shardmill_common::task::TaskSpec;

use super::super::plan::{Next, Planned, ShardAt, StageView, frame_memory, outputs, whole};
use super::family::{Accepted, Answers, Ask, Trained};
use super::memo::{Memo, Prepared};
use super::{finish, profile};

/// The stage that the memo's state asks for.
pub fn stage(
    spec: &TrainSpec,
    input: &Manifest,
    shards: &[ShardAt],
    stages: &[StageView<'_>],
    memo: Memo,
) -> Result<Next, Failure> {
    let (phase, tasks) = match memo.state.learning().ask() {
        Ask::Round(learn) => (TrainPhase::Round, learn_tasks(spec, input, shards, &memo.prepared, learn)),
        Ask::Fit(fit) => (TrainPhase::Fit, vec![fit_task(input, shards, &memo.prepared, fit)]),
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

fn fit_task(input: &Manifest, shards: &[ShardAt], prepared: &Prepared, fit: LinfaFit) -> TaskSpec {
    let task = FitTask {
        inputs: Shared::new(shards.iter().enumerate().map(|(n, shard)| shard.input(n)).collect()),
        schema: Shared::new(input.schema.clone()),
        encoder: Shared::new(prepared.encoder.clone()),
        target: Shared::new(prepared.target.clone()),
        fit,
        source_name: input.reference().to_string(),
    };
    let dense = prepared.rows.saturating_mul(prepared.encoder.width() as u64 * 16);
    TaskSpec {
        kind: task.into(),
        reads: Vec::new(),
        objects: shards.iter().flat_map(|s| s.entry.objects().map(|o| o.id)).collect(),
        memory: frame_memory(input.bytes()).saturating_add(dense),
    }
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
    let outputs = outputs(stages, whole(stages, stage))?;
    let seconds = stages.get(stage as usize).map_or(0.0, |s| s.seconds);
    let answers = Answers { spec, prepared: &mut memo.prepared, outputs: &outputs };
    let Accepted { told, trained } = memo.state.learning_mut().accept(answers)?;
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
