//! The classes of a classifier. Converters write them where the label is made, which is not run here.

use shardmill_common::model::ClassValue;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use super::inspect::{Options, metadata};
use super::ml::Attributes;
use super::outputs::Found;
use super::read;
use crate::model::onnx::OnnxError;

/// The classes in the order of the probabilities, of which there are `columns`.
pub fn find(
    model: &ModelProto,
    graph: &GraphProto,
    found: &Found,
    columns: usize,
    options: &Options,
    notices: &mut Vec<String>,
) -> Result<Vec<ClassValue>, OnnxError> {
    let Found::Probabilities { name, label, zip_map } = found else { return Ok(Vec::new()) };
    let told = match &options.classes {
        Some(given) => Some(of_texts(given)),
        None => metadata(model, "shardmill.classes")
            .and_then(|json| serde_json::from_str(json).ok())
            .or_else(|| zip_map.as_deref().and_then(attributes))
            .or_else(|| upstream(graph, name, attributes))
            .or_else(|| upstream(graph, label.as_deref()?, |node| looked_up(graph, node))),
    };
    let wanted = if columns == 1 { 2 } else { columns };
    match told {
        Some(classes) if classes.len() == wanted => Ok(classes),
        Some(classes) => {
            let which = if options.classes.is_some() { "--classes names" } else { "it names" };
            let named = classes.len();
            let what = format!("{which} {named} classes, and the output `{name}` has {columns} numbers a row");
            Err(OnnxError::Options(what))
        }
        None => {
            notices
                .push("the file does not name the classes, so they are numbered from 0; --classes names them".into());
            Ok((0..wanted as i64).map(ClassValue::Int64).collect())
        }
    }
}

/// Classes as a user writes them: whole numbers or truth values if all are, else texts.
fn of_texts(texts: &[String]) -> Vec<ClassValue> {
    let integers: Option<Vec<i64>> = texts.iter().map(|t| t.parse().ok()).collect();
    let booleans: Option<Vec<bool>> = texts.iter().map(|t| t.parse().ok()).collect();
    match (integers, booleans) {
        (Some(all), _) => all.into_iter().map(ClassValue::Int64).collect(),
        (None, Some(all)) => all.into_iter().map(ClassValue::Boolean).collect(),
        (None, None) => texts.iter().cloned().map(ClassValue::String).collect(),
    }
}

/// The classes that a node's attributes name.
fn attributes(node: &NodeProto) -> Option<Vec<ClassValue>> {
    if node.domain != read::ML {
        return None;
    }
    let node = Attributes(node);
    let strings = node.texts("classlabels_strings");
    if !strings.is_empty() {
        return Some(strings.into_iter().map(ClassValue::String).collect());
    }
    let ints = [node.ints("classlabels_int64s"), node.ints("classlabels_ints")];
    let ints = ints.into_iter().find(|list| !list.is_empty())?;
    Some(ints.iter().copied().map(ClassValue::Int64).collect())
}

/// What the last node on the way to an output has.
fn upstream<T>(graph: &GraphProto, output: &str, has: impl Fn(&NodeProto) -> Option<T>) -> Option<T> {
    let mut pruned = graph.clone();
    read::prune(&mut pruned, &[output]).ok()?;
    pruned.node.iter().rev().find_map(has)
}

/// The constant that a node takes an element of.
fn looked_up(graph: &GraphProto, node: &NodeProto) -> Option<Vec<ClassValue>> {
    if !matches!(node.op_type.as_str(), "ArrayFeatureExtractor" | "Gather") {
        return None;
    }
    let from = node.input.first()?;
    values(graph.initializer.iter().find(|t| t.name == *from)?)
}

/// Numbers of types are those of onnx.proto.
fn values(tensor: &TensorProto) -> Option<Vec<ClassValue>> {
    let raw = tensor.raw_data.as_slice();
    let integers: Vec<i64> = match (tensor.data_type, raw.is_empty()) {
        (8, _) => {
            let text = |s: &Vec<u8>| ClassValue::String(String::from_utf8_lossy(s).into_owned());
            return Some(tensor.string_data.iter().map(text).collect());
        }
        (9, true) => return Some(tensor.int32_data.iter().map(|b| ClassValue::Boolean(*b != 0)).collect()),
        (9, false) => return Some(raw.iter().map(|b| ClassValue::Boolean(*b != 0)).collect()),
        (7, true) => tensor.int64_data.clone(),
        (7, false) => raw.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
        (6, true) => tensor.int32_data.iter().copied().map(i64::from).collect(),
        (6, false) => raw.as_chunks::<4>().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect(),
        _ => return None,
    };
    Some(integers.into_iter().map(ClassValue::Int64).collect())
}
