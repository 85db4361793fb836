//! Predicting the rows of shards.

use polars::prelude::{BooleanChunked, Column, DataFrame, IdxCa, NamedFrom, NewChunkedArray, Series};
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::predict::{PredictOutputs, PredictTask};
use shardmill_common::model::{ClassValue, Target};
use shardmill_common::prediction::{DISTANCE, PREDICTION, probability_column};
use shardmill_common::task::TaskOutput;
use shardmill_serving::model::{Reason, Scores, Unusable};

use super::Context;
use super::parse::{Reject, write_rejects};
use super::raw::row_as_json;
use crate::model::encode;

pub fn run(context: &Context, task: &PredictTask) -> Result<TaskOutput, Failure> {
    let model = &task.model;
    let mut columns = (*task.keep).clone();
    // A column that is asked for twice would be read twice.
    columns.extend(model.features.columns().into_iter().filter(|c| !task.keep.contains(c)));
    // A model without features says the same of every row, but the rows must be counted.
    let columns = if columns.is_empty() { None } else { Some(columns.as_slice()) };
    let frame = context.open_all(&task.inputs, &task.schema, columns)?;
    let rows_in = frame.height() as u64;
    let encoded = encode(&frame, &model.features)?;
    context.check()?;
    let scores = context.score(model, &encoded.matrix)?;
    context.check()?;
    let rejects: Vec<Reject> = encoded
        .unusable
        .iter()
        .map(|row| Reject {
            line: task.first_row + u64::from(row.row) + 1,
            raw: row_as_json(&frame, row.row as usize),
            reason: reason(row),
        })
        .collect();
    let mut out: Vec<Column> = Vec::with_capacity(task.keep.len() + 2);
    let kept = encoded.kept.map(|rows| IdxCa::from_vec("row".into(), rows));
    for name in &task.keep {
        let column = frame.column(name).map_err(Failure::internal)?;
        out.push(match &kept {
            None => column.clone(),
            Some(rows) => column.take(rows).map_err(Failure::internal)?,
        });
    }
    drop(frame);
    out.extend(predictions(&scores, &model.target, task.outputs)?);
    let mut frame = DataFrame::new(encoded.matrix.rows, out).map_err(Failure::internal)?;
    let mut counters = encoded.counters;
    counters.add(Counter::RowsIn, rows_in);
    counters.add(Counter::RowsOut, frame.height() as u64);
    counters.add(Counter::Rejected, rejects.len() as u64);
    let shard = if frame.height() > 0 { Some(context.write_shard(&mut frame)?) } else { None };
    Ok(TaskOutput {
        shard,
        rejects: write_rejects(context, &task.source_name, &rejects)?,
        counters,
        ..Default::default()
    })
}

fn reason(row: &Unusable) -> String {
    let column = &row.column;
    match &row.reason {
        Reason::Missing => {
            format!("column `{column}` has no value, and the model learnt nothing to put in its place")
        }
        Reason::Infinite => format!("column `{column}` is infinite"),
        Reason::Unknown(value) => format!("`{value}` is no category of `{column}` that the model knows"),
    }
}

/// The columns that are added, as `shardmill_common::prediction::added_columns` names them.
fn predictions(scores: &Scores, target: &Target, outputs: PredictOutputs) -> Result<Vec<Column>, Failure> {
    let mut out = Vec::new();
    match (scores, target) {
        (Scores::Classes { classes, probabilities }, Target::Class { classes: values, .. }) => {
            if *classes != values.len() {
                return Err(Failure::internal(format!(
                    "a model of {} classes has parameters of {classes}",
                    values.len()
                )));
            }
            if outputs.label {
                let rows = IdxCa::from_vec("row".into(), scores.classes());
                out.push(class_column(values)?.take(&rows).map_err(Failure::internal)?);
            }
            if outputs.probability {
                for (n, class) in values.iter().enumerate() {
                    let of_class: Vec<f64> = probabilities.iter().skip(n).step_by(*classes).copied().collect();
                    out.push(Series::new(probability_column(class).into(), of_class).into());
                }
            }
        }
        (Scores::Numbers(numbers), Target::Number { .. }) => {
            if outputs.label {
                out.push(Series::new(PREDICTION.into(), numbers).into());
            }
        }
        (Scores::Clusters { clusters, distances }, Target::Cluster { .. }) => {
            if outputs.label {
                let clusters: Vec<i64> = clusters.iter().map(|c| i64::from(*c)).collect();
                out.push(Series::new(PREDICTION.into(), clusters).into());
            }
            if outputs.probability {
                let roots: Vec<f64> = distances.iter().map(|d| d.sqrt()).collect();
                out.push(Series::new(DISTANCE.into(), roots).into());
            }
        }
        _ => return Err(Failure::internal("the model's parameters do not fit what it predicts")),
    }
    Ok(out)
}

