//! An ONNX file as a graph of nodes, checked before anything is made of it: files come from other people.

use std::collections::HashSet;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use super::ml;
use crate::model::onnx::OnnxError;

/// The domain of the operators for classical models.
pub const ML: &str = "ai.onnx.ml";
const EXTERNAL: i32 = 1;
/// Nodes of a graph at most.
const MOST_NODES: usize = 10_000;

/// Core operators that are run. None of them makes something larger than what it is given put together, broadcasting aside,
/// which is limited elsewhere.
const CORE: [&str; 70] = [
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Flatten",
    "Floor",
    "Gather",
    "Gemm",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "Identity",
    "IsNaN",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "Mean",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "PRelu",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Slice",
    "Softmax",
    "Softplus",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
    "Xor",
];

/// The graph in a file.
pub fn model(bytes: &[u8]) -> Result<(ModelProto, GraphProto), OnnxError> {
    let mut model = ModelProto::decode(bytes).map_err(|e| OnnxError::NotOnnx(e.to_string()))?;
    let graph = model.graph.take().ok_or_else(|| OnnxError::NotOnnx("there is no graph in it".into()))?;
    if graph.node.is_empty() && graph.output.is_empty() {
        return Err(OnnxError::NotOnnx("its graph is empty".into()));
    }
    if graph.node.len() > MOST_NODES {
        return Err(OnnxError::Unsupported(format!(
            "its graph has {} nodes, and {MOST_NODES} are the most",
            graph.node.len()
        )));
    }
    if !model.functions.is_empty() {
        return Err(OnnxError::Unsupported("it defines functions of its own, which are not supported".into()));
    }
    if !graph.sparse_initializer.is_empty() {
        return Err(OnnxError::Unsupported("it has sparse constants, which are not supported".into()));
    }
    for tensor in &graph.initializer {
        check_tensor(tensor)?;
    }
    let constants = graph.node.iter().flat_map(|n| &n.attribute);
    constants.flat_map(|a| a.t.iter().chain(&a.tensors)).try_for_each(check_tensor)?;
    Ok((model, graph))
}

/// Whether a tensor's data are in the file, as many as its shape says.
fn check_tensor(tensor: &TensorProto) -> Result<(), OnnxError> {
    let fault = |what: String| OnnxError::Constant { name: tensor.name.clone(), what };
    if tensor.data_location == Some(EXTERNAL) || !tensor.external_data.is_empty() {
        return Err(fault("lies in another file: save the model with its data in it (`onnx.save_model(..., save_as_external_data=False)`)".into()));
    }
    let product = |elements: usize, dim: &i64| elements.checked_mul(usize::try_from(*dim).ok()?);
    let wanted = tensor.dims.iter().try_fold(1usize, product).ok_or_else(|| fault("has an impossible shape".into()))?;
    let lists = tensor.float_data.len()
        + tensor.double_data.len()
        + tensor.int32_data.len()
        + tensor.int64_data.len()
        + tensor.uint64_data.len()
        + tensor.string_data.len();
    // Sizes of the types by their numbers in onnx.proto; 8 is text, which has a list of its own.
    let size = match tensor.data_type {
        1 | 6 | 12 => 4,
        2 | 3 | 9 => 1,
        4 | 5 | 10 => 2,
        7 | 11 | 13 => 8,
        8 if tensor.raw_data.is_empty() => 1,
        other => return Err(fault(format!("is of the type number {other}, which is not supported"))),
    };
    let fits = if tensor.raw_data.is_empty() {
        lists == wanted
    } else {
        lists == 0 && wanted.checked_mul(size) == Some(tensor.raw_data.len())
    };
    if fits { Ok(()) } else { Err(fault("has not as many numbers as its shape says".into())) }
}

/// Whether all operators of these nodes are supported.
pub fn check_operators<'a>(nodes: impl Iterator<Item = &'a NodeProto>) -> Result<(), OnnxError> {
    for node in nodes {
        let name = node.op_type.as_str();
        let (known, domain) = match node.domain.as_str() {
            "" | "ai.onnx" => (CORE.contains(&name), "ai.onnx"),
            ML => (ml::OPERATORS.contains(&name), ML),
            other => (false, other),
        };
        if !known {
            return Err(unsupported(name, domain));
        }
        if node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty() || !a.sparse_tensors.is_empty()) {
            return Err(OnnxError::operator(name, "has a graph of its own, which is not supported"));
        }
        if node.domain == ML && ml::is_ours(name) {
            ml::operator(node)?;
        }
    }
    Ok(())
}

fn unsupported(name: &str, domain: &str) -> OnnxError {
    let what = match domain {
        "ai.onnx" => format!(
            "is not supported; supported are arithmetic, comparisons, sums and other reductions, matrix products, \
             activations and changes of shape, and of the domain `{ML}` {}",
            ml::OPERATORS.join(", ")
        ),
        ML => {
            format!("(domain `{ML}`) is not supported; supported are {} and core operators", ml::OPERATORS.join(", "))
        }
        other => format!(
            "(domain `{}`) is not supported; supported are those of ONNX itself and of `{ML}`",
            other.escape_debug()
        ),
    };
    OnnxError::operator(name, what)
}

/// Leaves in a graph what `outputs` need: nodes, constants and inputs.
pub fn prune(graph: &mut GraphProto, outputs: &[&str]) -> Result<(), OnnxError> {
    let mut needed: HashSet<String> = outputs.iter().map(|name| (*name).to_owned()).collect();
    let nodes = std::mem::take(&mut graph.node);
    let mut kept = Vec::with_capacity(nodes.len());
    // Nodes come in the order in which they can be computed.
    for node in nodes.into_iter().rev() {
        if node.output.iter().any(|o| !o.is_empty() && needed.contains(o)) {
            needed.extend(node.input.iter().filter(|i| !i.is_empty()).cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    graph.initializer.retain(|t| needed.contains(&t.name));
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    // Older files list constants as inputs, too.
    graph.input.retain(|i| needed.contains(&i.name) && !constants.contains(i.name.as_str()));
    let mut made: HashSet<&str> = constants;
    made.extend(graph.input.iter().map(|i| i.name.as_str()));
    for node in &graph.node {
        if let Some(missing) = node.input.iter().find(|i| !i.is_empty() && !made.contains(i.as_str())) {
            let what = format!("reads `{}`, which nothing before it makes", missing.escape_debug());
            return Err(OnnxError::operator(&node.op_type, what));
        }
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if !made.insert(output) {
                return Err(OnnxError::Malformed(format!("`{}` is made twice", output.escape_debug())));
            }
        }
    }
    match outputs.iter().find(|o| !made.contains(**o)) {
        None => Ok(()),
        Some(missing) => Err(OnnxError::Malformed(format!("nothing makes its output `{}`", missing.escape_debug()))),
    }
}
