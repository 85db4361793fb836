//! `model show`: how a version was trained, what it learnt, and how well it did.

use clap::Args;
use clap::builder::FalseyValueParser;
use shardmill_common::model::{Evaluation, Model, ModelDetail, ModelRef, Training};
use shardmill_common::units::{show_bytes, show_count};

use super::model_options::options;
use super::model_text::{Learnt, short};
use crate::cli::Context;
use crate::error::CliError;
use crate::table::{LINE_BREAK, Table};
use shardmill_client::Client;
use shardmill_flows::model_export::plain_object;
use shardmill_flows::text::class_name;

/// Features, and classes or centres, that are shown without --all.
const ROWS: usize = 40;
const COLUMNS: usize = 8;
/// The latest evaluations that are shown.
const EVALUATIONS: usize = 4;

#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// NAME, NAME@VERSION or NAME@ALIAS
    model: ModelRef,
    /// Show every coefficient
    #[arg(long, env = "SHARDMILL_MODEL_SHOW_ALL", value_parser = FalseyValueParser::new())]
    all: bool,
}

pub async fn run(context: &Context, client: &Client, args: ShowArgs) -> Result<(), CliError> {
    let detail = client.model_detail(&args.model).await?;
    let object = plain_object(&detail).map_err(CliError::failed)?;
    context.out.result(object, || summary(&detail))?;
    if context.out.json {
        return Ok(());
    }
    if let Some(spec) = &detail.model.spec {
        context.out.line(&options(spec).to_string())?;
        coefficients(context, &detail.model, args.all)?;
    }
    if !detail.evaluations.is_empty() {
        context.out.line(&metrics(&detail.evaluations).to_string())?;
    }
    Ok(())
}

fn summary(detail: &ModelDetail) -> Table {
    let model = &detail.model;
    let training = &model.training;
    let mut table = Table::pairs();
    table.pair("model", model.reference().to_string());
    if !detail.aliases.is_empty() {
        table.pair("aliases", detail.aliases.join(", "));
    }
    table.pair("algorithm", &model.algorithm);
    if let Some(data) = &model.data {
        table.pair("data", data.to_string());
    }
    if let Some(graph) = model.graph() {
        table.pair("file", format!("{} ({}, xxh3-128 {})", graph.file, show_bytes(graph.bytes), graph.digest));
        table.pair("made with", &graph.producer);
        table.wrapped_pair("columns", &model.features.columns().join(", "));
        let passes = model.features.features.iter().all(|f| f.fill.is_some());
        table.pair("missing values", if passes { "go into the graph as NaN" } else { "are refused" });
    }
    if let Some(label) = model.target.label() {
        table.pair("label", format!("{} ({})", label.column, label.dtype));
    }
    let classes = model.target.classes();
    if !classes.is_empty() {
        let names: Vec<String> = classes.iter().take(ROWS).map(|c| class_name(&c.to_string())).collect();
        let more = if classes.len() > ROWS { ", ..." } else { "" };
        table.wrapped_pair("classes", &format!("{}: {}{more}", classes.len(), names.join(", ")));
    }
    let (columns, width) = (model.features.features.len() as u64, model.features.width() as u64);
    table.pair("features", format!("{} from {} column(s)", show_count(width), show_count(columns)));
    if model.spec.is_some() {
        trained(&mut table, training);
    }
    if let Some(parent) = &model.parent {
        table.pair("parent", parent.to_string());
    }
    for notice in &training.notices {
        table.wrapped_pair("notice", notice);
    }
    table.pair("created", model.created.to_string());
    table.pair("made by", format!("{} (shardmill record show {})", model.job, model.job));
    table.pair("program", &model.program);
    table
}

/// How the training went.
fn trained(table: &mut Table, training: &Training) {
    table.pair("rows", show_count(training.rows));
    if training.rows_skipped > 0 {
        table.pair("rows skipped", show_count(training.rows_skipped));
    }
    table.pair("solver", &training.solver);
    let rounds = training.rounds.len();
    let end = if training.converged { "converged" } else { "did not converge" };
    table.pair("rounds", format!("{rounds}, {end}"));
    if let Some(last) = training.rounds.last() {
        table.pair("loss", short(last.loss));
    }
}

