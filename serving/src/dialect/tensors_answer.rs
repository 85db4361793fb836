//! Answers of the Open Inference Protocol: tensors, as JSON or as binary behind it, and what a model says of itself.

use serde_json::{Value, json};
use shardmill_common::model::{ClassValue, Encoding, Target};
use shardmill_common::schema::DataType;

use super::answer::{LabelType, RequestError, label_type};
use super::tensors::InferRequest;
use crate::model::Scores;
use crate::predictor::{Predicted, Predictor};

/// The predicted class, number or cluster.
const PREDICTION: &str = "prediction";
/// A probability a class, in the order of the model's classes.
const PROBABILITIES: &str = "probabilities";
/// The distance to the centre of the predicted cluster.
const DISTANCE: &str = "distance";

/// An answer's bytes, and how many of them are JSON where binary follows.
#[derive(Debug, PartialEq, Eq)]
pub struct TensorAnswer {
    pub bytes: Vec<u8>,
    pub json_length: Option<usize>,
}

const fn datatype(label: LabelType) -> &'static str {
    match label {
        LabelType::Text => "BYTES",
        LabelType::Integer => "INT64",
        LabelType::Boolean => "BOOL",
        LabelType::Float => "FP64",
    }
}

/// Names of the outputs of a model.
fn outputs(target: &Target) -> &'static [&'static str] {
    match target {
        Target::Class { .. } => &[PREDICTION, PROBABILITIES],
        Target::Number { .. } => &[PREDICTION],
        Target::Cluster { .. } => &[PREDICTION, DISTANCE],
    }
}

/// What a model takes and gives: the answer to `GET /v2/models/NAME`.
pub fn metadata(name: &str, versions: &[String], predictor: &Predictor) -> Value {
    let features = &predictor.model.features.features;
    let inputs: Vec<Value> = features
        .iter()
        .map(|f| {
            let datatype = match (&f.encoding, f.dtype) {
                (_, DataType::Boolean) => "BOOL",
                (_, DataType::Int64) => "INT64",
                (Encoding::Numeric { .. }, _) | (_, DataType::Float64) => "FP64",
                (Encoding::OneHot { .. }, _) => "BYTES",
            };
            json!({"name": f.column, "datatype": datatype, "shape": [-1, 1]})
        })
        .collect();
    let target = predictor.target();
    let outputs: Vec<Value> = outputs(target)
        .iter()
        .map(|output| match *output {
            PREDICTION => json!({"name": PREDICTION, "datatype": datatype(label_type(target)), "shape": [-1]}),
            PROBABILITIES => json!({"name": PROBABILITIES, "datatype": "FP64", "shape": [-1, target.classes().len()]}),
            other => json!({"name": other, "datatype": "FP64", "shape": [-1]}),
        })
        .collect();
    json!({"name": name, "versions": versions, "platform": "shardmill", "inputs": inputs, "outputs": outputs})
}

/// Values of one output.
enum Values {
    Texts(Vec<String>),
    Integers(Vec<i64>),
    Booleans(Vec<bool>),
    Floats(Vec<f64>),
}

impl Values {
    fn json(&self) -> Value {
        match self {
            Values::Texts(v) => json!(v),
            Values::Integers(v) => json!(v),
            Values::Booleans(v) => json!(v),
            Values::Floats(v) => json!(v),
        }
    }

    /// Appends little-endian values; text as a length of four bytes and the bytes.
    fn binary(&self, out: &mut Vec<u8>) {
        match self {
            Values::Texts(v) => v.iter().for_each(|text| {
                out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }),
            Values::Integers(v) => v.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes())),
            Values::Booleans(v) => out.extend(v.iter().map(|b| u8::from(*b))),
            Values::Floats(v) => v.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes())),
        }
    }
}

fn labels(target: &Target, predicted: &Predicted) -> Values {
    let classes = || predicted.classes.iter().filter_map(|c| target.classes().get(*c as usize));
    match (&predicted.scores, label_type(target)) {
        (Scores::Numbers(numbers), _) => Values::Floats(numbers.clone()),
        (Scores::Clusters { clusters, .. }, _) => Values::Integers(clusters.iter().map(|c| i64::from(*c)).collect()),
        (Scores::Classes { .. }, LabelType::Integer) => {
            Values::Integers(classes().map(|c| if let ClassValue::Int64(n) = c { *n } else { 0 }).collect())
        }
        (Scores::Classes { .. }, LabelType::Boolean) => {
            Values::Booleans(classes().map(|c| *c == ClassValue::Boolean(true)).collect())
        }
        (Scores::Classes { .. }, _) => Values::Texts(classes().map(ToString::to_string).collect()),
    }
}

/// Datatype, shape and values of an output.
fn output(name: &str, predictor: &Predictor, predicted: &Predicted) -> (&'static str, Vec<usize>, Values) {
    let target = predictor.target();
    let rows = predicted.encoded.matrix.rows;
    match (name, &predicted.scores) {
        (PROBABILITIES, Scores::Classes { classes, probabilities }) => {
            ("FP64", vec![rows, *classes], Values::Floats(probabilities.clone()))
        }
        (DISTANCE, Scores::Clusters { distances, .. }) => {
            ("FP64", vec![rows], Values::Floats(distances.iter().map(|d| d.sqrt()).collect()))
        }
        _ => (datatype(label_type(target)), vec![rows], labels(target, predicted)),
    }
}

/// The answer to a request: the outputs it asked for, each as it asked.
pub fn write_infer(
    request: &InferRequest,
    name: &str,
    version: &str,
    predictor: &Predictor,
    predicted: &Predicted,
) -> Result<TensorAnswer, RequestError> {
    let known = outputs(predictor.target());
    let wanted: Vec<(&str, bool)> = if request.outputs.is_empty() {
        known.iter().map(|name| (*name, request.binary)).collect()
    } else {
        request.outputs.iter().map(|o| (o.name.as_str(), o.binary)).collect()
    };
    if let Some((unknown, _)) = wanted.iter().find(|(name, _)| !known.contains(name)) {
        let shown = unknown.escape_debug();
        return Err(RequestError::bad(format!("there is no output `{shown}`; there are {}", known.join(", "))));
    }
    let mut tail = Vec::new();
    let mut described = Vec::with_capacity(wanted.len());
    for (name, binary) in wanted {
        let (datatype, shape, values) = output(name, predictor, predicted);
        let mut one = json!({"name": name, "datatype": datatype, "shape": shape});
        if binary {
            let before = tail.len();
            values.binary(&mut tail);
            one["parameters"] = json!({"binary_data_size": tail.len() - before});
        } else {
            one["data"] = values.json();
        }
        described.push(one);
    }
    let mut head = json!({"model_name": name, "model_version": version, "outputs": described});
    if let Some(id) = &request.id {
        head["id"] = json!(id);
    }
    let mut bytes = head.to_string().into_bytes();
    let json_length = (!tail.is_empty()).then_some(bytes.len());
    bytes.append(&mut tail);
    Ok(TensorAnswer { bytes, json_length })
}
