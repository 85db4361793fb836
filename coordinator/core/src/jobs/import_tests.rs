//! Imports: what is checked, and what is published.

use shardmill_common::kinds::JobSpec;
use shardmill_common::model::{ClassValue, Encoder, Feature, Label, OnnxGraph, OnnxInput};
use shardmill_common::schema::DataType;

use super::*;

fn spec() -> ImportSpec {
    let feature = |column: &str| Feature {
        column: column.into(),
        dtype: DataType::Float64,
        encoding: Encoding::Numeric { scaling: None },
        fill: None,
        indicator: false,
    };
    ImportSpec {
        model: "m".parse().unwrap(),
        location: "file://host/m.onnx".into(),
        graph: OnnxGraph {
            file: "m.onnx".into(),
            bytes: 100,
            digest: "0".repeat(32),
            producer: "skl2onnx 1".into(),
            inputs: vec![OnnxInput { name: "X".into(), columns: 2 }],
            output: OnnxOutput::Probabilities { name: "p".into() },
        },
        features: Encoder { features: vec![feature("a"), feature("b")] },
        target: Target::Class {
            label: Label { column: "y".into(), dtype: DataType::Int64 },
            classes: vec![ClassValue::Int64(0), ClassValue::Int64(1)],
        },
        notices: vec!["a notice".into()],
    }
}

/// No input is looked at.
fn no_job(spec: &ImportSpec) -> ResolvedJob {
    ResolvedJob { spec: JobSpec::Import(spec.clone()), inputs: Vec::new(), replicas: 1 }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    spec().check(&no_job(&spec())).unwrap();
    let with = |change: &dyn Fn(&mut ImportSpec)| {
        let mut spec = spec();
        change(&mut spec);
        spec.check(&no_job(&spec)).unwrap_err().to_string()
    };
    assert!(with(&|s| s.graph.bytes = MAX_GRAPH_BYTES + 1).contains("models of up to 256"));
    assert!(with(&|s| s.graph.inputs[0].columns = 3).contains("take 3 numbers, and there are 2 features"));
    assert!(with(&|s| s.features.features[1].column = "a".into()).contains("two features are called `a`"));
    assert!(with(&|s| s.features.features[1].column = "y".into()).contains("cannot be the label and a feature"));
    assert!(with(&|s| s.features.features[1].indicator = true).contains("`b` is not a number"));
    assert!(with(&|s| s.target = Target::Cluster { clusters: 2 }).contains("do not fit"));
    let one_class = |s: &mut ImportSpec| {
        if let Target::Class { classes, .. } = &mut s.target {
            classes[1] = ClassValue::Int64(0);
        }
    };
    assert!(with(&one_class).contains("each once"));
}

#[test]
fn the_model_is_published_without_any_stage() {
    let Next::Publish(publication) = spec().next(&no_job(&spec()), &[]).unwrap() else { panic!() };
    let model = publication.model.unwrap();
    assert_eq!((model.algorithm.as_str(), model.version), (ALGORITHM, 0));
    assert_eq!(model.graph(), Some(&spec().graph));
    assert!(model.data.is_none() && model.spec.is_none() && publication.drafts.is_empty());
    assert_eq!(model.training.notices, ["a notice"]);
    assert_eq!(model.origin(), "m.onnx");
}