/// The classes, each once, in their own type.
fn class_column(classes: &[ClassValue]) -> Result<Column, Failure> {
    fn all<'a, T>(classes: &'a [ClassValue], of: impl Fn(&'a ClassValue) -> Option<T>) -> Option<Vec<T>> {
        classes.iter().map(of).collect()
    }
    let name = || PREDICTION.into();
    let booleans = || all(classes, |c| if let ClassValue::Boolean(b) = c { Some(*b) } else { None });
    let integers = || all(classes, |c| if let ClassValue::Int64(n) = c { Some(*n) } else { None });
    let strings = || all(classes, |c| if let ClassValue::String(s) = c { Some(s.as_str()) } else { None });
    if let Some(strings) = strings() {
        Ok(Series::new(name(), strings).into())
    } else if let Some(integers) = integers() {
        Ok(Series::new(name(), integers).into())
    } else if let Some(booleans) = booleans() {
        Ok(Column::from(Series::from(BooleanChunked::from_slice(name(), &booleans))))
    } else {
        Err(Failure::internal("the classes of the model are of several types"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::schema_of;
    use shardmill_common::model::Label;
    use shardmill_common::prediction::added_columns;
    use shardmill_common::schema::DataType;

    const BOTH: PredictOutputs = PredictOutputs { label: true, probability: true };

    fn class(dtype: DataType, classes: Vec<ClassValue>) -> Target {
        Target::Class { label: Label { column: "y".into(), dtype }, classes }
    }

    fn frame(scores: &Scores, target: &Target, rows: usize) -> DataFrame {
        let frame = DataFrame::new(rows, predictions(scores, target, BOTH).unwrap()).unwrap();
        assert_eq!(schema_of(&frame).unwrap().fields, added_columns(target, BOTH));
        frame
    }

    #[test]
    fn classes_keep_their_type() {
        let scores = Scores::Classes { classes: 2, probabilities: vec![0.25, 0.75, 0.5, 0.5, 1.0, 0.0] };
        let strings = class(DataType::String, ["no", "yes"].map(|s| ClassValue::String(s.into())).to_vec());
        let got = frame(&scores, &strings, 3);
        let labels: Vec<_> = got.column("prediction").unwrap().str().unwrap().iter().flatten().collect();
        assert_eq!(labels, ["yes", "no", "no"]);
        let yes: Vec<_> = got.column("probability_yes").unwrap().f64().unwrap().into_no_null_iter().collect();
        assert_eq!(yes, [0.75, 0.5, 0.0]);
        let integers = class(DataType::Int64, vec![ClassValue::Int64(-1), ClassValue::Int64(4)]);
        let got = frame(&scores, &integers, 3);
        assert_eq!(got.column("prediction").unwrap().i64().unwrap().get(0), Some(4));
        assert!(got.column("probability_-1").is_ok());
        let booleans = class(DataType::Boolean, vec![ClassValue::Boolean(false), ClassValue::Boolean(true)]);
        assert_eq!(frame(&scores, &booleans, 3).column("prediction").unwrap().bool().unwrap().get(0), Some(true));
        let three = class(DataType::Int64, (0..3).map(ClassValue::Int64).collect());
        assert!(predictions(&scores, &three, BOTH).is_err());
    }

    #[test]
    fn numbers_and_clusters_have_columns_of_their_own() {
        let number = Target::Number { label: Label { column: "y".into(), dtype: DataType::Int64 } };
        frame(&Scores::Numbers(vec![1.5]), &number, 1);
        let scores = Scores::Clusters { clusters: vec![1, 0], distances: vec![4.0, 0.25] };
        let got = frame(&scores, &Target::Cluster { clusters: 2 }, 2);
        assert_eq!(got.column("distance").unwrap().f64().unwrap().get(0), Some(2.0));
        let label = PredictOutputs { label: true, probability: false };
        assert_eq!(predictions(&scores, &Target::Cluster { clusters: 2 }, label).unwrap().len(), 1);
    }
}
