//! Cleaning rules: what `rules.toml` may say, read with the line of every mistake.

use serde::{Deserialize, Serialize};

/// The rules of one file, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleSet {
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// `1 trim`: the rule's place (from 1) and operation; names its counters.
    pub label: String,
}

impl Rule {
    /// Whether it must know something of the whole dataset before it can be applied.
    pub fn needs_statistics(&self) -> bool {
        false
    }
}

/// What a rule needed to know of the whole dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleStatistics {}
