//! Which output of a graph is its prediction. Converters put out a label and probabilities, a number, or a cluster.

use shardmill_common::model::OnnxOutput;
use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};

use super::inspect::{Options, tensor_type};
use super::read;
use crate::model::onnx::OnnxError;

/// The prediction, as it is called in the graph.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    Probabilities {
        name: String,
        /// The output of the labels, if there is one.
        label: Option<String>,
        /// The node that names the classes of the probabilities, if there is one.
        zip_map: Option<Box<NodeProto>>,
    },
    Number {
        name: String,
    },
    Clusters {
        squares: String,
    },
}

impl Found {
    pub fn name(&self) -> &str {
        match self {
            Found::Probabilities { name, .. } | Found::Number { name } | Found::Clusters { squares: name } => name,
        }
    }
}

impl From<Found> for OnnxOutput {
    fn from(found: Found) -> Self {
        match found {
            Found::Probabilities { name, .. } => OnnxOutput::Probabilities { name },
            Found::Number { name } => OnnxOutput::Number { name },
            Found::Clusters { squares } => OnnxOutput::Clusters { squares },
        }
    }
}

fn maker<'a>(graph: &'a GraphProto, output: &str) -> Option<&'a NodeProto> {
    graph.node.iter().find(|n| n.output.iter().any(|o| o == output))
}

fn is_zip_map(node: &NodeProto) -> bool {
    node.domain == read::ML && node.op_type == "ZipMap"
}

/// Tensors of numbers with a fraction, by their number in onnx.proto.
fn is_float(info: &ValueInfoProto) -> bool {
    matches!(tensor_type(info), Some((1 | 11, _)))
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|n| format!("`{}`", n.escape_debug())).collect::<Vec<_>>().join(", ")
}

pub fn find(graph: &GraphProto, options: &Options) -> Result<Found, OnnxError> {
    let zipped = |info: &ValueInfoProto| maker(graph, &info.name).filter(|n| is_zip_map(n));
    let label = graph.output.iter().find(|o| zipped(o).is_none() && tensor_type(o).is_some() && !is_float(o));
    let numbers: Vec<&ValueInfoProto> = graph.output.iter().filter(|o| is_float(o) || zipped(o).is_some()).collect();
    let chosen = match (&options.output, numbers.as_slice()) {
        (Some(wanted), _) => *numbers.iter().find(|o| o.name == *wanted).ok_or_else(|| {
            let there = listed(numbers.iter().map(|o| &o.name));
            OnnxError::Options(format!("it has no output `{}` of numbers; it has {there}", wanted.escape_debug()))
        })?,
        (None, [one]) => one,
        (None, []) if label.is_some() => {
            let what = "it puts out labels without probabilities: convert the model so that it puts out both, as converters do by default";
            return Err(OnnxError::Unsupported(what.into()));
        }
        (None, []) => return Err(OnnxError::Unsupported("it puts out no numbers".into())),
        (None, several) => {
            let mut named = several.iter().filter(|o| o.name.contains("probabilit"));
            match (named.next(), named.next()) {
                (Some(one), None) => one,
                _ => {
                    let names = listed(several.iter().map(|o| &o.name));
                    let what = format!("it has several outputs: say which with --output, one of {names}");
                    return Err(OnnxError::Options(what));
                }
            }
        }
    };
    if let Some(node) = zipped(chosen) {
        let name = node.input.first().cloned().ok_or_else(|| OnnxError::operator("ZipMap", "has no input"))?;
        let label = label.map(|l| l.name.clone());
        return Ok(Found::Probabilities { name, label, zip_map: Some(Box::new(node.clone())) });
    }
    let name = chosen.name.clone();
    if let Some(squares) = label.and_then(|label| nearest(graph, &label.name, &name)) {
        return Ok(Found::Clusters { squares });
    }
    if label.is_some() || options.classes.is_some() {
        return Ok(Found::Probabilities { name, label: label.map(|l| l.name.clone()), zip_map: None });
    }
    Ok(Found::Number { name })
}

/// The squared distances of a clustering, whose label is the place of the smallest of them and whose other output their root.
fn nearest(graph: &GraphProto, label: &str, distance: &str) -> Option<String> {
    let through = |mut name: String, skipped: &[&str], wanted: &str| -> Option<String> {
        loop {
            let node = maker(graph, &name)?;
            name = node.input.first()?.clone();
            if node.op_type == wanted {
                return Some(name);
            }
            if !skipped.contains(&node.op_type.as_str()) {
                return None;
            }
        }
    };
    let squares = through(label.to_owned(), &["Identity", "Cast", "Reshape", "Squeeze"], "ArgMin")?;
    let mut root = through(distance.to_owned(), &["Identity", "Cast", "Reshape", "Squeeze"], "Sqrt")?;
    if root != squares {
        root = through(root, &["Identity", "Reshape", "Squeeze"], "ReduceMin")?;
    }
    (root == squares).then_some(squares)
}
