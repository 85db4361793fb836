//! `model export`: a version as a file that other programs run.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::FalseyValueParser;
use serde_json::json;
use shardmill_common::model::ModelRef;
use shardmill_common::units::show_bytes;

use super::formats::ModelFormatArg;
use crate::cli::Context;
use crate::error::CliError;
use crate::session;
use crate::table::Table;
use shardmill_flows::model_export::{FileTree, ModelFormat, check, render};

#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// NAME, NAME@VERSION or NAME@ALIAS
    model: ModelRef,
    /// A file; for mlflow a folder
    #[arg(long, env = "SHARDMILL_MODEL_EXPORT_TO", value_name = "PATH")]
    to: PathBuf,
    /// The format [default: by the extension of --to]
    #[arg(long, env = "SHARDMILL_MODEL_EXPORT_FORMAT", value_enum)]
    format: Option<ModelFormatArg>,
    /// Replace what exists
    #[arg(long, env = "SHARDMILL_MODEL_EXPORT_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,
}

impl ExportArgs {
    fn format(&self) -> Result<ModelFormat, CliError> {
        self.format.map(Into::into).or_else(|| ModelFormat::of_name(&self.to)).ok_or_else(|| {
            CliError::usage(format!(
                "cannot tell the format from the name {}: add --format onnx, pmml, pfa, mlflow or json",
                self.to.display()
            ))
        })
    }
}

pub async fn run(context: &Context, args: ExportArgs) -> Result<(), CliError> {
    let format = args.format()?;
    check(&args.to, format.is_folder(), args.force)?;
    let (detail, imported) = session::with(context, async |s| {
        let detail = s.client.model_detail(&args.model).await?;
        // What was imported is given back byte for byte.
        let imported = match detail.model.graph().filter(|_| format == ModelFormat::Onnx) {
            Some(graph) => Some(s.client.graph(&graph.digest).await?),
            None => None,
        };
        Ok((detail, imported))
    })
    .await?;
    let tree = match imported {
        Some(bytes) => FileTree::One(bytes),
        None => render(&detail, format)?,
    };
    tree.write(&args.to)?;
    let (model, place) = (detail.model.reference(), shown_path(&args.to));
    let object =
        json!({"model": model, "to": place, "format": format.name(), "files": tree.files(), "bytes": tree.bytes()});
    context.out.result(object, || {
        let mut table = Table::pairs();
        table.pair("model", model.to_string());
        table.pair("written to", &place);
        table.pair("format", format.name());
        table.pair("size", show_bytes(tree.bytes()));
        table
    })
}

fn shown_path(to: &Path) -> String {
    std::path::absolute(to).map_or_else(|_| to.display().to_string(), |p| p.display().to_string())
}
