//! `model compare`: versions side by side.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::{Map, Value, json};
use shardmill_common::model::{Evaluation, ModelDetail, ModelRef};
use shardmill_common::name::DatasetRef;
use shardmill_common::units::show_count;

use super::model_text::{Learnt, short};
use crate::cli::Context;
use crate::error::CliError;
use crate::table::Table;
use shardmill_client::Client;

/// Coefficients that are listed: those that differ most.
const COEFFICIENTS: usize = 20;

#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// Two versions or more, each NAME, NAME@VERSION or NAME@ALIAS
    #[arg(required = true, num_args = 2.., value_name = "MODEL")]
    models: Vec<ModelRef>,
}

pub async fn run(context: &Context, client: &Client, args: CompareArgs) -> Result<(), CliError> {
    let mut details = Vec::with_capacity(args.models.len());
    for model in &args.models {
        details.push(client.model_detail(model).await?);
    }
    let comparison = Comparison::of(&details);
    context.out.result(comparison.to_json(&details), || comparison.summary(&details))?;
    if context.out.json {
        return Ok(());
    }
    if !comparison.coefficients.is_empty() {
        context.out.line(&comparison.coefficient_table(&details).to_string())?;
    }
    match &comparison.dataset {
        Some(data) => context.out.line(&format!("metrics are from {data}, the latest data that all were evaluated on")),
        None if comparison.evaluations.iter().any(Option::is_some) => {
            context.out.line("no data was used to evaluate all of them: metrics are from the data named above each")
        }
        None => context.out.line("none was evaluated yet: `shardmill evaluate` does"),
    }
}

/// A coefficient that is not the same in all versions; `None` where a version has no such feature.
#[derive(Debug, PartialEq)]
struct Difference {
    feature: String,
    /// The class whose coefficient it is, as the table says it.
    of: String,
    values: Vec<Option<f64>>,
    /// The largest less the smallest, an absent one taken as 0.
    difference: f64,
}

struct Comparison {
    /// What all were evaluated on.
    dataset: Option<DatasetRef>,
    /// Of each version the evaluation whose metrics are compared.
    evaluations: Vec<Option<Evaluation>>,
    /// Options that differ, by their path in the specification.
    options: BTreeMap<String, Vec<Value>>,
    coefficients: Vec<Difference>,
}

impl Comparison {
    fn of(details: &[ModelDetail]) -> Self {
        let dataset = common_dataset(details);
        let pick = |d: &ModelDetail| {
            d.evaluations.iter().rev().find(|e| dataset.as_ref().is_none_or(|data| e.data == *data)).cloned()
        };
        let evaluations = details.iter().map(pick).collect();
        Self { evaluations, options: differing_options(details), coefficients: differences(details), dataset }
    }

    fn metric_names(&self) -> BTreeSet<&String> {
        self.evaluations.iter().flatten().flat_map(|e| e.metrics.keys()).collect()
    }

    fn metric(&self, name: &str) -> Vec<Option<f64>> {
        self.evaluations.iter().map(|e| e.as_ref().and_then(|e| e.metrics.get(name).copied())).collect()
    }

    fn to_json(&self, details: &[ModelDetail]) -> Value {
        let model = |(d, e): (&ModelDetail, &Option<Evaluation>)| {
            json!({
                "model": d.model.reference(), "algorithm": d.model.algorithm, "data": d.model.data, "rows": d.model.data.is_some().then_some(d.model.training.rows),
                "aliases": d.aliases, "created": d.model.created, "evaluated_on": e.as_ref().map(|e| &e.data),
                "metrics": e.as_ref().map(|e| json!(e.metrics)).unwrap_or_else(|| json!({})),
            })
        };
        let metrics: Map<String, Value> =
            self.metric_names().into_iter().map(|name| (name.clone(), json!(self.metric(name)))).collect();
        let coefficient =
            |d: &Difference| json!({"feature": d.feature, "of": d.of, "values": d.values, "difference": d.difference});
        json!({
            "models": details.iter().zip(&self.evaluations).map(model).collect::<Vec<_>>(),
            "evaluated_on": self.dataset,
            "options": self.options,
            "metrics": metrics,
            "coefficients": self.coefficients.iter().map(coefficient).collect::<Vec<_>>(),
        })
    }

