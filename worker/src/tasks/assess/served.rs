//! What an endpoint answered, from the columns of captured rows.

use hashbrown::HashMap;
use polars::prelude::{Column, DataFrame, DataType as PolarsType, Float64Chunked, StringChunked};
use shardmill_common::captured::{ENDPOINT, MODEL, VARIANT};
use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::evaluate::AssessTask;
use shardmill_common::model::{Model, Served, Target};
use shardmill_common::prediction::{PREDICTION, probability_column};
use shardmill_serving::model::Scores;

use super::Answers;

/// The columns that say who answered what.
pub fn columns(model: &Model) -> Vec<String> {
    let mut columns = [ENDPOINT, VARIANT, MODEL, PREDICTION].map(str::to_owned).to_vec();
    columns.extend(model.target.classes().iter().map(probability_column));
    columns
}

/// The answers of this variant with this model version; rows of others are passed over.
pub fn answers(
    frame: &DataFrame,
    task: &AssessTask,
    served: &Served,
    counters: &mut Counters,
) -> Result<Answers, Failure> {
    let own = own_rows(frame, task, served)?;
    let rows_in = own.len();
    let found = match &task.model.target {
        Target::Class { .. } => classes(frame, task, &own)?,
        Target::Number { .. } => numbers(frame, &own)?,
        Target::Cluster { .. } => return Err(Failure::internal("clusters have no label to compare with")),
    };
    let without = (rows_in - found.rows.len()) as u64;
    if without > 0 {
        counters.add(Counter::RowsSkipped("no prediction".into()), without);
    }
    Ok(Answers { rows_in, ..found })
}

fn column<'a>(frame: &'a DataFrame, name: &str) -> Result<&'a Column, Failure> {
    frame.column(name).map_err(Failure::internal)
}

fn texts(frame: &DataFrame, name: &str) -> Result<StringChunked, Failure> {
    let column = column(frame, name)?.cast(&PolarsType::String).map_err(Failure::internal)?;
    column.str().cloned().map_err(Failure::internal)
}

fn floats(frame: &DataFrame, name: &str) -> Result<Float64Chunked, Failure> {
    let column = column(frame, name)?.cast(&PolarsType::Float64).map_err(Failure::internal)?;
    column.f64().cloned().map_err(Failure::internal)
}

fn own_rows(frame: &DataFrame, task: &AssessTask, served: &Served) -> Result<Vec<usize>, Failure> {
    let (endpoints, variants, models) = (texts(frame, ENDPOINT)?, texts(frame, VARIANT)?, texts(frame, MODEL)?);
    let model = task.model.reference().to_string();
    let wanted = (Some(served.endpoint.as_str()), Some(served.variant.as_str()), Some(model.as_str()));
    let who = endpoints.iter().zip(variants.iter()).zip(models.iter());
    Ok(who.enumerate().filter(|(_, ((e, v), m))| (*e, *v, *m) == wanted).map(|(row, _)| row).collect())
}

fn classes(frame: &DataFrame, task: &AssessTask, own: &[usize]) -> Result<Answers, Failure> {
    let all = task.model.target.classes();
    let known: HashMap<String, u32> = all.iter().map(ToString::to_string).zip(0u32..).collect();
    let predictions = texts(frame, PREDICTION)?;
    let columns: Vec<Float64Chunked> =
        all.iter().map(|class| floats(frame, &probability_column(class))).collect::<Result<_, _>>()?;
    let (mut rows, mut guesses) = (Vec::with_capacity(own.len()), Vec::with_capacity(own.len()));
    let mut probabilities = Vec::with_capacity(own.len() * all.len());
    for row in own {
        let Some(text) = predictions.get(*row) else { continue };
        let guess = *known.get(text).ok_or_else(|| unknown(task, *row, text))?;
        let begin = probabilities.len();
        probabilities.extend(columns.iter().filter_map(|c| c.get(*row)));
        if probabilities.len() < begin + all.len() {
            probabilities.truncate(begin);
            continue;
        }
        rows.push(*row);
        guesses.push(guess);
    }
    let scores = Scores::Classes { classes: all.len(), probabilities };
    Ok(Answers { scores, classes: guesses, rows, matrix: None, rows_in: 0 })
}

fn numbers(frame: &DataFrame, own: &[usize]) -> Result<Answers, Failure> {
    let predictions = floats(frame, PREDICTION)?;
    let (rows, numbers) = own.iter().filter_map(|row| Some((*row, predictions.get(*row)?))).unzip();
    Ok(Answers { scores: Scores::Numbers(numbers), classes: Vec::new(), rows, matrix: None, rows_in: 0 })
}

fn unknown(task: &AssessTask, row: usize, text: &str) -> Failure {
    let row = task.first_row + row as u64 + 1;
    let shown: String = text.escape_debug().take(60).collect();
    Failure::bad_input(format!(
        "{}, row {row}: the prediction `{shown}` is none of the classes of {}",
        task.source_name,
        task.model.reference()
    ))
}
