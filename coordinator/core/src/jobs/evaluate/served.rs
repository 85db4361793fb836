//! Evaluations of what an endpoint answered: which columns the captured rows must have.

use shardmill_common::captured::{ENDPOINT, MODEL, VARIANT};
use shardmill_common::kinds::predict::PredictOutputs;
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Model, Served, Target};
use shardmill_common::name::DatasetRef;
use shardmill_common::prediction::{PREDICTION, added_columns};
use shardmill_common::schema::DataType;

pub fn check(served: &Served, model: &Model, input: &Manifest) -> Result<(), String> {
    if let Target::Cluster { .. } = &model.target {
        return Err(format!(
            "{} finds clusters: there is no label to compare what endpoint `{}` answered with",
            model.reference(),
            served.endpoint
        ));
    }
    let answers = added_columns(&model.target, PredictOutputs { label: true, probability: true });
    let needed = [ENDPOINT, VARIANT, MODEL].into_iter().chain(answers.iter().map(|f| f.name.as_str()));
    let missing: Vec<String> = needed.filter(|c| input.schema.get(c).is_none()).map(|c| format!("`{c}`")).collect();
    if !missing.is_empty() {
        return Err(format!(
            "{} does not have what an endpoint answered with {}: it lacks {}; its columns are {}",
            input.reference(),
            model.reference(),
            missing.join(", "),
            input.schema.names_joined()
        ));
    }
    for answer in answers {
        let Some(found) = input.schema.get(&answer.name).map(|f| f.dtype) else { continue };
        let fits = if answer.dtype == DataType::Float64 {
            found.is_numeric()
        } else {
            // Where endpoints with classes of several types share a dataset, these are text.
            found == answer.dtype || (answer.name == PREDICTION && found == DataType::String)
        };
        if !fits {
            return Err(format!(
                "column `{}` of {} is {found}, and {} answers {}: let each endpoint capture into a dataset of its own",
                answer.name,
                input.reference(),
                model.reference(),
                answer.dtype
            ));
        }
    }
    Ok(())
}

/// Why there is no evaluation: no row of this variant, or none with a label.
pub fn nothing(served: &Served, model: &Model, rows: u64, input: &DatasetRef) -> String {
    let who = format!("variant `{}` of endpoint `{}` with {}", served.variant, served.endpoint, model.reference());
    match rows {
        0 => format!("{input} has no row that {who} answered"),
        rows => format!("none of the {rows} rows of {input} that {who} answered has a label"),
    }
}