    fn summary(&self, details: &[ModelDetail]) -> Table {
        let mut table = columns_of("", details, details.len());
        let mut row = |name: &str, cells: Vec<String>| table.row(std::iter::once(name.to_owned()).chain(cells));
        row("algorithm", details.iter().map(|d| d.model.algorithm.clone()).collect());
        row("data", details.iter().map(|d| d.model.origin()).collect());
        row(
            "rows",
            details
                .iter()
                .map(|d| d.model.data.as_ref().map(|_| show_count(d.model.training.rows)).unwrap_or_default())
                .collect(),
        );
        row("created", details.iter().map(|d| d.model.created.to_string()).collect());
        for (option, values) in &self.options {
            row(option, values.iter().map(|v| if v.is_null() { String::new() } else { v.to_string() }).collect());
        }
        if self.evaluations.iter().any(Option::is_some) {
            let on = |e: &Option<Evaluation>| e.as_ref().map(|e| e.data.to_string()).unwrap_or_default();
            row("evaluated on", self.evaluations.iter().map(on).collect());
        }
        for name in self.metric_names() {
            row(name, self.metric(name).into_iter().map(|x| x.map(short).unwrap_or_default()).collect());
        }
        table
    }

    fn coefficient_table(&self, details: &[ModelDetail]) -> Table {
        let mut table = columns_of("coefficient", details, details.len() + 1);
        for d in &self.coefficients {
            let name = if d.of == "coefficient" { d.feature.clone() } else { format!("{} ({})", d.feature, d.of) };
            let values = d.values.iter().map(|x| x.map(short).unwrap_or_default());
            table.row(std::iter::once(name).chain(values).chain([short(d.difference)]));
        }
        table
    }
}

/// A name, a column each version, and with one column more their difference.
fn columns_of(first: &str, details: &[ModelDetail], numbers: usize) -> Table {
    let models = details.iter().map(|d| d.model.reference().to_string());
    let difference = (numbers > details.len()).then(|| "difference".to_owned());
    let names: Vec<String> = std::iter::once(first.to_owned()).chain(models).chain(difference).collect();
    let right = (0..names.len()).map(|at| at > 0).collect();
    Table::of_columns(names, right)
}

/// The dataset version that all were evaluated on, the one that was used last.
fn common_dataset(details: &[ModelDetail]) -> Option<DatasetRef> {
    let (first, others) = details.split_first()?;
    let by_all = |e: &&Evaluation| others.iter().all(|d| d.evaluations.iter().any(|o| o.data == e.data));
    first.evaluations.iter().filter(by_all).max_by_key(|e| e.created).map(|e| e.data.clone())
}

/// `preparation.standardise` and its like.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(all) if !all.is_empty() => {
            for (name, inner) in all {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, inner, into);
            }
        }
        other => {
            into.insert(path.to_owned(), other.clone());
        }
    }
}

fn differing_options(details: &[ModelDetail]) -> BTreeMap<String, Vec<Value>> {
    let options = |d: &ModelDetail| {
        let mut flat = BTreeMap::new();
        if let Ok(Value::Object(mut spec)) = serde_json::to_value(&d.model.spec) {
            // Shown elsewhere, or no options.
            ["input", "model", "algorithm", "base"].iter().for_each(|name| drop(spec.remove(*name)));
            flatten("", &Value::Object(spec), &mut flat);
        }
        flat
    };
    let all: Vec<BTreeMap<String, Value>> = details.iter().map(options).collect();
    let names: BTreeSet<&String> = all.iter().flat_map(|o| o.keys()).collect();
    let values = |name: &String| all.iter().map(|o| o.get(name).cloned().unwrap_or_default()).collect::<Vec<_>>();
    let pairs = names.into_iter().map(|name| (name.clone(), values(name)));
    pairs.filter(|(_, values)| values.iter().any(|v| Some(v) != values.first())).collect()
}

/// Coefficients, means or centres of the same name, the largest differences first.
fn differences(details: &[ModelDetail]) -> Vec<Difference> {
    let mut values: BTreeMap<(String, String), Vec<Option<f64>>> = BTreeMap::new();
    for (at, detail) in details.iter().enumerate() {
        let learnt = Learnt::of(&detail.model);
        for (of, numbers) in learnt.columns {
            for (feature, x) in learnt.features.iter().zip(numbers) {
                let slots = values.entry((feature.clone(), of.clone())).or_insert_with(|| vec![None; details.len()]);
                if let Some(slot) = slots.get_mut(at) {
                    *slot = Some(x);
                }
            }
        }
    }
    let mut all: Vec<Difference> = values
        .into_iter()
        .map(|((feature, of), values)| {
            let numbers = || values.iter().map(|x| x.unwrap_or(0.0));
            let difference = numbers().fold(f64::NEG_INFINITY, f64::max) - numbers().fold(f64::INFINITY, f64::min);
            Difference { feature, of, values, difference }
        })
        .filter(|d| d.difference != 0.0)
        .collect();
    all.sort_by(|a, b| b.difference.total_cmp(&a.difference));
    all.truncate(COEFFICIENTS);
    all
}

#[cfg(test)]
#[path = "model_compare_tests.rs"]
mod tests;
