//! Cleaning: rules are applied to every row where it lies. What a rule must know of the whole dataset is found out before.

use serde::{Deserialize, Serialize};

use super::{Kind, reads, writes};
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::rules::{Rule, RuleSet, RuleStatistics};
use crate::schema::Schema;
use crate::shared::Shared;
use crate::task::{Reporting, ShardInput, Task, TaskRange};

phases! {
    /// The first two come once for each rule that must know all rows.
    pub enum CleanPhase {
        Summarise = "summarise",
        MergeStatistics = "merge statistics",
        Clean = "clean",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CleanSpec {
    pub input: DatasetRef,
    pub output: DatasetName,
    pub rules: RuleSet,
    pub replicas: Option<u32>,
}

impl Kind for CleanSpec {
    reads!(input);
    writes!(output, replicas);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CleanTask {
    /// Neighbouring shards, read as one.
    pub inputs: Vec<ShardInput>,
    /// The schema of the input dataset.
    pub schema: Shared<Schema>,
    pub rules: Shared<Vec<Rule>>,
    /// What the rules before needed to know of the whole dataset: an entry a rule, `None` where nothing was needed.
    pub statistics: Shared<Vec<Option<RuleStatistics>>>,
    /// What the rules probably make of that schema.
    pub expects: Shared<Schema>,
    /// For rejects and messages: the dataset's name and the rows before these shards.
    pub source_name: String,
    pub first_row: u64,
}

/// Applies `rules` but the last, and summarises this shard for the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatisticsTask {
    pub input: ShardInput,
    pub schema: Shared<Schema>,
    pub rules: Shared<Vec<Rule>>,
    pub statistics: Shared<Vec<Option<RuleStatistics>>>,
    /// For messages: what the rows are rows of, and the rows before this shard.
    pub source_name: String,
    pub first_row: u64,
}

/// Combines the summaries of all shards, in shard order, into the statistics that `rule` needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergeStatisticsTask {
    pub runs: TaskRange,
    pub rule: Shared<Rule>,
    /// The map tasks' results, in task order.
    pub partials: Shared<Vec<serde_json::Value>>,
}

impl Task for CleanTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.inputs.iter().collect()
    }

    fn expects(&self) -> Option<&Schema> {
        Some(&self.expects)
    }
}

impl Task for StatisticsTask {
    fn opens(&self) -> Vec<&ShardInput> {
        vec![&self.input]
    }
}

/// What it found of its shard, in a form that only the merging task reads.
impl Reporting for StatisticsTask {
    type Report = serde_json::Value;
}

impl Task for MergeStatisticsTask {
    fn opens(&self) -> Vec<&ShardInput> {
        Vec::new()
    }
}

impl Reporting for MergeStatisticsTask {
    type Report = RuleStatistics;
}
