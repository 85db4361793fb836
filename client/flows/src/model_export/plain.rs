//! A model as one JSON object with every number that prediction needs: what `model show --json` prints, described field by field in
//! docs/models.md.

use serde_json::{Value, json};
use shardmill_common::model::ModelDetail;

use super::Reason;
use super::families::exported;

pub fn object(detail: &ModelDetail) -> Result<Value, Reason> {
    let model = &detail.model;
    let names: Vec<String> = model.features.outputs().into_iter().map(|o| o.name).collect();
    let mut object = json!({
        "name": model.name,
        "version": model.version,
        "model": model.reference(),
        "algorithm": model.algorithm,
        "label": model.target.label().map(|l| &l.column),
        "label_type": model.target.label().map(|l| l.dtype),
        "classes": model.target.classes(),
        "columns": model.features.columns(),
        "feature_names": names,
        "encoder": model.features,
        "baseline": model.baseline,
        "training": model.spec.is_some().then_some(&model.training),
        "evaluations": detail.evaluations,
        "metrics": detail.evaluations.last().map(|e| json!(e.metrics)).unwrap_or_else(|| json!({})),
        "aliases": detail.aliases,
        "data": model.data,
        "parent": model.parent,
        "spec": model.spec,
        "program": model.program,
        "job": model.job,
        "created": model.created,
    });
    if model.spec.is_none() {
        object["notices"] = json!(model.training.notices);
    }
    if let (Value::Object(object), Value::Object(learnt)) = (&mut object, exported(&model.parameters).object()) {
        object.extend(learnt);
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn two_classes_have_a_flat_list_and_more_have_rows() {
        let of = |name: &str| object(&samples::detail(name)).unwrap();
        let binary = of("binary");
        assert_eq!(binary["model"], "binary@3");
        assert!(binary["intercept"].is_f64());
        assert_eq!(binary["coefficients"].as_array().unwrap().len(), binary["feature_names"].as_array().unwrap().len());
        assert_eq!(of("three")["coefficients"].as_array().unwrap().len(), 3);
        assert_eq!(of("three")["metrics"], json!({}));
        assert!(of("bayes")["variances"][0][0].as_f64().unwrap() > 0.0);
        assert!(of("clusters")["centers"][0].is_array());
    }
}
