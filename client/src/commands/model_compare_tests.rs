//! Versions side by side: which numbers are compared.

use shardmill_common::model::{LogisticParameters, Parameters};

use super::*;
use shardmill_flows::model_export::samples;

fn evaluation(detail: &ModelDetail, data: &str, accuracy: f64, created: &str) -> Evaluation {
    serde_json::from_value(json!({
        "model": detail.model.reference(), "data": data, "label": "y", "rows": 10, "rows_skipped": 0,
        "metrics": {"accuracy": accuracy}, "job": "j1", "created": created,
    }))
    .unwrap()
}

fn two() -> [ModelDetail; 2] {
    let one = samples::detail("plain");
    let mut other = one.clone();
    other.model.version = 4;
    other.model.spec.as_mut().unwrap().seed = 9;
    if let Parameters::Logistic(LogisticParameters { coefficients, .. }) = &mut other.model.parameters {
        coefficients[0][0] += 0.5;
        coefficients[0][1] -= 2.0;
    }
    [one, other]
}

#[test]
fn metrics_come_from_data_that_all_were_evaluated_on() {
    let [mut one, mut other] = two();
    one.evaluations.push(evaluation(&one, "old@1", 0.5, "2026-01-01T00:00:00.000Z"));
    one.evaluations.push(evaluation(&one, "test@1", 0.6, "2026-01-02T00:00:00.000Z"));
    one.evaluations.push(evaluation(&one, "new@1", 0.7, "2026-01-03T00:00:00.000Z"));
    other.evaluations.push(evaluation(&other, "test@1", 0.8, "2026-01-02T00:00:00.000Z"));
    other.evaluations.push(evaluation(&other, "else@1", 0.9, "2026-01-04T00:00:00.000Z"));
    let details = [one, other];
    let comparison = Comparison::of(&details);
    let object = comparison.to_json(&details);
    assert_eq!(object["evaluated_on"], "test@1");
    assert_eq!(object["metrics"]["accuracy"], json!([0.6, 0.8]));
    let details =
        [details[0].clone(), ModelDetail { evaluations: details[1].evaluations[1..].to_vec(), ..details[1].clone() }];
    let object = Comparison::of(&details).to_json(&details);
    assert_eq!(object["evaluated_on"], Value::Null);
    assert_eq!(object["metrics"]["accuracy"], json!([0.7, 0.9]));
}

#[test]
fn the_largest_differences_come_first() {
    let details = two();
    let comparison = Comparison::of(&details);
    assert_eq!(comparison.options.keys().collect::<Vec<_>>(), ["seed"]);
    let names: Vec<&str> = comparison.coefficients.iter().map(|d| d.feature.as_str()).collect();
    assert_eq!(names, ["city=", "x"]);
    assert!((comparison.coefficients[0].difference - 2.0).abs() < 1e-12);
    let shown = comparison.summary(&details).to_string() + &comparison.coefficient_table(&details).to_string();
    assert!(shown.contains("plain@4") && shown.contains("difference"), "{shown}");
}
