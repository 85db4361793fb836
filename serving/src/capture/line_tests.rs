//! Lines hold what was asked and answered, typed as a dataset's columns should be.

use std::sync::Arc;

use serde_json::{Value, json};
use shardmill_common::model::{
    ClassValue, Encoder, Encoding, Feature, Filling, KMeansParameters, Label, LogisticParameters, Model, Parameters,
    Target, Unknown, example,
};
use shardmill_common::time::Timestamp;

use super::*;
use crate::Predictor;
use crate::capture::known_columns;

fn feature(column: &str, dtype: DataType, encoding: Encoding, fill: Filling) -> Feature {
    Feature { column: column.into(), dtype, encoding, fill: Some(fill), indicator: false }
}

fn classifier() -> Model {
    let numeric = || Encoding::Numeric { scaling: None };
    let plans = Encoding::OneHot { categories: vec!["basic".into(), "pro".into()], unknown: Unknown::Ignore };
    Model {
        target: Target::Class {
            label: Label { column: "left".into(), dtype: DataType::String },
            classes: vec![ClassValue::String("no".into()), ClassValue::String("yes".into())],
        },
        features: Encoder {
            features: vec![
                feature("age", DataType::Int64, numeric(), Filling::Number(40.0)),
                feature("income", DataType::Float64, numeric(), Filling::Number(1.0)),
                feature("member", DataType::Boolean, numeric(), Filling::Number(0.0)),
                feature("plan", DataType::String, plans, Filling::Text("basic".into())),
            ],
        },
        parameters: Parameters::Logistic(LogisticParameters {
            coefficients: vec![vec![0.1, -0.5, 0.2, 0.3, -0.3]],
            intercept: vec![-1.0],
        }),
        ..example().unwrap()
    }
}

