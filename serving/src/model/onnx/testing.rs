//! Small graphs for tests.

use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, tensor_shape_proto, type_proto,
};

use super::read::ML;

pub const FLOAT: i32 = 1;
pub const INT64: i32 = 7;
pub const STRING: i32 = 8;
pub const DOUBLE: i32 = 11;

/// Rows of `columns` numbers; of 0 columns nobody knows how many.
pub fn table(name: &str, element: i32, columns: i64) -> ValueInfoProto {
    let known = |n| tensor_shape_proto::Dimension {
        value: (n > 0).then_some(tensor_shape_proto::dimension::Value::DimValue(n)),
        ..Default::default()
    };
    let shape = TensorShapeProto { dim: vec![known(0), known(columns)] };
    let tensor = type_proto::Tensor { elem_type: element, shape: Some(shape) };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { value, ..Default::default() }), ..Default::default() }
}

pub fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let all = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    NodeProto { op_type: op.into(), input: all(inputs), output: all(outputs), attribute, ..Default::default() }
}

/// A node of `ai.onnx.ml`.
pub fn ml(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto { domain: ML.into(), ..node(op, inputs, outputs, attribute) }
}

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: ints.to_vec(), r#type: 7, ..Default::default() }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: 2, ..Default::default() }
}

pub fn floats(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto { name: name.into(), floats: floats.to_vec(), r#type: 6, ..Default::default() }
}

pub fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto { name: name.into(), s: s.as_bytes().to_vec(), r#type: 3, ..Default::default() }
}

pub fn texts(name: &str, strings: &[&str]) -> AttributeProto {
    let strings = strings.iter().map(|s| s.as_bytes().to_vec()).collect();
    AttributeProto { name: name.into(), strings, r#type: 8, ..Default::default() }
}

pub fn doubles(name: &str, dims: &[i64], values: &[f64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DOUBLE,
        double_data: values.to_vec(),
        ..Default::default()
    }
}

pub fn model(graph: GraphProto) -> ModelProto {
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    ModelProto {
        ir_version: 8,
        producer_name: "test".into(),
        opset_import: vec![opset("", 13), opset(ML, 1)],
        graph: Some(graph),
        ..Default::default()
    }
}

/// A tree of two classes: above 0.5 in the second column `yes` by 0.75, else by 0.25; without a value as above.
pub fn tree() -> Vec<AttributeProto> {
    vec![
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[1, 0, 0]),
        ints("nodes_truenodeids", &[1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0]),
        ints("nodes_missing_value_tracks_true", &[0, 0, 0]),
        floats("nodes_values", &[0.5, 0.0, 0.0]),
        texts("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"]),
        ints("class_treeids", &[0, 0]),
        ints("class_nodeids", &[1, 2]),
        ints("class_ids", &[0, 0]),
        floats("class_weights", &[0.25, 0.75]),
        texts("classlabels_strings", &["no", "yes"]),
    ]
}

/// The tree with the label and the map of probabilities that skl2onnx adds.
pub fn classifier() -> ModelProto {
    let zip = ml("ZipMap", &["p"], &["output_probability"], vec![texts("classlabels_strings", &["no", "yes"])]);
    model(GraphProto {
        name: "tree".into(),
        node: vec![
            ml("TreeEnsembleClassifier", &["X"], &["l", "p"], tree()),
            node("Identity", &["l"], &["label"], vec![]),
            zip,
        ],
        input: vec![table("X", FLOAT, 2)],
        output: vec![
            table("label", STRING, 1),
            ValueInfoProto { name: "output_probability".into(), ..Default::default() },
        ],
        ..Default::default()
    })
}
