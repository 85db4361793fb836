//! Endpoints and their refusals.

use super::*;
use shardmill_common::model::example;

fn registry() -> Registry {
    let (mut registry, ledger) = (Registry::default(), &mut Ledger::default());
    for version in 1..=2 {
        let mut model = example().unwrap();
        model.version = version;
        registry.publish(ledger, model);
    }
    registry.alias(ledger, &"m".parse().unwrap(), "champion", 2).unwrap();
    registry
}

fn variant(name: &str, model: &str, weight: f64) -> Variant {
    Variant { name: name.into(), model: model.parse().unwrap(), weight }
}

fn create(endpoints: &mut Endpoints, name: &str, variants: Vec<Variant>) -> Result<Endpoint, String> {
    let change = EndpointChange { variants: Some(variants), ..Default::default() };
    let ledger = &mut Ledger::default();
    let made = endpoints.create(ledger, name.parse().unwrap(), change, &registry(), 1, Timestamp(5));
    assert_eq!(made.is_err(), ledger.writes.is_empty(), "what is refused changes nothing");
    made.map_err(|e| e.to_string())
}

fn update(endpoints: &mut Endpoints, name: &str, change: EndpointChange) -> Result<Endpoint, String> {
    let ledger = &mut Ledger::default();
    let made = endpoints.update(ledger, &name.parse().unwrap(), change, &registry(), 2, Timestamp(6));
    assert_eq!(made.is_err(), ledger.writes.is_empty(), "what is refused changes nothing");
    made.map_err(|e| e.to_string())
}

#[test]
fn versions_take_the_place_of_aliases() {
    let mut endpoints = Endpoints::default();
    let made = create(&mut endpoints, "e", vec![variant("a", "m@champion", 3.0), variant("b", "m@1", 1.0)]).unwrap();
    let models: Vec<String> = made.variants.iter().map(|v| v.model.to_string()).collect();
    assert_eq!(models, ["m@2", "m@1"]);
    assert_eq!((made.share(&made.variants[0]), made.revision), (0.75, 1));
    assert_eq!(endpoints.user_of_model(&"m".parse().unwrap(), &[1]).unwrap().1.to_string(), "m@1");
    assert!(endpoints.user_of_model(&"m".parse().unwrap(), &[3]).is_none());
}

#[test]
fn what_cannot_be_is_refused() {
    let mut endpoints = Endpoints::default();
    let refused = |endpoints: &mut Endpoints, variants| create(endpoints, "e", variants).unwrap_err();
    assert!(refused(&mut endpoints, vec![]).starts_with("an endpoint needs at least one variant"));
    assert!(refused(&mut endpoints, vec![variant("a", "m", 0.0)]).starts_with("the weights sum to 0"));
    assert!(refused(&mut endpoints, vec![variant("a", "m", -1.0)]).contains("not negative"));
    assert!(refused(&mut endpoints, vec![variant("a", "m", f64::NAN)]).contains("not negative"));
    assert!(
        refused(&mut endpoints, vec![variant("a", "m", f64::MAX), variant("b", "m", f64::MAX)]).contains("too large")
    );
    assert!(refused(&mut endpoints, vec![variant("a", "m", 1.0), variant("a", "m", 1.0)]).contains("two variants"));
    assert!(refused(&mut endpoints, vec![variant("a", "m@9", 1.0)]).contains("no model m@9"));
    assert!(refused(&mut endpoints, vec![variant("a", "other", 1.0)]).contains("no model `other`"));
    assert!(refused(&mut endpoints, vec![variant("a/b", "m", 1.0)]).contains("is not a variant's name"));
    create(&mut endpoints, "e", vec![variant("a", "m", 1.0)]).unwrap();
    assert!(refused(&mut endpoints, vec![variant("a", "m", 1.0)]).contains("endpoint `e` already"));
    assert!(update(&mut endpoints, "f", EndpointChange::default()).unwrap_err().contains("there are e"));
}

#[test]
fn updates_change_what_they_name() {
    let mut endpoints = Endpoints::default();
    create(&mut endpoints, "e", vec![variant("a", "m@1", 1.0), variant("b", "m@2", 0.0)]).unwrap();
    let weights = |weights: &[(&str, f64)]| EndpointChange {
        weights: weights.iter().map(|(n, w)| ((*n).to_owned(), *w)).collect(),
        ..Default::default()
    };
    let changed = update(&mut endpoints, "e", weights(&[("b", 3.0)])).unwrap();
    assert_eq!((changed.share(&changed.variants[1]), changed.revision, changed.updated), (0.75, 2, Timestamp(6)));
    assert!(update(&mut endpoints, "e", weights(&[("c", 1.0)])).unwrap_err().contains("no variant `c`; it has a, b"));
    assert!(update(&mut endpoints, "e", weights(&[("a", 0.0), ("b", 0.0)])).unwrap_err().contains("sum to 0"));
    let capture = |rate| Some(Capture { dataset: "seen".parse().unwrap(), rate });
    let change = EndpointChange { capture: capture(0.5), ..Default::default() };
    assert_eq!(update(&mut endpoints, "e", change).unwrap().capture.unwrap().rate, 0.5);
    assert!(endpoints.user_of_dataset(&"seen".parse().unwrap()).is_some());
    for rate in [0.0, 1.5, f64::NAN] {
        assert!(update(&mut endpoints, "e", EndpointChange { capture: capture(rate), ..Default::default() }).is_err());
    }
    let change = EndpointChange { no_capture: true, ..Default::default() };
    assert_eq!(update(&mut endpoints, "e", change).unwrap().capture, None);
}

#[test]
fn one_endpoint_is_the_default() {
    let mut endpoints = Endpoints::default();
    for name in ["e", "f"] {
        create(&mut endpoints, name, vec![variant("a", "m", 1.0)]).unwrap();
        update(&mut endpoints, name, EndpointChange { is_default: Some(true), ..Default::default() }).unwrap();
    }
    let marked: Vec<&str> = endpoints.all().filter(|e| e.is_default).map(|e| e.name.as_str()).collect();
    assert_eq!(marked, ["f"]);
    let gone = endpoints.remove(&mut Ledger::default(), &"f".parse().unwrap()).unwrap();
    assert_eq!(gone.name.as_str(), "f");
    assert!(endpoints.find(&"f".parse().unwrap()).is_err());
}
