//! `record list|show`: what each job read, did and made. Records outlive the data they describe.

use clap::Subcommand;
use serde_json::{Value, json};
use shardmill_client::Client;
use shardmill_common::ids::JobId;
use shardmill_common::name::DatasetRef;
use shardmill_common::record::{Ending, Record};
use shardmill_common::units::{show_bytes, show_count};
use shardmill_flows::text;

use super::common::{PageArgs, remark};
use crate::cli::Context;
use crate::error::CliError;
use crate::session;
use crate::table::Table;

#[derive(Clone, Debug, Subcommand)]
pub enum RecordCommand {
    /// List the records, newest first
    List(PageArgs),
    /// Show all that is known of one job
    Show {
        /// The job, such as j12
        job: JobId,
    },
}

impl RecordCommand {
    pub async fn run(self, context: &Context) -> Result<(), CliError> {
        session::with(context, async |s| match self {
            RecordCommand::List(page) => list(context, &s.client, &page).await,
            RecordCommand::Show { job } => show(context, &s.client, job).await,
        })
        .await
    }
}

const fn ending(record: &Record) -> &'static str {
    match record.ending {
        Ending::Done => "done",
        Ending::Failed => "failed",
        Ending::Cancelled => "cancelled",
    }
}

fn joined(refs: &[DatasetRef]) -> String {
    refs.iter().map(DatasetRef::to_string).collect::<Vec<_>>().join(", ")
}

async fn list(context: &Context, client: &Client, args: &PageArgs) -> Result<(), CliError> {
    let page = client.records(args.page()).await?;
    let object = json!({"records": page.items, "damaged": page.damaged, "next": page.next});
    context.out.result(object, || {
        let mut table = Table::new(&["job", "kind", "end", "inputs", "outputs", ">rows", "finished", ">time", "who"]);
        for r in &page.items {
            let datasets = r.outputs.iter().map(|o| o.dataset.to_string());
            let models = r.model.iter().map(|m| format!("model {m}"));
            let metrics = r.evaluation.iter().map(|e| format!("metrics of {}", e.model));
            let outputs: Vec<String> = datasets.chain(models).chain(metrics).collect();
            let rows = r.outputs.first().map(|o| o.rows).or(r.evaluation.as_ref().map(|e| e.rows));
            let inputs = match r.sources.len() {
                0 => joined(&r.inputs),
                n => format!("{} source(s)", show_count(n as u64)),
            };
            table.row([
                r.job.to_string(),
                r.kind.clone(),
                ending(r).to_owned(),
                inputs,
                outputs.join(", "),
                rows.map(show_count).unwrap_or_default(),
                r.finished.to_string(),
                text::seconds(r.finished.seconds_since(r.submitted)),
                r.who.clone(),
            ]);
        }
        table
    })?;
    remark(context, &page);
    Ok(())
}

async fn show(context: &Context, client: &Client, job: JobId) -> Result<(), CliError> {
    let record = client.record(job).await?;
    let object = serde_json::to_value(&record).map_err(|e| CliError::failed(format!("cannot show the record: {e}")))?;
    let parameters = parameters(&object);
    context.out.result(object, || summary(&record))?;
    if !record.sources.is_empty() {
        context.out.line(&sources(&record).to_string())?;
    }
    if !record.counters.0.is_empty() {
        let mut table = Table::new(&["counter", ">value"]);
        for (counter, n) in record.counters.in_order() {
            table.row([&*counter.name(), &show_count(n)]);
        }
        context.out.line(&table.to_string())?;
    }
    context.out.line(&format!("parameters: {parameters}"))
}

/// The parameters without the sources, which have a table of their own, and without what was not given.
fn parameters(record: &Value) -> String {
    let Some(Value::Object(all)) = record.get("parameters") else { return "{}".to_owned() };
    let mut kept = all.clone();
    kept.retain(|name, value| !matches!(name.as_str(), "sources" | "chunks" | "base" | "kind") && !value.is_null());
    // JSON escapes control characters itself, and a pretty object of many lines is easiest to read.
    serde_json::to_string_pretty(&kept).unwrap_or_default()
}

fn summary(record: &Record) -> Table {
    let mut table = Table::pairs();
    table.pair("job", format!("{} ({})", record.job, record.kind));
    table.pair("end", ending(record));
    if let Some(error) = &record.error {
        table.pair("error", error);
    }
    if !record.inputs.is_empty() {
        table.pair("inputs", joined(&record.inputs));
    }
    for o in &record.outputs {
        let size = format!("{} rows, {}, {} shard(s)", show_count(o.rows), show_bytes(o.bytes), show_count(o.shards));
        table.pair("output", format!("{}: {size}", o.dataset));
    }
    if let Some(model) = &record.model {
        table.pair("output", format!("model {model}"));
    }
    if let Some(evaluation) = &record.evaluation {
        table.pair(
            "output",
            format!("metrics of model {}, over {} rows", evaluation.model, show_count(evaluation.rows)),
        );
    }
    table.pair("who", &record.who);
    table.pair("submitted", record.submitted.to_string());
    table.pair("started", record.started.to_string());
    table.pair("finished", record.finished.to_string());
    table.pair("time", text::seconds(record.finished.seconds_since(record.submitted)));
    table.pair("program", &record.program);
    table
}

fn sources(record: &Record) -> Table {
    let mut table = Table::new(&["source", "location", ">size", "modified", "xxh3-128", ">rows"]);
    for s in &record.sources {
        table.row([
            s.name.clone(),
            s.location.clone(),
            show_bytes(s.size),
            s.modified.map(|m| m.to_string()).unwrap_or_default(),
            s.checksum.clone(),
            s.rows.map(show_count).unwrap_or_default(),
        ]);
    }
    table
}
