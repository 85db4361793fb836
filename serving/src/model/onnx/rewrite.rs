//! Operators that the library computes in a way that fails for large numbers, put into the words of others.

use tract_onnx::pb::{AttributeProto, NodeProto, attribute_proto::AttributeType};

/// `ReduceLogSumExp(x)` becomes `max(x) + ReduceLogSumExp(x - max(x))`, which neither overflows nor vanishes.
pub fn stable_sums(nodes: Vec<NodeProto>) -> Vec<NodeProto> {
    nodes
        .into_iter()
        .flat_map(|node| if node.op_type == "ReduceLogSumExp" { stable(node) } else { vec![node] })
        .collect()
}

fn stable(node: NodeProto) -> Vec<NodeProto> {
    let (Some(x), Some(output)) = (node.input.first().cloned(), node.output.first().cloned()) else {
        return vec![node];
    };
    let name = |what: &str| format!("{output}/{what}");
    let made = |op_type: &str, input: Vec<String>, output: String| NodeProto {
        op_type: op_type.to_owned(),
        input,
        output: vec![output],
        ..NodeProto::default()
    };
    let rest: Vec<String> = node.input.iter().skip(1).cloned().collect();
    let with_axes = |first: String| std::iter::once(first).chain(rest.iter().cloned()).collect::<Vec<_>>();
    let mut attribute: Vec<AttributeProto> = node.attribute.iter().filter(|a| a.name != "keepdims").cloned().collect();
    attribute.push(AttributeProto {
        name: "keepdims".to_owned(),
        i: 1,
        r#type: AttributeType::Int.into(),
        ..AttributeProto::default()
    });
    let most = NodeProto { attribute, ..made("ReduceMax", with_axes(x.clone()), name("most")) };
    let less = made("Sub", vec![x.clone(), name("most")], name("less"));
    let sum = NodeProto { input: with_axes(name("less")), output: vec![name("sum")], ..node.clone() };
    let add = NodeProto { attribute: node.attribute, ..made("ReduceMax", with_axes(x), name("add")) };
    vec![most, less, sum, add, made("Add", vec![name("sum"), name("add")], output)]
}
