//! Versions, aliases and their history.

use shardmill_common::model::example;

use super::*;

fn model(name: &str) -> Model {
    Model { name: name.parse().unwrap(), version: 0, ..example().unwrap() }
}

fn publish(registry: &mut Registry, name: &str) -> String {
    let (changes, numbered) = registry.publish(model(name), JobId(1), Timestamp(2));
    changes.into_iter().for_each(|c| registry.apply(c));
    numbered.reference().to_string()
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
    for version in [1, 2, 2] {
        let change = registry.alias(&name, "champion", version).unwrap();
        registry.apply(change);
    }
    assert_eq!(found(&registry, "m@champion"), "m@2");
    let (change, version) = registry.rollback(&name, "champion").unwrap();
    registry.apply(change);
    assert_eq!(version, 1);
    assert_eq!(found(&registry, "m@champion"), "m@1");
    assert!(registry.rollback(&name, "champion").is_err());
    assert_eq!(found(&registry, "m@champion"), "m@1");
    assert!(registry.alias(&name, "champion", 7).unwrap_err().to_string().contains("are 1, 2"));
}

#[test]
fn what_has_an_alias_is_not_removed_and_numbers_are_not_given_twice() {
    let mut registry = Registry::default();
    let name: ModelName = "m".parse().unwrap();
    publish(&mut registry, "m");
    publish(&mut registry, "m");
    let change = registry.alias(&name, "champion", 1).unwrap();
    registry.apply(change);
    assert!(matches!(registry.remove(&"m@1".parse().unwrap()), Err(Refusal::Conflict(_))));
    let ModelRemoval { changes, removed, .. } = registry.remove(&"m@2".parse().unwrap()).unwrap();
    changes.into_iter().for_each(|c| registry.apply(c));
    assert_eq!(removed.len(), 1);
    assert!(matches!(registry.remove(&"m".parse().unwrap()), Err(Refusal::Conflict(_))));
    let change = registry.unalias(&name, "champion").unwrap();
    registry.apply(change);
    let changes = registry.remove(&"m".parse().unwrap()).unwrap().changes;
    changes.into_iter().for_each(|c| registry.apply(c));
    assert!(found(&registry, "m").starts_with("there is no model `m`"));
    assert_eq!(publish(&mut registry, "m"), "m@3");
    assert!(found(&registry, "m@champion").contains("no alias `champion`"));
}