fn coefficients(context: &Context, model: &Model, all: bool) -> Result<(), CliError> {
    let learnt = Learnt::of(model);
    let (rows, columns) = if all { (usize::MAX, usize::MAX) } else { (ROWS, COLUMNS) };
    let shown = &learnt.columns[..learnt.columns.len().min(columns)];
    let names = std::iter::once("feature".to_owned()).chain(shown.iter().map(|(name, _)| name.clone()));
    let right = std::iter::once(false).chain(shown.iter().map(|_| true));
    let mut table = Table::of_columns(names.collect(), right.collect());
    for (at, feature) in learnt.features.iter().take(rows).enumerate() {
        let numbers = shown.iter().map(|(_, numbers)| numbers.get(at).map(|x| short(*x)).unwrap_or_default());
        table.row(std::iter::once(feature.clone()).chain(numbers));
    }
    context.out.line(&table.to_string())?;
    let cut = |what: &str, have: usize, limit: usize| {
        (have > limit).then(|| format!("{limit} of {} {what} are shown: --all shows them all", show_count(have as u64)))
    };
    let notes = [cut("rows", learnt.features.len(), rows), cut("columns", learnt.columns.len(), columns)];
    notes.into_iter().flatten().try_for_each(|note| context.out.line(&note))
}

/// A row a metric, a column each of the latest evaluations.
fn metrics(evaluations: &[Evaluation]) -> Table {
    let latest = &evaluations[evaluations.len().saturating_sub(EVALUATIONS)..];
    let head = |e: &Evaluation| {
        let mut head = format!("on {}", e.data);
        if let Some(served) = &e.served {
            head = format!("{head}{LINE_BREAK}served by {} of {}", served.variant, served.endpoint);
        }
        match latest.iter().filter(|other| (&other.data, &other.served) == (&e.data, &e.served)).count() {
            1 => head,
            _ => format!("{head}{LINE_BREAK}{}", e.created),
        }
    };
    let names = std::iter::once("metric".to_owned()).chain(latest.iter().map(head));
    let mut table =
        Table::of_columns(names.collect(), std::iter::once(false).chain(latest.iter().map(|_| true)).collect());
    table.row(std::iter::once("rows".to_owned()).chain(latest.iter().map(|e| show_count(e.rows))));
    let mut known: Vec<&String> = latest.iter().flat_map(|e| e.metrics.keys()).collect();
    known.sort();
    known.dedup();
    for name in known {
        let numbers = latest.iter().map(|e| e.metrics.get(name).map(|x| short(*x)).unwrap_or_default());
        let shown = match name.split_once('/') {
            Some((metric, class)) => format!("{metric}/{}", class_name(class)),
            None => name.clone(),
        };
        table.row(std::iter::once(shown).chain(numbers));
    }
    table
}

#[cfg(test)]
mod tests {
    use shardmill_common::model::Served;

    use super::*;
    use shardmill_flows::model_export::samples;

    #[test]
    fn a_version_is_told_with_its_options_and_metrics() {
        let mut detail = samples::detail("three");
        let shown = summary(&detail).to_string();
        for part in ["three@3", "champion", "3: ant, bee, cow", "people@1", "converged"] {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
        assert!(!shown.contains("null"), "{shown}");
        let evaluation: Evaluation = serde_json::from_value(serde_json::json!({
            "model": "three@3", "data": "test@2", "label": "y", "rows": 1234, "rows_skipped": 0,
            "metrics": {"accuracy": 0.875}, "job": "j9", "created": "2026-01-01T00:00:00.000Z",
        }))
        .unwrap();
        detail.evaluations = vec![evaluation; 6];
        let shown = metrics(&detail.evaluations).to_string();
        assert!(shown.contains("2026-01-01T00:00:00.000Z"), "{shown}");
        assert!(shown.contains("on test@2") && shown.contains("0.875000") && shown.contains("1,234"), "{shown}");
        for evaluation in &mut detail.evaluations[1..] {
            let served = Served { endpoint: "bees".parse().unwrap(), variant: evaluation.rows.to_string() };
            evaluation.served = Some(served);
        }
        let shown = metrics(&detail.evaluations[..2]).to_string();
        assert!(shown.contains("served by 1234 of bees") && !shown.contains("2026"), "{shown}");
    }
}
