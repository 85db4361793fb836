//! Versions, aliases and their history.

use shardmill_common::model::example;

use super::*;

fn model(name: &str) -> Model {
    Model { name: name.parse().unwrap(), version: 0, ..example().unwrap() }
}

fn publish(registry: &mut Registry, name: &str) -> String {
    let model = model(name);
    let numbered = Model { version: registry.next_version(&model.name), ..model };
    let reference = numbered.reference().to_string();
    registry.publish(&mut Ledger::default(), numbered);
    reference
}

fn found(registry: &Registry, reference: &str) -> String {
    match registry.find(&reference.parse().unwrap()) {
        Ok(model) => model.reference().to_string(),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn versions_count_up_and_aliases_point_and_roll_back() {
    let mut registry = Registry::default();
    let name: ModelName = "m".parse().unwrap();
    assert_eq!(publish(&mut registry, "m"), "m@1");
    assert_eq!(publish(&mut registry, "m"), "m@2");
    assert_eq!(found(&registry, "m"), "m@2");
    let ledger = &mut Ledger::default();
    for version in [1, 2, 2] {
        registry.alias(ledger, &name, "champion", version).unwrap();
    }
    assert_eq!(found(&registry, "m@champion"), "m@2");
    assert_eq!(registry.rollback(ledger, &name, "champion"), Ok(1));
    assert_eq!(found(&registry, "m@champion"), "m@1");
    assert!(registry.rollback(ledger, &name, "champion").is_err());
    assert_eq!(found(&registry, "m@champion"), "m@1");
    assert!(registry.alias(ledger, &name, "champion", 7).unwrap_err().to_string().contains("are 1, 2"));
}

#[test]
fn what_has_an_alias_is_not_removed_and_numbers_are_not_given_twice() {
    let mut registry = Registry::default();
    let name: ModelName = "m".parse().unwrap();
    publish(&mut registry, "m");
    publish(&mut registry, "m");
    let ledger = &mut Ledger::default();
    registry.alias(ledger, &name, "champion", 1).unwrap();
    assert!(matches!(registry.removable(&"m@1".parse().unwrap()), Err(Refusal::Conflict(_))));
    let doomed = registry.removable(&"m@2".parse().unwrap()).unwrap();
    assert_eq!(registry.remove(ledger, &name, &doomed).removed.len(), 1);
    assert!(matches!(registry.removable(&"m".parse().unwrap()), Err(Refusal::Conflict(_))));
    registry.unalias(ledger, &name, "champion").unwrap();
    let doomed = registry.removable(&"m".parse().unwrap()).unwrap();
    registry.remove(ledger, &name, &doomed);
    assert!(found(&registry, "m").starts_with("there is no model `m`"));
    assert_eq!(publish(&mut registry, "m"), "m@3");
    assert!(found(&registry, "m@champion").contains("no alias `champion`"));
}
