//! Evaluations of what an endpoint answered: which columns the captured rows must have.

use shardmill_common::captured::{ENDPOINT, MODEL, VARIANT};
use shardmill_common::kinds::predict::PredictOutputs;
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Model, ModelRef, Served, Target};
use shardmill_common::name::DatasetRef;
use shardmill_common::prediction::{PREDICTION, added_columns};
use shardmill_common::schema::DataType;
use shardmill_common::unfit::{OwnUnfit, Unfit};

/// What is wrong with a dataset of what an endpoint answered.
#[derive(Debug, thiserror::Error)]
enum ServedUnfit {
    #[error("{model} finds clusters: there is no label to compare what endpoint `{endpoint}` answered with")]
    Clusters { model: ModelRef, endpoint: String },
    #[error(
        "{input} does not have what an endpoint answered with {model}: it lacks {missing}; its columns are {columns}"
    )]
    Lacks { input: DatasetRef, model: ModelRef, missing: String, columns: String },
    #[error(
        "column `{column}` of {input} is {found}, and {model} answers {wanted}: let each endpoint capture into a dataset of its own"
    )]
    Type { column: String, input: DatasetRef, found: DataType, model: ModelRef, wanted: DataType },
}

impl OwnUnfit for ServedUnfit {}

pub fn check(served: &Served, model: &Model, input: &Manifest) -> Result<(), Unfit> {
    if let Target::Cluster { .. } = &model.target {
        return Err(ServedUnfit::Clusters { model: model.reference(), endpoint: served.endpoint.to_string() }.into());
    }
    let answers = added_columns(&model.target, PredictOutputs { label: true, probability: true });
    let needed = [ENDPOINT, VARIANT, MODEL].into_iter().chain(answers.iter().map(|f| f.name.as_str()));
    let missing: Vec<String> = needed.filter(|c| input.schema.get(c).is_none()).map(|c| format!("`{c}`")).collect();
    if !missing.is_empty() {
        let (missing, columns) = (missing.join(", "), input.schema.names_joined());
        return Err(ServedUnfit::Lacks { input: input.reference(), model: model.reference(), missing, columns }.into());
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
            let (input, model) = (input.reference(), model.reference());
            return Err(ServedUnfit::Type { column: answer.name, input, found, model, wanted: answer.dtype }.into());
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
