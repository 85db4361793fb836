//! What a graph takes and puts out, found out from its file: features, target and classes.

use shardmill_common::model::{
    ClassValue, Encoder, Encoding, Feature, Filling, Label, MAX_GRAPH_BYTES, OnnxGraph, OnnxInput, Target,
};
use shardmill_common::schema::DataType;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{GraphProto, ModelProto, ValueInfoProto, tensor_shape_proto};

use super::graph::{Element, Graph};
use super::outputs::{self, Found};
use super::{classes, read};
use crate::model::onnx::OnnxError;

/// What the user says of a file besides what is in it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The file's name, for the record.
    pub file: String,
    /// Names of the features, in the order of the graph's inputs.
    pub features: Option<Vec<String>>,
    /// The column of the labels, where predictions are compared with labels.
    pub label: Option<String>,
    /// The classes, in the order of the probabilities.
    pub classes: Option<Vec<String>>,
    /// The output to take, where there are several.
    pub output: Option<String>,
    /// Whether missing values go into the graph as NaN; without it, where the graph is made for them.
    pub missing_as_nan: Option<bool>,
}

/// A file as a model that can be published.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    pub graph: OnnxGraph,
    pub features: Encoder,
    pub target: Target,
    pub notices: Vec<String>,
}

/// The element type and the dimensions of a tensor, by their numbers in onnx.proto; `None` of anything else.
pub fn tensor_type(info: &ValueInfoProto) -> Option<(i32, Vec<Option<usize>>)> {
    let Some(Value::TensorType(tensor)) = info.r#type.as_ref()?.value.as_ref() else { return None };
    let dim = |d: &tensor_shape_proto::Dimension| match d.value {
        Some(tensor_shape_proto::dimension::Value::DimValue(n)) => usize::try_from(n).ok().filter(|n| *n > 0),
        _ => None,
    };
    Some((tensor.elem_type, tensor.shape.as_ref().map(|s| s.dim.iter().map(dim).collect()).unwrap_or_default()))
}

/// An entry of the file's metadata.
pub fn metadata<'a>(model: &'a ModelProto, key: &str) -> Option<&'a str> {
    model.metadata_props.iter().find(|p| p.key == key).map(|p| p.value.as_str())
}

/// Reads a file, checks it, tries it out, and says what model it is.
pub fn inspect(bytes: &[u8], options: &Options) -> Result<Inspected, OnnxError> {
    if bytes.len() as u64 > MAX_GRAPH_BYTES {
        return Err(OnnxError::TooLarge(bytes.len() as u64));
    }
    let (model, whole) = read::model(bytes)?;
    let output = outputs::find(&whole, options)?;
    let mut graph = whole.clone();
    read::prune(&mut graph, &[output.name()])?;
    read::check_operators(graph.node.iter())?;
    let mut notices = Vec::new();
    let inputs = inputs(&graph, options)?;
    let names = features(&inputs, options)?;
    for unused in whole.input.iter().filter(|i| !graph.input.contains(i)) {
        if !whole.initializer.iter().any(|t| t.name == unused.name) {
            notices
                .push(format!("the input `{}` makes no difference to the predictions, and is left out", unused.name));
        }
    }
    let known = OnnxGraph {
        file: options.file.clone(),
        bytes: bytes.len() as u64,
        digest: super::digest(bytes),
        producer: format!("{} {}", model.producer_name, model.producer_version).trim().chars().take(100).collect(),
        inputs,
        output: output.clone().into(),
    };
    let ready = Graph::prepare(bytes, &known)?;
    let columns = super::trial::columns(&ready, names.len())?;
    let label = options.label.clone().or_else(|| metadata(&model, "shardmill.label").map(str::to_owned));
    let label = |dtype| Label { column: label.unwrap_or_else(|| "label".to_owned()), dtype };
    let target = match &output {
        Found::Probabilities { .. } => {
            let classes = classes::find(&model, &whole, &output, columns, options, &mut notices)?;
            super::trial::probabilities(&ready, names.len(), columns, &mut notices)?;
            Target::Class { label: label(data_type(&classes)), classes }
        }
        Found::Number { name } if columns != 1 => {
            return Err(OnnxError::Options(format!(
                "its output `{name}` has {columns} numbers a row: if they are probabilities, name the classes with --classes"
            )));
        }
        Found::Number { .. } => Target::Number { label: label(DataType::Float64) },
        Found::Clusters { .. } => Target::Cluster { clusters: columns as u32 },
    };
    if options.classes.is_some() && target.classes().is_empty() {
        return Err(OnnxError::Options("it predicts no classes: leave --classes out".into()));
    }
    let as_nan = options.missing_as_nan.unwrap_or(ready.takes_missing || boosted(&model));
    let feature = |column: String| Feature {
        column,
        dtype: DataType::Float64,
        encoding: Encoding::Numeric { scaling: None },
        fill: as_nan.then(|| Filling::Text("NaN".to_owned())),
        indicator: false,
    };
    Ok(Inspected {
        graph: known,
        features: Encoder { features: names.into_iter().map(feature).collect() },
        target,
        notices,
    })
}

