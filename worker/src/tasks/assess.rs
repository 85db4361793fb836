//! Predicting a shard's rows, or taking what an endpoint had answered, and comparing with their labels. Of a classifier's
//! scores each distinct one goes to the shuffle with its numbers of positives and negatives, so that the curves over all
//! shards are exact.

mod classes;
mod clusters;
mod labels;
mod numbers;
mod served;

pub use classes::Tie;
#[cfg(test)]
pub use classes::{partition_of, ties};

use polars::prelude::DataFrame;
use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::evaluate::AssessTask;
use shardmill_common::model::{Assessment, ClassSums, Model, Sums, Target};
use shardmill_common::task::TaskOutput;
use shardmill_serving::model::{Matrix, Reason, Scores, Unusable};

use self::labels::Labels;
use super::Context;
use crate::model::{Encoded, encode};

pub fn run(context: &Context, task: &AssessTask) -> Result<TaskOutput, Failure> {
    let model = &task.model;
    let mut columns = match &task.served {
        None => model.features.columns(),
        Some(_) => served::columns(model),
    };
    columns.extend(task.label.iter().filter(|l| !columns.contains(l)).cloned().collect::<Vec<_>>());
    let frame = context.open_columns(&task.input, &task.schema, Some(&columns))?;
    let labels = Labels::of(&frame, task)?;
    let mut output = TaskOutput::default();
    let Answers { scores, classes: guesses, rows, matrix, rows_in } = match &task.served {
        None => predict(context, &frame, model, &mut output.counters)?,
        Some(served) => served::answers(&frame, task, served, &mut output.counters)?,
    };
    output.counters.add(Counter::RowsIn, rows_in as u64);
    context.check()?;
    let answered = rows.len();
    let rows = rows.into_iter().enumerate();
    let (used, sums) = match (&scores, &model.target, (model.parameters.centers(), &matrix)) {
        (Scores::Classes { classes, probabilities }, Target::Class { .. }, _) => {
            let mut actual = Vec::with_capacity(answered);
            for (n, row) in rows {
                if let Some(class) = labels.class(row, task)? {
                    actual.push((n, class));
                }
            }
            let (sums, sizes) = shuffle_classes(context, task, *classes, probabilities, &guesses, &actual)?;
            output.shuffle = Some(sizes);
            (actual.len(), Sums::Classes(sums))
        }
        (Scores::Numbers(predictions), Target::Number { .. }, _) => {
            let mut pairs = Vec::with_capacity(answered);
            for (n, row) in rows {
                if let Some(label) = labels.number(row, task)? {
                    pairs.push((label, predictions.get(n).copied().unwrap_or(f64::NAN)));
                }
            }
            let sums = numbers::sum(&pairs);
            if !sums.is_finite() {
                return Err(too_large(task));
            }
            (pairs.len(), Sums::Numbers(sums))
        }
        (Scores::Clusters { clusters, .. }, Target::Cluster { .. }, (Some(centers), Some(matrix))) => {
            let sums = clusters::sum(matrix, centers, clusters);
            if !sums.is_finite() {
                return Err(too_large(task));
            }
            (answered, Sums::Clusters(sums))
        }
        _ => return Err(Failure::internal(format!("the parameters of {} do not fit its target", model.reference()))),
    };
    let without_label = (answered - used) as u64;
    if without_label > 0 {
        output.counters.add(Counter::RowsSkipped("no label".into()), without_label);
    }
    let rows_skipped = (rows_in - used) as u64;
    let found = Assessment { rows: used as u64, rows_skipped, sums: (used > 0).then_some(sums) };
    output.and_reports::<AssessTask>(&found)
}

/// Predictions to compare with labels.
struct Answers {
    scores: Scores,
    /// The predicted class of each.
    classes: Vec<u32>,
    /// Of each prediction its row in the frame.
    rows: Vec<usize>,
    /// The encoded rows, where the predictions were made here.
    matrix: Option<Matrix>,
    /// Rows that were to be evaluated.
    rows_in: usize,
}

fn predict(context: &Context, frame: &DataFrame, model: &Model, sums: &mut Counters) -> Result<Answers, Failure> {
    let Encoded { matrix, kept, unusable, counters } = encode(frame, &model.features)?;
    sums.merge(&counters);
    for row in &unusable {
        sums.add(Counter::RowsSkipped(reason(row)), 1);
    }
    let scores = context.score(model, &matrix)?;
    let rows = match kept {
        Some(kept) => kept.iter().map(|row| *row as usize).collect(),
        None => (0..matrix.rows).collect(),
    };
    Ok(Answers { classes: scores.classes(), scores, rows, matrix: Some(matrix), rows_in: frame.height() })
}

fn reason(row: &Unusable) -> String {
    match row.reason {
        Reason::Missing => format!("{} missing", row.column),
        Reason::Infinite => format!("{} infinite", row.column),
        Reason::Unknown(_) => format!("{} unknown", row.column),
    }
}

fn too_large(task: &AssessTask) -> Failure {
    Failure::bad_input(format!(
        "the errors of {} on {} are too large to be summed as float64",
        task.model.reference(),
        task.source_name
    ))
}

/// Sums a classifier's rows, and writes its scores class by class, the highest first.
fn shuffle_classes(
    context: &Context,
    task: &AssessTask,
    classes: usize,
    probabilities: &[f64],
    predicted: &[u32],
    actual: &[(usize, u32)],
) -> Result<(ClassSums, Vec<shardmill_common::task::PartitionSize>), Failure> {
    if probabilities.iter().any(|p| p.is_nan()) {
        return Err(Failure::bad_input(format!(
            "a prediction of {} on {} is not a number: features of this dataset are too large for the model",
            task.model.reference(),
            task.source_name
        )));
    }
    let mut sums = classes::sum(classes, probabilities, predicted, actual);
    let mut writer = context.shuffle_writer(false)?;
    for class in classes::ranked(classes) {
        context.check()?;
        let ties = classes::ties(class, classes, probabilities, actual);
        let mut rest = ties.as_slice();
        for partition in 0..task.buckets.max(1) {
            let end = rest.partition_point(|t| classes::partition_of(t.score, task.buckets) <= partition);
            let (mine, others) = rest.split_at(end);
            sums.positives.push(mine.iter().map(|t| u64::from(t.positives)).sum());
            sums.negatives.push(mine.iter().map(|t| u64::from(t.negatives)).sum());
            if mine.is_empty() {
                writer.partition(&mut [])?;
            } else {
                writer.partition(&mut [Tie::to_frame(mine)?])?;
            }
            rest = others;
        }
    }
    Ok((sums, writer.finish()?))
}

#[cfg(test)]
mod tests;
