//! Counters: named sums that tasks report and a job adds up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Named sums. A name with a slash (`cells_changed/2 trim`) is one entry of a group; groups are nested when shown as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counters(pub BTreeMap<String, u64>);

impl Counters {
    pub fn add(&mut self, name: impl Into<String>, n: u64) {
        let slot = self.0.entry(name.into()).or_insert(0);
        *slot = slot.saturating_add(n);
    }

    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub fn merge(&mut self, other: &Counters) {
        for (name, n) in &other.0 {
            // Sums have most names already: no text is copied for those.
            match self.0.get_mut(name) {
                Some(slot) => *slot = slot.saturating_add(*n),
                None => self.add(name.as_str(), *n),
            }
        }
    }

    /// Takes away what was merged before.
    pub fn take_away(&mut self, other: &Counters) {
        for (name, n) in &other.0 {
            if let Some(slot) = self.0.get_mut(name) {
                *slot = slot.saturating_sub(*n);
            }
        }
    }

    /// Names and sums as people read them: entries of a group by their number, so that rule 2 comes before rule 10.
    pub fn in_order(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.0.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        all.sort_by_key(|(name, _)| {
            let (group, entry) = name.split_once('/').unwrap_or((name, ""));
            let number: u64 = entry.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            (group, number, entry)
        });
        all
    }

    /// The counters as people and programs see them: `{"rows": 3, "cells_changed": {"1 trim": 2}}`.
    pub fn to_json(&self) -> serde_json::Value {
        let mut out = serde_json::Map::new();
        for (name, n) in &self.0 {
            match name.split_once('/') {
                None => {
                    out.insert(name.clone(), (*n).into());
                }
                Some((group, entry)) => {
                    let slot = out.entry(group).or_insert_with(|| serde_json::Value::Object(Default::default()));
                    if let serde_json::Value::Object(map) = slot {
                        map.insert(entry.to_owned(), (*n).into());
                    }
                }
            }
        }
        serde_json::Value::Object(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_ordered_by_number() {
        let mut a = Counters::default();
        for name in ["rows", "cells_changed/10 trim", "cells_changed/2 trim"] {
            a.add(name, 1);
        }
        let names: Vec<&str> = a.in_order().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["cells_changed/2 trim", "cells_changed/10 trim", "rows"]);
    }

    #[test]
    fn groups_nest_and_sums_merge() {
        let mut a = Counters::default();
        a.add("rows", 2);
        a.add("cells_changed/1 trim", 5);
        let mut b = a.clone();
        b.merge(&a);
        assert_eq!(b.get("rows"), 4);
        let mut less = b.clone();
        less.take_away(&a);
        assert_eq!(less, a);
        assert_eq!(b.to_json(), serde_json::json!({"rows": 4, "cells_changed": {"1 trim": 10}}));
    }
}
