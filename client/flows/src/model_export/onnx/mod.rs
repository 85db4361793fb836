//! ONNX: core operators in float64, so that probabilities agree to the last digits. The operators of ai.onnx.ml would round to
//! float32; only its LabelEncoder is used, which turns texts into whole numbers.

mod features;
mod graph;
mod outputs;
mod proto;

use prost::Message;
use shardmill_common::model::Model;

use self::graph::{Graph, ML};
use self::proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};
use super::Reason;
use super::columns::{Column, Input, Kind, columns};
use super::formulas::Formula;

/// Read by everything since ONNX 1.10.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;
const ML_OPSET: i64 = 2;

pub fn bytes(model: &Model) -> Result<Vec<u8>, Reason> {
    let columns = columns(model)?;
    let formula = Formula::of(model)?;
    let mut graph = Graph::default();
    let matrix = features::encode(&mut graph, &columns);
    outputs::compute(&mut graph, &matrix, &formula, model.target.classes())?;
    let texts = columns.iter().any(|c| c.input == Input::Text);
    let opset = |domain: &str, version| OperatorSetIdProto { domain: Some(domain.to_owned()), version };
    let file = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "shardmill".to_owned(),
        producer_version: model.program.trim_start_matches("shardmill ").to_owned(),
        model_version: i64::from(model.version),
        doc_string: format!("{} of {} by {}", model.algorithm, model.origin(), model.program),
        graph: Some(graph.finish(model.name.as_str())),
        opset_import: std::iter::once(opset("", OPSET)).chain(texts.then(|| opset(ML, ML_OPSET))).collect(),
        metadata_props: properties(model, &columns),
    };
    Ok(file.encode_to_vec())
}

/// What a reader of the file may want to know and the graph does not say.
fn properties(model: &Model, columns: &[Column]) -> Vec<StringStringEntryProto> {
    let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
    let mut all = vec![entry("shardmill.model", model.reference().to_string())];
    if let Some(label) = model.target.label() {
        all.push(entry("shardmill.label", label.column.clone()));
    }
    let classes = model.target.classes();
    if !classes.is_empty() {
        all.push(entry("shardmill.classes", serde_json::json!(classes).to_string()));
    }
    let missing: serde_json::Map<String, serde_json::Value> = columns
        .iter()
        .filter_map(|c| match &c.kind {
            Kind::Texts { categories, .. } => {
                Some((c.name.clone(), features::missing_texts(categories).collect::<Vec<_>>().into()))
            }
            Kind::Numeric { .. } | Kind::Numbers { .. } => None,
        })
        .collect();
    if !missing.is_empty() {
        all.push(entry("shardmill.missing_texts", serde_json::Value::Object(missing).to_string()));
    }
    all
}
