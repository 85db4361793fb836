//! An evaluation as people read it.

use std::path::PathBuf;

use shardmill_common::model::Evaluation;
use shardmill_common::status::JobStatus;
use shardmill_common::units::show_count;
use shardmill_flows::text::{self, class_name};

use super::model_text::short;
use crate::table::Table;

/// Classes by class and matrices of more classes than these are for programs.
const CLASSES: usize = 40;
const MATRIX: usize = 15;

/// Names of classes in the head of a matrix are clipped.
const NAME: usize = 16;

/// What matters most comes first; metrics that are not named here follow by name.
const ORDER: [&str; 16] = [
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "pr_auc",
    "average_precision",
    "log_loss",
    "brier",
    "r2",
    "rmse",
    "mae",
    "mse",
    "max_error",
    "explained_variance",
    "inertia",
];

pub fn summary(status: &JobStatus, evaluation: &Evaluation, plots: &[PathBuf], seconds: f64) -> Table {
    let mut table = Table::pairs();
    table.pair("job", format!("{} ({})", status.job, status.kind));
    table.pair("model", evaluation.model.to_string());
    table.pair("dataset", evaluation.data.to_string());
    if let Some(served) = &evaluation.served {
        table.pair("served by", format!("variant {} of endpoint {}", served.variant, served.endpoint));
    }
    if let Some(label) = &evaluation.label {
        table.pair("label", label);
    }
    table.pair("rows", show_count(evaluation.rows));
    table.pair("rows skipped", show_count(evaluation.rows_skipped));
    for (counter, n) in status.counters.in_order() {
        // Each reason for which rows were skipped, and each column that had values training did not see.
        if let (group, Some(entry)) = counter.parts() {
            table.pair(&format!("{}: {entry}", group.replace('_', " ")), show_count(n));
        }
    }
    for plot in plots {
        table.pair("picture", plot.display().to_string());
    }
    table.pair("time", text::seconds(seconds));
    table
}

/// All metrics but those of single classes.
pub fn metrics(evaluation: &Evaluation) -> Table {
    let mut all: Vec<(&String, f64)> =
        evaluation.metrics.iter().filter(|(name, _)| !name.contains('/')).map(|(name, x)| (name, *x)).collect();
    all.sort_by_key(|(name, _)| ORDER.iter().position(|n| n == name).unwrap_or(ORDER.len()));
    let mut table = Table::new(&["metric", ">value"]);
    for (name, value) in all {
        table.row([name.as_str(), &short(value)]);
    }
    table
}

/// Metrics class by class; two classes say all in one row of each metric.
pub fn classes(evaluation: &Evaluation) -> Option<Table> {
    if !(3..=CLASSES).contains(&evaluation.classes.len()) {
        return None;
    }
    let columns = ["precision", "recall", "f1", "roc_auc"];
    let mut table = Table::new(&["class", ">rows", ">precision", ">recall", ">f1", ">roc_auc"]);
    for (n, class) in evaluation.classes.iter().enumerate() {
        let rows: u64 = evaluation.confusion_matrix.get(n).into_iter().flatten().sum();
        let numbers = columns
            .iter()
            .map(|name| evaluation.metrics.get(&format!("{name}/{class}")).map(|x| short(*x)).unwrap_or_default());
        table.row([class_name(&class.to_string()), show_count(rows)].into_iter().chain(numbers));
    }
    Some(table)
}

pub fn confusion(evaluation: &Evaluation) -> Option<Table> {
    if !(1..=MATRIX).contains(&evaluation.classes.len()) {
        return None;
    }
    let mut head = vec!["actual ↓ predicted →".to_owned()];
    head.extend(evaluation.classes.iter().map(|c| text::clip_middle(&class_name(&c.to_string()), NAME)));
    let mut table =
        Table::of_columns(head, std::iter::once(false).chain(evaluation.classes.iter().map(|_| true)).collect());
    for (class, row) in evaluation.classes.iter().zip(&evaluation.confusion_matrix) {
        table.row(std::iter::once(class_name(&class.to_string())).chain(row.iter().map(|n| show_count(*n))));
    }
    Some(table)
}

/// Why metrics are absent.
pub fn undefined(evaluation: &Evaluation) -> Vec<String> {
    let has = |name: &str| evaluation.metrics.contains_key(name);
    let mut notices = Vec::new();
    if evaluation.classes.len() > 1 {
        let absent: Vec<&str> = ["roc_auc", "pr_auc", "average_precision"].into_iter().filter(|n| !has(n)).collect();
        if !absent.is_empty() {
            notices.push(format!("{} not defined here: {}", listed(&absent), one_sided(evaluation)));
        }
    } else if evaluation.label.is_some() && evaluation.classes.is_empty() && !has("r2") {
        notices.push("r2 is not defined here: there is one row".to_owned());
    }
    notices
}

fn listed(names: &[&str]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

fn one_sided(evaluation: &Evaluation) -> String {
    let with_rows = |row: &Vec<u64>| row.iter().any(|n| *n > 0);
    let rows = evaluation.classes.iter().zip(&evaluation.confusion_matrix);
    let (there, missing): (Vec<_>, Vec<_>) = rows.partition(|(_, row)| with_rows(row));
    match (there.as_slice(), missing.as_slice()) {
        ([(class, _)], _) => format!("every label is `{class}`"),
        (_, [(class, _)]) => format!("no label is `{class}`"),
        (_, missing) => format!("{} classes are not among the labels", missing.len()),
    }
}

#[cfg(test)]
pub fn sample() -> Evaluation {
    serde_json::from_value(serde_json::json!({
        "model": "churn@3", "data": "test@1", "label": "y", "rows": 6, "rows_skipped": 1,
        "metrics": {"accuracy": 0.5, "brier": 0.25, "roc_auc": 0.75, "pr_auc": 0.7, "average_precision": 0.7},
        "classes": [0, 1], "confusion_matrix": [[2, 1], [2, 1]],
        "calibration": [{"from": 0.2, "to": 0.3, "rows": 6, "predicted": 0.25, "observed": 0.5}],
        "roc": [{"class": "1", "false_positive_rate": [0.0, 1.0], "true_positive_rate": [0.0, 1.0]}],
        "job": "j1", "created": "2026-01-01T00:00:00.000Z",
    }))
    .unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_common::model::ClassValue;

    #[test]
    fn tables_show_what_matters_first() {
        let text = metrics(&sample()).to_string();
        assert!(text.find("accuracy") < text.find("roc_auc") && text.find("roc_auc") < text.find("brier"), "{text}");
        assert!(text.contains("0.750000"), "{text}");
        let matrix = confusion(&sample()).unwrap().to_string();
        assert!(matrix.contains("predicted"), "{matrix}");
        assert!(classes(&sample()).is_none());
    }

    #[test]
    fn a_metric_that_is_absent_is_explained() {
        assert!(undefined(&sample()).is_empty());
        let mut one = sample();
        one.metrics.remove("roc_auc");
        one.confusion_matrix = vec![vec![0, 0], vec![4, 2]];
        assert_eq!(undefined(&one), ["roc_auc is not defined here: every label is `1`"]);
        let mut three = sample();
        three.metrics.retain(|name, _| name == "accuracy");
        three.classes.push(ClassValue::Int64(2));
        three.confusion_matrix = vec![vec![1, 0, 0], vec![0, 1, 0], vec![0, 0, 0]];
        assert_eq!(undefined(&three), ["roc_auc, pr_auc, average_precision are not defined here: no label is `2`"]);
    }
}
