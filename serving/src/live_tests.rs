//! Routes, shares and deployments.

use super::*;
use shardmill_common::model::{Model, Parameters, example};
use shardmill_common::time::Timestamp;

fn model(version: u32) -> Model {
    Model { version, ..example().unwrap() }
}

fn endpoint(name: &str, variants: &[(&str, u32, f64)]) -> Endpoint {
    let variant = |(name, version, weight): &(&str, u32, f64)| Variant {
        name: (*name).to_owned(),
        model: model(*version).reference(),
        weight: *weight,
    };
    Endpoint {
        name: name.parse().unwrap(),
        variants: variants.iter().map(variant).collect(),
        capture: None,
        is_default: false,
        revision: 1,
        created: Timestamp(0),
        updated: Timestamp(0),
    }
}

fn deployment(revision: u64, endpoints: Vec<Endpoint>, models: Vec<Model>) -> Deployment {
    Deployment { revision, endpoints, models }
}

#[test]
fn variants_have_their_shares() {
    let live = Live::default();
    let variants = [("a", 1, 3.0), ("none", 1, 0.0), ("b", 2, 1.0), ("never", 1, 0.0)];
    live.deploy(deployment(1, vec![endpoint("e", &variants)], vec![model(1), model(2)])).unwrap();
    let routes = live.routes();
    let found = &routes.endpoints["e"];
    let at = |x: f64| found.choose(x).unwrap().variant.name.as_str();
    assert_eq!([at(0.0), at(0.7499), at(0.75), at(0.999_999)], ["a", "a", "b", "b"]);
    // Rounding may leave the last share short of 1; a variant of weight 0 never steps in.
    assert_eq!(at(1.0), "b");
    assert_eq!(found.variant("none").unwrap().variant.weight, 0.0);
    assert!(found.variant("z").is_none());
}

#[test]
fn a_change_is_seen_whole_and_counts_are_kept() {
    let live = Live::default();
    assert!(!live.is_deployed() && live.routes().default_endpoint().is_none());
    live.deploy(deployment(1, vec![endpoint("e", &[("a", 1, 1.0)])], vec![model(1)])).unwrap();
    let before = live.routes();
    let recorder = before.endpoints["e"].variants[0].recorder.clone();
    let predictor = before.endpoints["e"].variants[0].predictor.clone();
    live.deploy(deployment(2, vec![endpoint("e", &[("a", 1, 1.0), ("b", 2, 1.0)])], vec![model(1), model(2)])).unwrap();
    let after = live.routes();
    assert_eq!((before.endpoints["e"].variants.len(), after.endpoints["e"].variants.len()), (1, 2));
    assert!(Arc::ptr_eq(&recorder, &after.endpoints["e"].variants[0].recorder));
    assert!(Arc::ptr_eq(&predictor, &after.endpoints["e"].variants[0].predictor));
    assert_eq!((after.revision, *live.revisions().borrow()), (2, 2));
    assert_eq!(after.default_endpoint().unwrap().endpoint.name.as_str(), "e");
    let mut marked = endpoint("f", &[("a", 1, 1.0)]);
    marked.is_default = true;
    live.deploy(deployment(3, vec![endpoint("e", &[("a", 1, 1.0)]), marked], vec![model(1)])).unwrap();
    assert_eq!(live.routes().default_endpoint().unwrap().endpoint.name.as_str(), "f");
    assert_eq!(live.routes().names(), ["e", "f"]);
}

#[test]
fn a_model_that_cannot_be_made_ready_holds_up_only_its_own_endpoints() {
    let live = Live::default();
    live.deploy(deployment(1, vec![endpoint("e", &[("a", 1, 1.0)])], vec![model(1)])).unwrap();
    let broken = Model {
        parameters: serde_json::from_value::<Parameters>(serde_json::json!({
            "form": "onnx", "file": "m.onnx", "bytes": 1, "digest": "0", "producer": "", "inputs": [],
            "output": {"kind": "number", "name": "y"}
        }))
        .unwrap(),
        ..model(2)
    };
    let both = vec![endpoint("e", &[("b", 2, 1.0)]), endpoint("f", &[("c", 1, 1.0)])];
    let why = live.deploy(deployment(2, both.clone(), vec![model(1), broken])).unwrap_err().to_string();
    assert!(why.contains("m@2: ") && why.ends_with("endpoint `e` stays as it was"), "{why}");
    let routes = live.routes();
    assert_eq!(routes.endpoints["e"].variants[0].variant.name, "a");
    assert_eq!(routes.endpoints["f"].variants[0].variant.name, "c");
    assert_eq!(*live.revisions().borrow(), 1, "the change is not served as a whole");
    live.deploy(deployment(2, both, vec![model(1), model(2)])).unwrap();
    assert_eq!(live.routes().endpoints["e"].variants[0].variant.name, "b");
}
