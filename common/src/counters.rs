//! Counters: sums that tasks report and a job adds up.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::misread::{Misread, kept_as_text};

macro_rules! counters {
    ($($(#[$doc:meta])* $counter:ident = $name:literal,)+; $($(#[$group_doc:meta])* $group:ident = $group_name:literal,)+) => {
        /// What is counted. The text of one of a group is `group/entry`.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Counter {
            $($(#[$doc])* $counter,)+
            $($(#[$group_doc])* $group(String),)+
            /// What a program of a user's counts, by its own group and name.
            Own { group: String, name: String },
        }

        impl Counter {
            /// Its name or its group, and the entry of a group.
            pub fn parts(&self) -> (&str, Option<&str>) {
                match self {
                    $(Counter::$counter => ($name, None),)+
                    $(Counter::$group(entry) => ($group_name, Some(entry)),)+
                    Counter::Own { group, name } => (group, Some(name)),
                }
            }

            fn of(group: &str, entry: Option<&str>) -> Option<Self> {
                Some(match (group, entry) {
                    $(($name, None) => Counter::$counter,)+
                    $(($group_name, Some(entry)) => Counter::$group(entry.to_owned()),)+
                    (group, Some(name)) => Counter::Own { group: group.to_owned(), name: name.to_owned() },
                    (_, None) => return None,
                })
            }
        }
    };
}

counters! {
    Files = "files",
    /// Read and not rejected.
    Rows = "rows",
    RowsIn = "rows_in",
    RowsOut = "rows_out",
    RowsRead = "rows_read",
    RowsUnreadable = "rows_unreadable",
    /// Read although they had too few cells: what lacked is null.
    RowsFilled = "rows_filled",
    /// Read although they had too many cells: what was left out was empty.
    RowsCut = "rows_cut",
    RowsMapped = "rows_mapped",
    RowsCombined = "rows_combined",
    RowsDropped = "rows_dropped",
    RowsChanged = "rows_changed",
    Rejected = "rejected",
    Skipped = "skipped",
    Duplicates = "duplicates",
    Both = "both",
    LeftOnly = "left_only",
    RightOnly = "right_only",
    ShardsIn = "shards_in",
    ShardsOut = "shards_out",
    ;
    /// Cells that a rule changed, by the rule's label.
    CellsChanged = "cells_changed",
    RowsDroppedBy = "rows_dropped",
    RowsRejectedBy = "rows_rejected",
    /// Values that differ between two versions, by column.
    Changed = "changed",
    /// Values that a model does not know, by column.
    UnknownCategories = "unknown_categories",
    /// Rows that were left out, by the reason.
    RowsSkipped = "rows_skipped",
    /// Rows of one of several results, by its name.
    RowsOutTo = "rows_out",
}

impl Counter {
    /// As programs and the journal know it.
    pub fn name(&self) -> Cow<'_, str> {
        match self.parts() {
            (name, None) => Cow::Borrowed(name),
            (group, Some(entry)) => Cow::Owned(format!("{group}/{entry}")),
        }
    }

    fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        let (group, entry) = self.parts();
        group.bytes().chain(entry.into_iter().flat_map(|entry| std::iter::once(b'/').chain(entry.bytes())))
    }
}

/// In the order of their texts.
impl Ord for Counter {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl PartialOrd for Counter {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl FromStr for Counter {
    type Err = Misread;
    fn from_str(text: &str) -> Result<Self, Misread> {
        let (group, entry) = match text.split_once('/') {
            Some((group, entry)) => (group, Some(entry)),
            None => (text, None),
        };
        Counter::of(group, entry).ok_or_else(|| Misread::new(text, "not a counter"))
    }
}

kept_as_text!(Counter);

/// Sums by counter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counters(pub BTreeMap<Counter, u64>);

impl Counters {
    pub fn add(&mut self, counter: Counter, n: u64) {
        let slot = self.0.entry(counter).or_insert(0);
        *slot = slot.saturating_add(n);
    }

    pub fn get(&self, counter: &Counter) -> u64 {
        self.0.get(counter).copied().unwrap_or(0)
    }

    pub fn merge(&mut self, other: &Counters) {
        for (counter, n) in &other.0 {
            // Sums have most counters already: no text is copied for those.
            match self.0.get_mut(counter) {
                Some(slot) => *slot = slot.saturating_add(*n),
                None => self.add(counter.clone(), *n),
            }
        }
    }

    /// Takes away what was merged before.
    pub fn take_away(&mut self, other: &Counters) {
        for (counter, n) in &other.0 {
            if let Some(slot) = self.0.get_mut(counter) {
                *slot = slot.saturating_sub(*n);
            }
        }
    }

    /// Counters and sums as people read them: entries of a group by their number, so that rule 2 comes before rule 10.
    pub fn in_order(&self) -> Vec<(&Counter, u64)> {
        let mut all: Vec<(&Counter, u64)> = self.0.iter().map(|(counter, n)| (counter, *n)).collect();
        all.sort_by_key(|(counter, _)| {
            let (group, entry) = counter.parts();
            let entry = entry.unwrap_or_default();
            let number: u64 = entry.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            (group, number, entry)
        });
        all
    }

    /// The counters as people and programs see them: `{"rows": 3, "cells_changed": {"1 trim": 2}}`. A group that has the name of
    /// a counter, as one of a user's program may, has no place beside it, and is among the counters for people only.
    pub fn to_json(&self) -> serde_json::Value {
        let mut out = serde_json::Map::new();
        for (counter, n) in &self.0 {
            match counter.parts() {
                (name, None) => {
                    out.insert(name.to_owned(), (*n).into());
                }
                (group, Some(entry)) => {
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
        let changed = |label: &str| Counter::CellsChanged(label.to_owned());
        for counter in [Counter::Rows, changed("10 trim"), changed("2 trim")] {
            a.add(counter, 1);
        }
        let names: Vec<Cow<'_, str>> = a.in_order().into_iter().map(|(counter, _)| counter.name()).collect();
        assert_eq!(names, ["cells_changed/2 trim", "cells_changed/10 trim", "rows"]);
    }

    #[test]
    fn sums_add_up_and_groups_nest() {
        let mut a = Counters::default();
        a.add(Counter::Rows, 2);
        a.add(Counter::CellsChanged("1 trim".into()), 5);
        let mut b = a.clone();
        b.merge(&a);
        assert_eq!(b.get(&Counter::Rows), 4);
        b.take_away(&a);
        assert_eq!(b, a);
        b.merge(&a);
        assert_eq!(b.to_json(), serde_json::json!({"rows": 4, "cells_changed": {"1 trim": 10}}));
    }

    #[test]
    fn texts_come_back_in_their_order() {
        let texts = ["both", "rows", "rows_dropped", "rows_dropped/1 range", "rows_in", "words/long/x"];
        let counters: Vec<Counter> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(counters[3], Counter::RowsDroppedBy("1 range".into()));
        assert_eq!(counters[5], Counter::Own { group: "words".into(), name: "long/x".into() });
        assert!(counters.is_sorted());
        for (text, counter) in texts.iter().zip(counters) {
            assert_eq!(counter.name(), *text);
            let json = serde_json::to_string(&counter).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Counter>(&json).unwrap(), counter);
        }
        assert!("nobody".parse::<Counter>().is_err());
    }
}