/// The converters of XGBoost's and LightGBM's models, whose trees take missing values, write all but scikit-learn's files.
fn boosted(model: &ModelProto) -> bool {
    model.producer_name.eq_ignore_ascii_case("onnxmltools")
}

fn data_type(classes: &[ClassValue]) -> DataType {
    match classes.first() {
        Some(ClassValue::Boolean(_)) => DataType::Boolean,
        Some(ClassValue::Int64(_)) => DataType::Int64,
        Some(ClassValue::String(_)) | None => DataType::String,
    }
}

/// The inputs of a pruned graph, with the number of features that each takes.
fn inputs(graph: &GraphProto, options: &Options) -> Result<Vec<OnnxInput>, OnnxError> {
    const STRING: i32 = 8;
    let alone = graph.input.len() == 1;
    if graph.input.is_empty() {
        return Err(OnnxError::Malformed("its predictions depend on no input".into()));
    }
    let read = |info: &ValueInfoProto| {
        let wrong = |what: String| OnnxError::input(&info.name, what);
        let (element, dims) = tensor_type(info).ok_or_else(|| wrong("is no tensor".into()))?;
        if element == STRING {
            return Err(wrong(
                "takes text, and graphs that take numbers are imported: encode the text before the model, and \
                 export the model alone"
                    .into(),
            ));
        }
        if Element::of(element).is_none() {
            return Err(wrong(format!(
                "is of the type number {element} (onnx.proto), and graphs that take float, double or int64 are imported"
            )));
        }
        let columns = match dims.as_slice() {
            [_] => 1,
            [_, Some(columns)] => *columns,
            [_, None] if alone && options.features.is_some() => options.features.as_ref().map_or(0, Vec::len),
            [_, None] => {
                return Err(wrong("does not say how many numbers it takes: name them with --features".into()));
            }
            _ => return Err(wrong("is no table of rows and columns".into())),
        };
        let columns = u32::try_from(columns).map_err(|_| wrong("takes too many numbers".into()))?;
        Ok(OnnxInput { name: info.name.clone(), columns })
    };
    graph.input.iter().map(read).collect()
}

/// The features' names: those that were given, or the inputs', numbered where one takes several.
fn features(inputs: &[OnnxInput], options: &Options) -> Result<Vec<String>, OnnxError> {
    let width: usize = inputs.iter().map(|i| i.columns as usize).sum();
    if let Some(names) = &options.features {
        if names.len() != width {
            let what = format!("it takes {width} features, and --features names {}", names.len());
            return Err(OnnxError::Options(what));
        }
        return Ok(names.clone());
    }
    let of = |input: &OnnxInput| -> Vec<String> {
        match (input.columns, inputs.len()) {
            (1, _) => vec![input.name.clone()],
            (columns, 1) => (0..columns).map(|n| format!("f{n}")).collect(),
            (columns, _) => (0..columns).map(|n| format!("{}_{n}", input.name)).collect(),
        }
    };
    Ok(inputs.iter().flat_map(of).collect())
}
