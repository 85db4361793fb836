//! Models made by hand for tests, and a way to look at their files: `SHARDMILL_SAMPLE_MODELS=DIR cargo test -p shardmill-flows --lib samples`
//! writes each in every format.

use serde_json::{Value, json};
use shardmill_common::model::{
    Encoder, KMeansParameters, LinearParameters, LogisticParameters, ModelDetail, NaiveBayesParameters, Parameters,
    Target,
};

/// Numbers, filled, marked and scaled; booleans; text and whole numbers as categories.
fn encoder() -> Encoder {
    from(json!([
        {"column": "age", "type": "float64", "encoding": "numeric", "scaling": {"mean": 40.5, "scale": 12.25}, "fill": 39.0,
         "indicator": true},
        {"column": "income", "type": "int64", "encoding": "numeric", "fill": 2.5},
        {"column": "member", "type": "boolean", "encoding": "numeric", "fill": 0.375},
        {"column": "first name", "type": "string", "encoding": "one_hot", "categories": ["Ann & co", "Bob \"B\"", "Çağla"],
         "unknown": "ignore", "fill": "Bob \"B\"", "indicator": true},
        {"column": "rooms", "type": "int64", "encoding": "one_hot", "categories": ["-1", "2", "10"], "unknown": "ignore", "fill": "2"},
        {"column": "score", "type": "float64", "encoding": "numeric", "scaling": {"mean": -0.5, "scale": 0.1}}
    ]))
}

fn plain_encoder() -> Encoder {
    from(json!([
        {"column": "x", "type": "float64", "encoding": "numeric"},
        {"column": "city", "type": "string", "encoding": "one_hot", "categories": ["", "Kiel"], "unknown": "refuse"}
    ]))
}

#[expect(clippy::unwrap_used, reason = "only tests make samples")]
fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Numbers that look learnt, always the same.
fn row(seed: u32, width: usize) -> Vec<f64> {
    (0..width).map(|n| (f64::from(seed * 31 + n as u32 * 7) * 0.7).sin() / 3.0).collect()
}

fn learnt(name: &str, width: usize) -> (&'static str, Target, Parameters) {
    let rows = |n: u32| (0..n).map(|seed| row(seed + 1, width)).collect::<Vec<_>>();
    let class = |classes: Value, dtype: &str| -> Target {
        from(json!({"kind": "class", "label": {"column": "y", "type": dtype}, "classes": classes}))
    };
    match name {
        "three" => (
            "logistic",
            class(json!(["ant", "bee", "cow"]), "string"),
            Parameters::Logistic(LogisticParameters { coefficients: rows(3), intercept: row(9, 3) }),
        ),
        "linear" => (
            "linear",
            from(json!({"kind": "number", "label": {"column": "y", "type": "float64"}})),
            Parameters::Linear(LinearParameters { coefficients: row(4, width), intercept: -2.5 }),
        ),
        "bayes" => (
            "naive-bayes",
            class(json!([1, 2, 5]), "int64"),
            Parameters::NaiveBayes(NaiveBayesParameters {
                weights: vec![10.0, 20.0, 30.5],
                priors: vec![0.2, 0.3, 0.5],
                means: rows(3),
                squares: rows(3).into_iter().map(|r| r.into_iter().map(|x| 5.0 + x.abs() * 90.0).collect()).collect(),
                epsilon: 1e-6,
            }),
        ),
        "clusters" => (
            "kmeans",
            Target::Cluster { clusters: 4 },
            Parameters::KMeans(KMeansParameters { centers: rows(4), inertia: 12.5, sizes: vec![4, 3, 2, 1] }),
        ),
        "plain" => (
            "logistic",
            class(json!([0, 1]), "int64"),
            Parameters::Logistic(LogisticParameters { coefficients: rows(1), intercept: vec![0.1] }),
        ),
        _ => (
            "logistic",
            class(json!([false, true]), "boolean"),
            Parameters::Logistic(LogisticParameters { coefficients: rows(1), intercept: vec![-0.25] }),
        ),
    }
}

pub fn detail(name: &str) -> ModelDetail {
    let features = if name == "plain" { plain_encoder() } else { encoder() };
    let (algorithm, target, parameters) = learnt(name, features.width());
    let spec = json!({
        "input": "people@1", "model": name, "label": target.label().map(|l| &l.column), "weight_column": null,
        "preparation": {
            "features": null, "standardise": null, "categorical": "text", "max_categories": 100, "impute_default": "mean",
            "impute": {}, "indicator": true, "unknown": "ignore", "constant": "drop", "unlabelled": "refuse",
        },
        "algorithm": "k_means", "clusters": 4, "max_iter": 10, "tol": 1e-4, "seeding_rounds": 5,
        "seed": 1, "warm_start": null, "update": null,
    });
    let model = json!({
        "name": name, "version": 3, "algorithm": algorithm, "target": target, "features": features, "parameters": parameters,
        "training": {"rows": 61, "rows_skipped": 0, "rounds": [], "converged": true, "solver": "newton", "notices": []},
        "data": "people@1", "spec": spec, "program": "shardmill 0.1.0", "job": "j7", "created": "2026-11-20T14:08:29.153Z",
    });
    from(json!({"model": model, "aliases": ["champion"], "evaluations": []}))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{ModelFormat, render};
    use super::*;

    const NAMES: [&str; 6] = ["binary", "three", "linear", "bayes", "clusters", "plain"];

    const FORMATS: [ModelFormat; 5] =
        [ModelFormat::Onnx, ModelFormat::Pmml, ModelFormat::Pfa, ModelFormat::Mlflow, ModelFormat::Json];

    #[test]
    fn every_model_can_be_said_in_every_format() {
        let folder = std::env::var_os("SHARDMILL_SAMPLE_MODELS").map(PathBuf::from);
        for name in NAMES {
            for format in FORMATS {
                let tree = render(&detail(name), format).unwrap();
                assert!(tree.bytes() > 100, "{name} as {} is too small", format.name());
                if let Some(folder) = &folder {
                    tree.write(&folder.join(format!("{name}.{}", format.name()))).unwrap();
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_said_is_refused_with_a_reason() {
        let mut empty = detail("plain");
        empty.model.features.features.clear();
        let Err(error) = render(&empty, ModelFormat::Onnx) else { panic!("a model without features was written") };
        assert!(error.to_string().contains("json can hold it"), "{error}");
        let mut odd = detail("binary");
        odd.model.parameters =
            Parameters::Logistic(LogisticParameters { coefficients: vec![vec![1.0]], intercept: vec![0.0] });
        assert!(render(&odd, ModelFormat::Pmml).is_err());
    }
}
