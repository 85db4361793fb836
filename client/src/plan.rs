//! How the plan of a job is shown: what it reads, its stages, and what is to be known of it.

use serde_json::{Value, json};
use shardmill_common::status::Explanation;
use shardmill_common::units::{show_bytes, show_count};

use crate::cli::Context;
use crate::error::CliError;
use crate::table::Table;
use shardmill_flows::text;

/// Prints a plan: the object for programs, or tables for people.
pub fn show(context: &Context, plan: &Explanation) -> Result<(), CliError> {
    context.out.result(to_json(plan, context.out.elapsed()), || summary(plan))?;
    context.out.line(&stages(plan).to_string())?;
    for note in &plan.notes {
        context.out.line(&text::escape_lines(note))?;
    }
    context.out.hint("nothing was run");
    Ok(())
}

fn to_json(plan: &Explanation, seconds: f64) -> Value {
    let inputs: Vec<Value> = plan
        .inputs
        .iter()
        .map(|(dataset, rows, bytes)| json!({"dataset": dataset, "rows": rows, "bytes": bytes}))
        .collect();
    json!({
        "dry_run": true, "kind": plan.kind, "inputs": inputs, "outputs": plan.outputs, "stages": plan.stages,
        "notes": plan.notes, "seconds": text::round(seconds),
    })
}

fn summary(plan: &Explanation) -> Table {
    let mut table = Table::pairs();
    table.pair("job", format!("{} (not run)", plan.kind));
    for (dataset, rows, bytes) in &plan.inputs {
        table.pair("reads", format!("{dataset}: {} rows, {}", show_count(*rows), show_bytes(*bytes)));
    }
    for output in &plan.outputs {
        table.pair("writes", output);
    }
    table
}

fn stages(plan: &Explanation) -> Table {
    let mut table = Table::new(&["stage", ">tasks", "what it does"]);
    for stage in &plan.stages {
        // How many follows from what an earlier stage finds.
        let tasks = stage.tasks.map_or_else(|| "?".to_owned(), show_count);
        table.row([stage.name.as_str(), &tasks, &stage.does]);
    }
    table
}
