//! `dataset show`: a version's columns and size, and the other versions.

use serde_json::json;
use shardmill_common::manifest::Manifest;
use shardmill_common::name::DatasetRef;
use shardmill_common::units::{show_bytes, show_count};

use crate::cli::Context;
use crate::error::CliError;
use crate::table::Table;
use shardmill_client::Client;

pub async fn show(context: &Context, client: &Client, dataset: &DatasetRef) -> Result<(), CliError> {
    let manifest = client.locate(dataset).await?.manifest;
    let versions = client.versions(&manifest.name).await?;
    let brief = |m: &Manifest| json!({"dataset": m.reference(), "rows": m.rows(), "bytes": m.bytes(), "created": m.created, "job": m.job});
    let object = json!({
        "dataset": manifest.reference(),
        "rows": manifest.rows(),
        "bytes": manifest.bytes(),
        "shards": manifest.shards.len(),
        "replicas": manifest.replicas,
        "created": manifest.created,
        "job": manifest.job,
        "columns": manifest.schema,
        "versions": versions.iter().map(brief).collect::<Vec<_>>(),
    });
    context.out.result(object, || summary(&manifest))?;
    let mut columns = Table::new(&[">#", "column", "type"]);
    for (at, field) in manifest.schema.fields.iter().enumerate() {
        columns.row([(at + 1).to_string().as_str(), &field.name, &field.dtype.to_string()]);
    }
    context.out.line(&columns.to_string())?;
    if versions.len() > 1 {
        let mut table = Table::new(&["version", ">rows", ">size", "created", "made by"]);
        for m in &versions {
            table.row([
                m.reference().to_string(),
                show_count(m.rows()),
                show_bytes(m.bytes()),
                m.created.to_string(),
                m.job.to_string(),
            ]);
        }
        context.out.line(&table.to_string())?;
    }
    Ok(())
}

fn summary(manifest: &Manifest) -> Table {
    let mut table = Table::pairs();
    table.pair("dataset", manifest.reference().to_string());
    table.pair("rows", show_count(manifest.rows()));
    table.pair("size", show_bytes(manifest.bytes()));
    table.pair("shards", format!("{}, {} replica(s)", show_count(manifest.shards.len() as u64), manifest.replicas));
    table.pair("created", manifest.created.to_string());
    table.pair("made by", format!("{} (shardmill record show {})", manifest.job, manifest.job));
    table
}
