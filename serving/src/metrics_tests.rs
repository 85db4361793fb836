//! Metrics as Prometheus reads them.

use shardmill_common::endpoint::{Deployment, Endpoint, Variant};
use shardmill_common::model::example;
use shardmill_common::time::Timestamp;

use super::*;
use crate::watch::tests::{answer, classes};

fn endpoint(name: &str, variants: Vec<Variant>) -> Endpoint {
    Endpoint {
        name: name.parse().unwrap(),
        variants,
        capture: None,
        is_default: false,
        revision: 1,
        created: Timestamp(0),
        updated: Timestamp(0),
    }
}

fn variant(name: &str, model: &str, weight: f64) -> Variant {
    Variant { name: name.into(), model: model.parse().unwrap(), weight }
}

#[test]
fn a_node_without_endpoints_says_nothing() {
    let mut text = String::new();
    render(&Live::default(), &mut text);
    assert_eq!(text, "");
}

#[test]
fn counts_are_told_with_their_labels_and_buckets_add_up() {
    let live = Live::default();
    let numbers = shardmill_common::model::Model { version: 2, ..example().unwrap() };
    let variants = vec![variant("new", "m@1", 3.0), variant("old", "m@2", 0.5)];
    let deployment =
        Deployment { revision: 1, endpoints: vec![endpoint("churn", variants)], models: vec![classes(), numbers] };
    live.deploy(deployment).unwrap();
    let routes = live.routes();
    let new = &routes.endpoints["churn"].variants[0];
    answer(&new.recorder, &classes(), &[(Some(-3.0), "Rome"), (None, "Oslo")], 40);
    new.recorder.failed(ErrorKind::BadRow);
    drop(live.take());
    answer(&new.recorder, &classes(), &[(Some(3.0), "Rome")], 20_000_000);
    let mut text = String::new();
    render(&live, &mut text);
    let at = "endpoint=\"churn\",variant=\"new\",model=\"m@1\"";
    for line in [
        format!("shardmill_endpoint_requests_total{{{at}}} 2"),
        format!("shardmill_endpoint_rows_total{{{at}}} 3"),
        format!("shardmill_endpoint_errors_total{{{at},kind=\"bad_row\"}} 1"),
        format!("shardmill_endpoint_errors_total{{{at},kind=\"internal\"}} 0"),
        format!("shardmill_endpoint_latency_seconds_bucket{{{at},le=\"2.5e-5\"}} 0"),
        format!("shardmill_endpoint_latency_seconds_bucket{{{at},le=\"5e-5\"}} 1"),
        format!("shardmill_endpoint_latency_seconds_bucket{{{at},le=\"10.0\"}} 1"),
        format!("shardmill_endpoint_latency_seconds_bucket{{{at},le=\"+Inf\"}} 2"),
        format!("shardmill_endpoint_latency_seconds_count{{{at}}} 2"),
        format!("shardmill_endpoint_latency_seconds_sum{{{at}}} 20.00004"),
        format!("shardmill_endpoint_predictions_total{{{at},class=\"0\"}} 2"),
        format!("shardmill_endpoint_predictions_total{{{at},class=\"1\"}} 1"),
        format!("shardmill_endpoint_probability_bucket{{{at},le=\"0.1\"}} 1"),
        format!("shardmill_endpoint_probability_bucket{{{at},le=\"0.5\"}} 2"),
        format!("shardmill_endpoint_probability_bucket{{{at},le=\"1.0\"}} 3"),
        format!("shardmill_endpoint_probability_count{{{at}}} 3"),
        format!("shardmill_endpoint_feature_missing_total{{{at},feature=\"x\"}} 1"),
        format!("shardmill_endpoint_feature_unseen_total{{{at},feature=\"city\"}} 1"),
        format!("shardmill_variant_weight{{{at}}} 3"),
        "shardmill_endpoint_prediction_count{endpoint=\"churn\",variant=\"old\",model=\"m@2\"} 0".into(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    let heads: Vec<&str> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
    let mut once = heads.clone();
    once.dedup();
    assert_eq!((heads.len(), once), (11, heads.clone()), "each metric has one head");
}

#[test]
fn labels_are_escaped() {
    assert_eq!(Escaped("a\\b\"c\nd").to_string(), "a\\\\b\\\"c\\nd");
}
