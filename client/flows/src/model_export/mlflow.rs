//! A folder that `mlflow.pyfunc.load_model` reads: the ONNX file with a tensor signature, so that a data frame's columns reach it as
//! one `[N, 1]` tensor each.

use serde_json::{Value, json};
use shardmill_common::model::{Model, ModelDetail, Target};
use shardmill_common::schema::DataType;

use super::columns::{Input, columns};
use super::{Reason, onnx, plain, pretty};

/// The lowest MLflow whose loader the files were checked with, and what it needs.
const MLFLOW_VERSION: &str = "3.0.0";
const PYTHON_VERSION: &str = "3.11";
const REQUIREMENTS: [&str; 5] = ["mlflow>=3", "numpy", "onnx", "onnxruntime", "pandas"];

pub fn files(detail: &ModelDetail) -> Result<Vec<(&'static str, Vec<u8>)>, Reason> {
    let model = &detail.model;
    let onnx = onnx::bytes(model)?;
    let plain = pretty(&plain::object(detail)?);
    let description = description(model, onnx.len())?;
    Ok(vec![
        ("MLmodel", description.into_bytes()),
        ("model.onnx", onnx),
        ("conda.yaml", conda().into_bytes()),
        ("python_env.yaml", python_env().into_bytes()),
        ("requirements.txt", format!("{}\n", REQUIREMENTS.join("\n")).into_bytes()),
        ("shardmill.json", plain),
    ])
}

/// YAML with every text in JSON's quotes, which YAML reads as they are.
fn description(model: &Model, bytes: usize) -> Result<String, Reason> {
    let quoted = |text: &str| json!(text).to_string();
    let (inputs, outputs) = signature(model)?;
    // The loader wants a space between date and time, and no zone.
    let created = model.created.to_string().replace('T', " ").trim_end_matches('Z').to_owned();
    Ok(format!(
        "flavors:\n  onnx:\n    code: null\n    data: model.onnx\n    onnx_version: \"1.16.0\"\n    providers:\n    - CPUExecutionProvider\n  \
         python_function:\n    data: model.onnx\n    env:\n      conda: conda.yaml\n      virtualenv: python_env.yaml\n    \
         loader_module: mlflow.onnx\n    python_version: {python}\n\
         metadata:\n  shardmill_model: {reference}\n  shardmill_data: {data}\n  shardmill_algorithm: {algorithm}\n\
         mlflow_version: {mlflow}\nmodel_size_bytes: {bytes}\nmodel_uuid: {uuid}\n\
         signature:\n  inputs: {inputs}\n  outputs: {outputs}\n  params: null\n\
         utc_time_created: {created}\n",
        python = quoted(PYTHON_VERSION),
        reference = quoted(&model.reference().to_string()),
        data = quoted(&model.origin()),
        algorithm = quoted(&model.algorithm),
        mlflow = quoted(MLFLOW_VERSION),
        uuid = quoted(&uuid::Uuid::new_v4().simple().to_string()),
        inputs = quoted(&inputs.to_string()),
        outputs = quoted(&outputs.to_string()),
        created = quoted(&created),
    ))
}

/// Inputs and outputs as MLflow's tensor specifications.
fn signature(model: &Model) -> Result<(Value, Value), Reason> {
    let tensor = |name: &str, dtype: &str, shape: Value| json!({"type": "tensor", "name": name, "tensor-spec": {"dtype": dtype, "shape": shape}});
    let inputs: Vec<Value> = columns(model)?
        .iter()
        .map(|c| tensor(&c.name, if c.input == Input::Text { "object" } else { "float64" }, json!([-1, 1])))
        .collect();
    let outputs = match &model.target {
        Target::Class { label, classes } => {
            let dtype = match label.dtype {
                DataType::Boolean => "bool",
                DataType::Int64 => "int64",
                _ => "object",
            };
            json!([tensor("label", dtype, json!([-1])), tensor("probabilities", "float64", json!([-1, classes.len()]))])
        }
        Target::Number { .. } => json!([tensor("prediction", "float64", json!([-1]))]),
        Target::Cluster { .. } => {
            json!([tensor("label", "int64", json!([-1])), tensor("distance", "float64", json!([-1]))])
        }
    };
    Ok((inputs.into(), outputs))
}

fn conda() -> String {
    let packages: String = REQUIREMENTS.iter().map(|r| format!("  - {r}\n")).collect();
    format!(
        "name: mlflow-env\nchannels:\n- conda-forge\ndependencies:\n- python={PYTHON_VERSION}\n- pip\n- pip:\n{packages}"
    )
}

fn python_env() -> String {
    format!("python: \"{PYTHON_VERSION}\"\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n")
}
