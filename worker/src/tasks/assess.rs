//! Predicting a shard's rows and comparing with their labels. Of a classifier's scores each distinct one goes to the shuffle
//! with its numbers of positives and negatives, so that the curves over all shards are exact.

mod classes;
mod clusters;
mod labels;
mod numbers;

pub use classes::Tie;
#[cfg(test)]
pub use classes::{partition_of, ties};

use shardmill_common::failure::Failure;
use shardmill_common::model::{Assessment, ClassSums, Parameters, Sums, Target};
use shardmill_common::task::{AssessTask, TaskOutput};
use shardmill_serving::model::{Reason, Scores, Unusable, score};

use self::labels::Labels;
use super::Context;
use crate::model::{Encoded, encode};

pub fn run(context: &Context, task: &AssessTask) -> Result<TaskOutput, Failure> {
    let model = &task.model;
    let mut columns = model.features.columns();
    columns.extend(task.label.iter().filter(|l| !columns.contains(l)).cloned().collect::<Vec<_>>());
    let frame = context.open_columns(&task.input, &task.schema, Some(&columns))?;
    let labels = Labels::of(&frame, task)?;
    let Encoded { matrix, kept, unusable, counters } = encode(&frame, &model.features)?;
    let mut output = TaskOutput { counters, ..Default::default() };
    output.counters.add("rows_in", frame.height() as u64);
    for row in &unusable {
        output.counters.add(format!("rows_skipped/{}", reason(row)), 1);
    }
    let scores = score(&model.parameters, &matrix);
    context.check()?;
    // The matrix's row and the frame's row.
    let rows =
        (0..matrix.rows).map(|n| (n, kept.as_ref().map_or(Some(n), |k| k.get(n).map(|r| *r as usize)).unwrap_or(n)));
    let (used, sums) = match (&scores, &model.target, &model.parameters) {
        (Scores::Classes { classes, probabilities }, Target::Class { .. }, _) => {
            let mut actual = Vec::with_capacity(matrix.rows);
            for (n, row) in rows {
                if let Some(class) = labels.class(row, task)? {
                    actual.push((n, class));
                }
            }
            let (sums, sizes) = shuffle_classes(context, task, *classes, probabilities, &scores.classes(), &actual)?;
            output.shuffle = Some(sizes);
            (actual.len(), Sums::Classes(sums))
        }
        (Scores::Numbers(predictions), Target::Number { .. }, _) => {
            let mut pairs = Vec::with_capacity(matrix.rows);
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
        (Scores::Clusters { clusters, .. }, Target::Cluster { .. }, Parameters::KMeans { centers, .. }) => {
            let sums = clusters::sum(&matrix, centers, clusters);
            if !sums.is_finite() {
                return Err(too_large(task));
            }
            (matrix.rows, Sums::Clusters(sums))
        }
        _ => return Err(Failure::internal(format!("the parameters of {} do not fit its target", model.reference()))),
    };
    let without_label = (matrix.rows - used) as u64;
    if without_label > 0 {
        output.counters.add("rows_skipped/no label", without_label);
    }
    let rows_skipped = (frame.height() - used) as u64;
    let found = Assessment { rows: used as u64, rows_skipped, sums: (used > 0).then_some(sums) };
    output.result = Some(serde_json::to_value(found).map_err(Failure::internal)?);
    Ok(output)
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
