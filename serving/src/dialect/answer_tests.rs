//! Answers of every kind of model, as CSV, as JSON and as tensors.

use std::sync::Arc;

use shardmill_common::model::{KMeansParameters, Label, LogisticParameters, Model, Parameters, example};
use shardmill_common::schema::DataType;

use super::*;
use crate::dialect::{InferRequest, metadata, parse_csv, parse_infer, write_infer};
use crate::model::onnx::Graphs;

fn predictor(target: Target, parameters: Parameters) -> Predictor {
    Predictor::new(Arc::new(Model { target, parameters, ..example().unwrap() }), &Graphs::default()).unwrap()
}

fn classes() -> Predictor {
    let label = Label { column: "y".into(), dtype: DataType::String };
    let classes = ["a,b", "c\"d"].map(|c| ClassValue::String(c.into())).to_vec();
    predictor(
        Target::Class { label, classes },
        Parameters::Logistic(LogisticParameters { coefficients: vec![vec![1.0]], intercept: vec![0.0] }),
    )
}

fn clusters() -> Predictor {
    let centers = vec![vec![0.0], vec![10.0]];
    predictor(
        Target::Cluster { clusters: 2 },
        Parameters::KMeans(KMeansParameters { centers, inertia: 0.0, sizes: vec![] }),
    )
}

fn numbers() -> Predictor {
    let model = example().unwrap();
    predictor(model.target, model.parameters)
}

fn asked(predictor: &Predictor, rows: &str) -> Predicted {
    predictor.predict(&parse_csv(rows.as_bytes(), false).unwrap()).unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn every_kind_of_model_has_its_lines_and_columns() {
    let (class, number, cluster) = (classes(), numbers(), clusters());
    let of = |p: &Predictor, rows: &str| {
        let (answers, predicted) = (Answers::new(p), asked(p, rows));
        (text(answers.csv(&predicted)), text(answers.json(&predicted)))
    };
    let p = |z: f64| 1.0 / (1.0 + (-z).exp());
    let (csv, json) = of(&class, "0\n2\n");
    assert_eq!(csv, format!("\"a,b\",0.5,0.5\n\"c\"\"d\",{:?},{:?}\n", p(-2.0), p(2.0)));
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(row["predictions"][1]["prediction"], "c\"d");
    assert_eq!(row["predictions"][1]["probability_c\"d"], p(2.0));
    let (csv, json) = of(&number, "0.5\n1e308\n");
    assert_eq!(csv, "2.0\ninf\n");
    assert_eq!(json, "{\"predictions\":[{\"prediction\":2.0},{\"prediction\":null}]}");
    let (csv, json) = of(&cluster, "3\n");
    assert_eq!(csv, "0,3.0\n");
    assert_eq!(json, "{\"predictions\":[{\"prediction\":0,\"distance\":3.0}]}");
}

fn infer(outputs: &str, predictor: &Predictor) -> (InferRequest, Predicted) {
    let body = format!(
        "{{\"id\": \"7\", \"inputs\": [{{\"name\": \"x\", \"shape\": [2], \"datatype\": \"FP64\", \"data\": [0, 2]}}]{outputs}}}"
    );
    let mut request = parse_infer(body.as_bytes(), None, &["x".into()]).unwrap();
    let predicted = predictor.predict(&std::mem::take(&mut request.table)).unwrap();
    (request, predicted)
}

#[test]
fn tensors_are_json_or_binary_as_asked() {
    let class = classes();
    let (request, predicted) = infer("", &class);
    let answer = write_infer(&request, "e", "v", &class, &predicted).unwrap();
    assert_eq!(answer.json_length, None);
    let json: serde_json::Value = serde_json::from_slice(&answer.bytes).unwrap();
    assert_eq!((&json["id"], &json["model_name"], &json["model_version"]), (&"7".into(), &"e".into(), &"v".into()));
    assert_eq!(json["outputs"][0]["data"], serde_json::json!(["a,b", "c\"d"]));
    assert_eq!(json["outputs"][1]["shape"], serde_json::json!([2, 2]));
    let outputs = ", \"outputs\": [{\"name\": \"probabilities\", \"parameters\": {\"binary_data\": true}}, {\"name\": \"prediction\"}]";
    let (request, predicted) = infer(outputs, &class);
    let answer = write_infer(&request, "e", "v", &class, &predicted).unwrap();
    let (head, tail) = answer.bytes.split_at(answer.json_length.unwrap());
    let json: serde_json::Value = serde_json::from_slice(head).unwrap();
    assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 32);
    assert_eq!(tail.len(), 32);
    assert_eq!(f64::from_le_bytes(tail[..8].try_into().unwrap()), 0.5);
    let (request, predicted) = infer(", \"parameters\": {\"binary_data_output\": true}", &class);
    let answer = write_infer(&request, "e", "v", &class, &predicted).unwrap();
    let tail = &answer.bytes[answer.json_length.unwrap()..];
    assert_eq!(tail[..7], [3, 0, 0, 0, b'a', b',', b'b']);
    let (request, predicted) = infer(", \"outputs\": [{\"name\": \"distance\"}]", &class);
    let refused = write_infer(&request, "e", "v", &class, &predicted).unwrap_err();
    assert_eq!(refused.message, "there is no output `distance`; there are prediction, probabilities");
    let cluster = clusters();
    let (request, predicted) = infer("", &cluster);
    let answer = write_infer(&request, "e", "v", &cluster, &predicted).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&answer.bytes).unwrap();
    assert_eq!(json["outputs"][0]["data"], serde_json::json!([0, 0]));
    assert_eq!(json["outputs"][1]["data"], serde_json::json!([0.0, 2.0]));
}

#[test]
fn a_model_says_what_it_takes_and_gives() {
    let about = metadata("e", &["v".into()], &classes());
    assert_eq!(about["inputs"], serde_json::json!([{"name": "x", "datatype": "FP64", "shape": [-1, 1]}]));
    assert_eq!(about["outputs"][0], serde_json::json!({"name": "prediction", "datatype": "BYTES", "shape": [-1]}));
    assert_eq!(about["outputs"][1]["shape"], serde_json::json!([-1, 2]));
    assert_eq!(metadata("e", &[], &numbers())["outputs"][0]["datatype"], "FP64");
    assert_eq!(metadata("e", &[], &clusters())["outputs"][0]["datatype"], "INT64");
}
