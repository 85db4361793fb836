//! `dataset export`: a version as CSV, JSON lines, plain lines, Parquet or Arrow, in dataset order.

use std::path::Path;

use clap::Args;
use clap::builder::FalseyValueParser;
use serde_json::json;
use shardmill_common::name::DatasetRef;
use shardmill_common::schema::{DataType, Schema};
use shardmill_common::units::{show_bytes, show_count};

use super::formats::FormatArg;
use crate::cli::Context;
use crate::error::CliError;
use crate::session;
use crate::table::Table;
use shardmill_flows::download::export;
use shardmill_flows::export::{Compression, Format, Settings, Target};
use shardmill_flows::read::arrow_schema;
use shardmill_flows::text;

#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// NAME or NAME@VERSION
    dataset: DatasetRef,
    /// A file, a folder (ending in /), or - for standard output
    #[arg(long, env = "SHARDMILL_EXPORT_TO", value_name = "PATH")]
    to: String,
    /// The format [default: by the extension of --to; csv for folders and standard output]
    #[arg(long, env = "SHARDMILL_EXPORT_FORMAT", value_enum)]
    format: Option<FormatArg>,
    /// Write a folder with one file a shard
    #[arg(long, env = "SHARDMILL_EXPORT_PARTS", value_parser = FalseyValueParser::new())]
    parts: bool,
    /// What stands for null in CSV and TSV [default: nothing; an empty string is written as ""]
    #[arg(long, env = "SHARDMILL_EXPORT_NULL", value_name = "MARK", allow_hyphen_values = true)]
    null: Option<String>,
    /// Replace what exists
    #[arg(long, env = "SHARDMILL_EXPORT_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,
}

/// The format and compression that a choice of format and the name of a file ask for.
pub(super) fn compression_of(format: Option<Format>, target: &Target) -> Result<(Format, Compression), CliError> {
    let Target::File(path) = target else {
        return Ok((format.unwrap_or(Format::Csv), Compression::None));
    };
    let (compression, inner) = Compression::of_name(path);
    let by_name = inner.extension().and_then(|e| e.to_str()).and_then(Format::of_extension);
    let Some(format) = format.or(by_name) else {
        return Err(CliError::usage(format!(
            "cannot tell the format from the name {}: add --format csv, or another that --help names",
            path.display()
        )));
    };
    if compression != Compression::None && !format.is_text() {
        return Err(CliError::usage(format!(
            "{} files are compressed inside: write {} without the last extension",
            format.extension(),
            path.display()
        )));
    }
    Ok((format, compression))
}

pub async fn run(context: &Context, args: ExportArgs) -> Result<(), CliError> {
    if args.parts && args.to == "-" {
        return Err(CliError::usage("--parts writes a folder: give --to a folder, not -"));
    }
    let target = Target::of(&args.to, args.parts);
    let (format, compression) = compression_of(args.format.map(Into::into), &target)?;
    if args.null.as_deref().is_some_and(|n| n.contains(['"', '\n', '\r', ',', '\t'])) {
        return Err(CliError::usage("--null: a mark with quotes, commas, tabs or line breaks could not be read back"));
    }
    target.check(args.force)?;
    let to_stdout = target == Target::Stdout;
    let place = if to_stdout { "-".to_owned() } else { shown_path(&args.to) };
    let (dataset, done) = session::with_own_interrupt(context, async |s| {
        let located = context.interrupt.or_interrupted(async { Ok(s.client.locate(&args.dataset).await?) }).await?;
        let dataset = located.manifest.reference();
        if format == Format::Lines {
            one_text(&dataset, &located.manifest.schema)?;
        }
        let schema = arrow_schema(&located.manifest.schema);
        let settings = Settings { format, compression, null: args.null.unwrap_or_default(), schema };
        let done = export(context, &s.client, located, target, settings).await?;
        Ok((dataset, done))
    })
    .await?;
    if to_stdout {
        return Ok(());
    }
    let object = json!({
        "dataset": dataset, "to": place, "format": format.extension(), "files": done.files, "rows": done.rows,
        "bytes": done.bytes, "seconds": text::round(context.out.elapsed()),
    });
    context.out.result(object, || {
        let mut table = Table::pairs();
        table.pair("dataset", dataset.to_string());
        table.pair("written to", &place);
        table.pair("format", format.extension());
        if done.files != 1 {
            table.pair("files", show_count(done.files));
        }
        table.pair("rows", show_count(done.rows));
        table.pair("size", show_bytes(done.bytes));
        table.pair("time", text::seconds(context.out.elapsed()));
        table
    })
}

/// Only texts can be lines, and only of one column.
fn one_text(dataset: &DatasetRef, schema: &Schema) -> Result<(), CliError> {
    match schema.fields.as_slice() {
        [field] if field.dtype == DataType::String => Ok(()),
        [field] => Err(CliError::usage(format!(
            "--format lines writes text, and the column `{}` of {dataset} is {}: use --format csv",
            field.name, field.dtype
        ))),
        fields => Err(CliError::usage(format!(
            "--format lines writes one column, and {dataset} has {} ({}): use --format csv or tsv",
            fields.len(),
            schema.names_joined()
        ))),
    }
}

pub(super) fn shown_path(to: &str) -> String {
    std::path::absolute(Path::new(to)).map_or_else(|_| to.to_owned(), |p| p.display().to_string())
}
