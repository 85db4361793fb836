//! `dataset list|show|head|...|rm`: the catalog's verbs, and those that look at data.

use clap::Subcommand;
use serde_json::json;
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::units::{show_bytes, show_count};

use super::{dataset_describe, dataset_head, dataset_sample, dataset_show, dataset_values, dataset_versions, export};
use crate::cli::Context;
use crate::error::CliError;
use crate::session;
use crate::table::Table;
use shardmill_client::Client;

#[derive(Clone, Debug, Subcommand)]
pub enum DatasetCommand {
    /// List the datasets, each with its latest version
    List,
    /// Show a version's columns and size, and the other versions
    Show {
        /// NAME or NAME@VERSION
        dataset: DatasetRef,
    },
    /// Show the first rows
    Head(dataset_head::HeadArgs),
    /// Show the last rows
    Tail(dataset_sample::TailArgs),
    /// Show some rows by chance
    Sample(dataset_sample::SampleArgs),
    /// Show the values of a column, the most frequent first
    Values(dataset_values::ValuesArgs),
    /// Show what differs between two versions: columns, types, rows and sizes
    Diff {
        /// NAME or NAME@VERSION
        before: DatasetRef,
        /// NAME or NAME@VERSION
        after: DatasetRef,
    },
    /// Show what versions take on disk, each alone and together
    Du {
        /// NAME or NAME@VERSION [default: all]
        dataset: Option<DatasetRef>,
    },
    /// Describe what columns hold: nulls, different values, means, quantiles, frequent values, and a picture
    Describe(dataset_describe::DescribeArgs),
    /// Write a version to a file, a folder or standard output
    Export(export::ExportArgs),
    /// Give a dataset another name; nothing is copied
    Rename { from: DatasetName, to: DatasetName },
    /// Remove a version, or with a bare name the dataset; records stay
    Rm {
        /// NAME or NAME@VERSION
        dataset: DatasetRef,
    },
}

impl DatasetCommand {
    pub async fn run(self, context: &Context) -> Result<(), CliError> {
        let catalog = match self {
            DatasetCommand::Export(args) => return export::run(context, args).await,
            DatasetCommand::Head(args) => return dataset_head::run(context, args).await,
            DatasetCommand::Describe(args) => return dataset_describe::run(context, args).await,
            DatasetCommand::Tail(args) => return dataset_sample::tail(context, args).await,
            DatasetCommand::Sample(args) => return dataset_sample::sample(context, args).await,
            DatasetCommand::Values(args) => return dataset_values::run(context, args).await,
            other => other,
        };
        session::with(context, async |s| match catalog {
            DatasetCommand::List => list(context, &s.client).await,
            DatasetCommand::Show { dataset } => dataset_show::show(context, &s.client, &dataset).await,
            DatasetCommand::Diff { before, after } => dataset_versions::diff(context, &s.client, &before, &after).await,
            DatasetCommand::Du { dataset } => dataset_versions::du(context, &s.client, dataset.as_ref()).await,
            // These went their own way.
            DatasetCommand::Head(_)
            | DatasetCommand::Tail(_)
            | DatasetCommand::Sample(_)
            | DatasetCommand::Values(_)
            | DatasetCommand::Describe(_)
            | DatasetCommand::Export(_) => Ok(()),
            DatasetCommand::Rename { from, to } => rename(context, &s.client, &from, &to).await,
            DatasetCommand::Rm { dataset } => remove(context, &s.client, &dataset).await,
        })
        .await
    }
}

async fn list(context: &Context, client: &Client) -> Result<(), CliError> {
    let all = client.datasets().await?;
    context.out.result(json!({"datasets": all}), || {
        let mut table =
            Table::new(&["dataset", ">rows", ">columns", ">size", ">shards", ">replicas", ">versions", "created"]);
        for d in &all {
            table.row([
                d.dataset.to_string(),
                show_count(d.rows),
                show_count(d.columns),
                show_bytes(d.bytes),
                show_count(d.shards),
                show_count(d.replicas.into()),
                show_count(d.versions.into()),
                d.created.to_string(),
            ]);
        }
        table
    })
}

async fn rename(context: &Context, client: &Client, from: &DatasetName, to: &DatasetName) -> Result<(), CliError> {
    client.rename(from, to).await?;
    context.out.result(json!({"from": from, "to": to}), || {
        let mut table = Table::pairs();
        table.pair("renamed", format!("{from} → {to}"));
        table
    })
}

async fn remove(context: &Context, client: &Client, dataset: &DatasetRef) -> Result<(), CliError> {
    let removed = client.remove(dataset).await?;
    context.out.result(json!({"removed": removed}), || {
        let mut table = Table::new(&["removed"]);
        for version in &removed {
            table.row([version.to_string()]);
        }
        table
    })
}
