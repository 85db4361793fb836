//! What `evaluate --captured` found out, for people and for programs.

use serde_json::{Value, json};
use shardmill_common::units::show_count;

use super::evaluate::{tables, to_json};
use crate::cli::Context;
use crate::error::CliError;
use crate::jobs;
use crate::table::Table;
use shardmill_flows::evaluate_captured::{Asked, Findings, One};
use shardmill_flows::text;

pub fn report(context: &Context, asked: &Asked, found: &Findings) -> Result<(), CliError> {
    let seconds = context.out.elapsed();
    context.out.result(findings_to_json(asked, found, seconds), || summary(asked, found, seconds))?;
    for One { evaluation, plots, .. } in &found.evaluations {
        context.out.line("")?;
        let mut head = Table::pairs();
        if let Some(served) = &evaluation.served {
            head.pair("variant", &served.variant);
        }
        head.pair("model", evaluation.model.to_string());
        head.pair("rows", show_count(evaluation.rows));
        head.pair("rows skipped", show_count(evaluation.rows_skipped));
        for plot in plots {
            head.pair("picture", plot.display().to_string());
        }
        context.out.line(&head.to_string())?;
        tables(context, evaluation)?;
    }
    for notice in &found.notices {
        context.out.notice(notice);
    }
    if found.without_label > 0 {
        context.out.hint(&format!("rows without a label have none in {}", found.labelled));
    }
    Ok(())
}

fn summary(asked: &Asked, found: &Findings, seconds: f64) -> Table {
    let mut table = Table::pairs();
    table.pair("endpoint", asked.endpoint.to_string());
    table.pair("captured", found.captured.to_string());
    table.pair("labels", found.labels.to_string());
    table.pair("labelled", found.labelled.to_string());
    table.pair("rows with a label", show_count(found.with_label));
    table.pair("rows without a label", show_count(found.without_label));
    table.pair("labels without a row", show_count(found.unused_labels));
    table.pair("evaluations", show_count(found.evaluations.len() as u64));
    table.pair("time", text::seconds(seconds));
    table
}

fn findings_to_json(asked: &Asked, found: &Findings, seconds: f64) -> Value {
    let one = |one: &One| to_json(&one.status, &one.evaluation, &one.plots, jobs::seconds_of(&one.status));
    json!({
        "endpoint": asked.endpoint,
        "captured": found.captured,
        "labels": found.labels,
        "labelled": found.labelled,
        "rows_with_label": found.with_label,
        "rows_without_label": found.without_label,
        "labels_without_row": found.unused_labels,
        "evaluations": found.evaluations.iter().map(one).collect::<Vec<_>>(),
        "notices": found.notices,
        "seconds": text::round(seconds),
    })
}
