//! A pruned graph as the library can run it: operators on rows with the one output that is used, names that differ, and nothing huge
//! made of small constants.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, TensorProto, ValueInfoProto};

use super::{ml, read, rewrite};
use crate::model::onnx::OnnxError;

/// Elements that operators on constants may come to.
const MOST_CONSTANT: usize = 1 << 26;

/// Leaves one output of every operator on rows, gives all nodes names of their own and the graph its one output. True where an
/// operator is made for missing values.
pub fn simplify(graph: &mut GraphProto, output: &str) -> Result<bool, OnnxError> {
    let mut takes_missing = false;
    graph.node = rewrite::stable_sums(std::mem::take(&mut graph.node));
    for (n, node) in graph.node.iter_mut().enumerate() {
        node.name = format!("node{n}");
        takes_missing |= node.op_type == "IsNaN";
        if node.domain != read::ML || !ml::is_ours(&node.op_type) {
            continue;
        }
        let operator = ml::operator(node)?;
        takes_missing |= operator.takes_missing();
        node.output = node.output.get(ml::numbers_output(&node.op_type)).cloned().into_iter().collect();
        if node.input.len() != 1 || node.output.len() != 1 {
            let what = "has not the inputs and outputs that it should have";
            return Err(OnnxError::operator(&node.op_type, what));
        }
    }
    let name = |i: &ValueInfoProto| i.name == output;
    let mut info = graph.output.iter().find(|o| name(o)).cloned().unwrap_or_default();
    output.clone_into(&mut info.name);
    info.r#type = None;
    graph.output = vec![info];
    graph.value_info.clear();
    let made = graph.node.iter().flat_map(|n| &n.output).chain(graph.initializer.iter().map(|t| &t.name));
    let known: HashSet<&String> = made.chain(graph.input.iter().map(|i| &i.name)).collect();
    for node in &graph.node {
        if let Some(label) = node.input.iter().find(|i| !i.is_empty() && !known.contains(i)) {
            let what = format!("`{}` is computed from the label `{label}`, which is not supported", node.op_type);
            return Err(OnnxError::Unsupported(what));
        }
    }
    Ok(takes_missing)
}

fn elements_of(tensor: &TensorProto) -> usize {
    tensor.dims.iter().map(|d| usize::try_from(*d).unwrap_or(0)).product()
}

/// Refuses graphs that would compute something huge from small constants: what an operator makes of constants has at most as many
/// elements as the product of theirs, or their sum.
pub fn limit_constants(graph: &GraphProto) -> Result<(), OnnxError> {
    let mut elements: HashMap<&str, usize> = HashMap::new();
    for tensor in &graph.initializer {
        elements.insert(&tensor.name, elements_of(tensor));
    }
    for node in &graph.node {
        let inputs: Option<Vec<usize>> =
            node.input.iter().filter(|i| !i.is_empty()).map(|i| elements.get(i.as_str()).copied()).collect();
        let Some(inputs) = inputs else { continue };
        let own = node.attribute.iter().filter_map(|a| a.t.as_ref());
        let own: usize = own.map(elements_of).sum();
        let product = inputs.iter().fold(1usize, |all, n| all.saturating_mul((*n).max(1)));
        let most = product.max(inputs.iter().fold(own, |all, n| all.saturating_add(*n)));
        if most > MOST_CONSTANT {
            return Err(OnnxError::operator(&node.op_type, "computes something too large from constants"));
        }
        elements.extend(node.output.iter().map(|o| (o.as_str(), most)));
    }
    Ok(())
}
