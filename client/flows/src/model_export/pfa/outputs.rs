//! The model's formula in PFA, from the array `x` to the output.

use serde_json::{Map, Value, json};
use shardmill_common::model::ClassValue;

use super::super::Reason;
use super::super::formulas::Formula;

fn doubles() -> Value {
    json!({"type": "array", "items": "double"})
}

fn record(name: &str, fields: Value) -> Value {
    json!({"type": "record", "name": name, "fields": fields})
}

/// Adds the formula to `action` and its numbers to `cells`; returns the output's type.
pub fn compute(
    formula: &Formula,
    classes: &[ClassValue],
    action: &mut Vec<Value>,
    cells: &mut Map<String, Value>,
) -> Result<Value, Reason> {
    let mut cell = |name: &str, kind: Value, init: Value| {
        cells.insert(name.to_owned(), json!({"type": kind, "init": init}));
    };
    let linear = json!({"model.reg.linear": ["x", {"cell": "model"}]});
    match formula {
        Formula::Linear { coefficients, intercept } => {
            cell("model", one_row(), json!({"coeff": coefficients, "const": intercept}));
            action.push(linear);
            return Ok(json!("double"));
        }
        Formula::Binary { coefficients, intercept } => {
            cell("model", one_row(), json!({"coeff": coefficients, "const": intercept}));
            action.push(json!({"let": {"z": linear}}));
            // exp overflows beyond 709, which some readers take for an error.
            let link = |z: Value| json!({"m.link.logit": {"max": [z, -700.0]}});
            let both = json!({"type": doubles(), "new": [link(json!({"u-": "z"})), link(json!("z"))]});
            action.push(json!({"let": {"p": both}}));
        }
        Formula::Softmax { coefficients, intercept } => {
            let rows = record(
                "Rows",
                json!([
                    {"name": "coeff", "type": {"type": "array", "items": doubles()}}, {"name": "const", "type": doubles()},
                ]),
            );
            cell("model", rows, json!({"coeff": coefficients, "const": intercept}));
            action.push(json!({"let": {"z": linear}}));
            softmax(action);
        }
        Formula::Gaussian { log_priors, means, variances, .. } => {
            let moments = record(
                "Moments",
                json!([
                    {"name": "mean", "type": "double"}, {"name": "variance", "type": "double"},
                ]),
            );
            let class = record(
                "Class",
                json!([
                    {"name": "log_prior", "type": "double"}, {"name": "features", "type": {"type": "array", "items": moments}},
                ]),
            );
            let init: Vec<Value> = log_priors
                .iter()
                .zip(means.iter().zip(variances))
                .map(|(prior, (means, variances))| {
                    let features: Vec<Value> =
                        means.iter().zip(variances).map(|(m, v)| json!({"mean": m, "variance": v})).collect();
                    json!({"log_prior": prior, "features": features})
                })
                .collect();
            cell("model", json!({"type": "array", "items": class}), json!(init));
            let likelihood = json!({"+": ["c.log_prior", {"model.naive.gaussian": ["x", "c.features"]}]});
            let each = json!({"params": [{"c": "Class"}], "ret": "double", "do": [likelihood]});
            action.push(json!({"let": {"z": {"a.map": [{"cell": "model"}, each]}}}));
            softmax(action);
        }
        Formula::Centers { centers, .. } => {
            let cluster =
                record("Cluster", json!([{"name": "id", "type": "int"}, {"name": "center", "type": doubles()}]));
            let init: Vec<Value> =
                centers.iter().enumerate().map(|(id, center)| json!({"id": id, "center": center})).collect();
            cell("model", json!({"type": "array", "items": cluster}), json!(init));
            action.push(json!({"let": {"nearest": {"model.cluster.closest": ["x", {"cell": "model"}]}}}));
            let distance = json!({"metric.simpleEuclidean": ["x", "nearest.center"]});
            action.push(json!({"type": "Output", "new": {"label": "nearest.id", "distance": distance}}));
            return Ok(record(
                "Output",
                json!([{"name": "label", "type": "int"}, {"name": "distance", "type": "double"}]),
            ));
        }
    }
    let kind = match classes.first() {
        Some(ClassValue::Boolean(_)) => "boolean",
        Some(ClassValue::Int64(_)) => "long",
        Some(ClassValue::String(_)) => "string",
        None => return Err(Reason::NoClasses),
    };
    cell("classes", json!({"type": "array", "items": kind}), json!(classes));
    let label = json!({"cell": "classes", "path": [{"a.argmax": "p"}]});
    action.push(json!({"type": "Output", "new": {"label": label, "probabilities": "p"}}));
    Ok(record("Output", json!([{"name": "label", "type": kind}, {"name": "probabilities", "type": doubles()}])))
}

fn one_row() -> Value {
    record("Row", json!([{"name": "coeff", "type": doubles()}, {"name": "const", "type": "double"}]))
}

/// `p` from `z`. m.link.softmax is not used: a reader that shifts by the least number overflows where the numbers lie far apart.
fn softmax(action: &mut Vec<Value>) {
    let function = |body: Value| json!({"params": [{"v": "double"}], "ret": "double", "do": [body]});
    action.push(json!({"let": {"top": {"a.max": "z"}}}));
    action.push(json!({"let": {"e": {"a.map": ["z", function(json!({"m.exp": {"-": ["v", "top"]}}))]}}}));
    action.push(json!({"let": {"total": {"a.sum": "e"}}}));
    // A function's body does not see what is defined outside of it unless it only reads.
    action.push(json!({"let": {"p": {"a.map": ["e", function(json!({"/": ["v", "total"]}))]}}}));
}