fn captured(model: Model, names: Option<&[&str]>, rows: &[&[Cell<'static>]], inference_id: Option<&str>) -> Vec<Value> {
    let predictor = Predictor::new(Arc::new(model), &Default::default()).unwrap();
    let width = rows[0].len();
    let names = names.map(|n| n.iter().map(|name| Cow::Owned((*name).to_owned())).collect());
    let table = Table { names, width, rows: rows.len(), cells: rows.concat() };
    let predicted = predictor.predict(&table).unwrap();
    let text = lines(&Event {
        dataset: &"seen".parse().unwrap(),
        endpoint: &"churn".parse().unwrap(),
        variant: "a \"quoted\" one",
        model: &predictor.model.reference(),
        time: Timestamp(1_700_000_000_123),
        request: "8e9f",
        inference_id,
        table: &table,
        predictor: &predictor,
        answers: &crate::dialect::Answers::new(&predictor),
        predicted: &predicted,
    });
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with('\n') || rows.is_empty());
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn raw(text: &'static str) -> Cell<'static> {
    Cell::Raw(text.into())
}

#[test]
fn a_row_has_who_what_and_the_answer() {
    let row: &[Cell] = &[Cell::Integer(31), Cell::Float(0.1), Cell::Boolean(true), Cell::Text("pro".into())];
    let rows = captured(classifier(), Some(&["age", "income", "member", "plan"]), &[row, row], Some("order 7"));
    let names: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 7 + 4 + 3, "{names:?}");
    let own = rows[1].as_object().unwrap();
    for (name, value) in [
        ("_time", json!("2023-11-14T22:13:20.123Z")),
        ("_endpoint", json!("churn")),
        ("_variant", json!("a \"quoted\" one")),
        ("_model", json!("m@1")),
        ("_request", json!("8e9f")),
        ("_inference_id", json!("order 7")),
        ("_row", json!(1)),
        ("age", json!(31)),
        ("income", json!(0.1)),
        ("member", json!(true)),
        ("plan", json!("pro")),
        ("prediction", json!("yes")),
    ] {
        assert_eq!(own[name], value, "{name}");
    }
    let (no, yes) = (own["probability_no"].as_f64().unwrap(), own["probability_yes"].as_f64().unwrap());
    // z = 0.1 * 31 - 0.5 * 0.1 + 0.2 - 0.3 - 1
    assert!((yes - 1.0 / (1.0 + (-1.95f64).exp())).abs() < 1e-15 && (no + yes - 1.0).abs() < 1e-15, "{no} {yes}");
    for (column, _) in COLUMNS {
        assert!(own.contains_key(column));
    }
}

#[test]
fn delimited_text_is_typed_and_takes_the_names_of_the_model() {
    let rows = captured(
        classifier(),
        None,
        &[&[raw("007"), raw("3"), raw("1"), raw("12")], &[raw(""), raw(".5"), raw("False"), raw("")]],
        None,
    );
    let pick = |n: usize, names: [&str; 5]| names.map(|c| rows[n][c].clone());
    let names = ["age", "income", "member", "plan", "_inference_id"];
    assert_eq!(pick(0, names), [json!(7), json!(3.0), json!(true), json!("12"), Value::Null]);
    assert_eq!(pick(1, names), [Value::Null, json!(0.5), json!(false), Value::Null, Value::Null]);
    // A fraction in a column of integers is not cut off.
    let rows = captured(classifier(), None, &[&[raw("7.5"), raw("1"), raw("0"), raw("pro")]], None);
    assert_eq!(rows[0]["age"], json!(7.5));
}

#[test]
fn other_columns_are_kept_as_they_came() {
    let names = ["age", "income", "member", "plan", "id", "when", "code", "big", "nothing"];
    let cells = |id: Cell<'static>, code: Cell<'static>| {
        let mut row = vec![Cell::Integer(1), Cell::Integer(2), Cell::Boolean(false), Cell::Null, id];
        row.extend([Cell::Text("2024-02-01".into()), code, Cell::Float(1e300), Cell::Float(f64::NAN)]);
        row
    };
    let (typed, text) = (cells(Cell::Text("17".into()), Cell::Text("007".into())), cells(raw("17"), raw("007")));
    let rows = captured(classifier(), Some(&names), &[&typed, &text], None);
    let pick = |n: usize| ["id", "when", "code", "big", "nothing"].map(|c| rows[n][c].clone());
    assert_eq!(pick(0), [json!("17"), json!("2024-02-01"), json!("007"), json!(1e300), Value::Null]);
    assert!(!rows[0].as_object().unwrap().contains_key("nothing"), "without a value there is no type");
    assert_eq!(pick(1)[..3], [json!(17), json!("2024-02-01"), json!("007")]);
    // A whole number for a float is one, and a missing value of the model's own is null, not what stood in for it.
    assert_eq!((&rows[0]["income"], &rows[0]["plan"]), (&json!(2.0), &Value::Null));
}

#[test]
fn names_of_ours_are_not_taken() {
    let names = ["x", "prediction", "_time", "input_prediction", "id", "id"];
    let row: Vec<Cell> = (0..6).map(Cell::Integer).collect();
    let rows = captured(example().unwrap(), Some(&names), &[&row], None);
    let own = rows[0].as_object().unwrap();
    assert_eq!(own["prediction"], json!(1.0));
    assert_eq!(own["_time"], json!("2023-11-14T22:13:20.123Z"));
    let kept = ["input_input_prediction", "input__time", "input_prediction", "id", "input_id"].map(|n| own[n].clone());
    assert_eq!(kept, [json!(1), json!(2), json!(3), json!(4), json!(5)]);
}

#[test]
fn clusters_have_a_number_and_a_distance() {
    let model = Model {
        target: Target::Cluster { clusters: 2 },
        parameters: Parameters::KMeans(KMeansParameters {
            centers: vec![vec![0.0], vec![10.0]],
            inertia: 0.0,
            sizes: vec![1, 1],
        }),
        ..example().unwrap()
    };
    let rows = captured(model, Some(&["x"]), &[&[Cell::Float(7.0)]], None);
    assert_eq!((&rows[0]["prediction"], &rows[0]["distance"]), (&json!(1), &json!(3.0)));
}

#[test]
fn what_is_known_beforehand_has_its_type() {
    let known = known_columns(&classifier());
    let types: Vec<(&str, DataType)> = known.fields.iter().skip(7).map(|f| (f.name.as_str(), f.dtype)).collect();
    assert_eq!(
        types,
        [
            ("age", DataType::Int64),
            ("income", DataType::Float64),
            ("member", DataType::Boolean),
            ("plan", DataType::String),
            ("prediction", DataType::String),
            ("probability_no", DataType::Float64),
            ("probability_yes", DataType::Float64),
        ]
    );
    // A feature that is kept under another name has the types of its values.
    let mut clashing = classifier();
    clashing.features.features[0].column = "prediction".into();
    assert_eq!(known_columns(&clashing).fields.iter().filter(|f| f.name == "prediction").count(), 1);
}
