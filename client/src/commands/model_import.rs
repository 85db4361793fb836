//! `model import NAME FILE`: a model that another program trained becomes a version that predicts like those trained here.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::import::ImportSpec;
use shardmill_common::model::{MAX_GRAPH_BYTES, ModelName};
use shardmill_common::units::show_bytes;
use shardmill_serving::model::onnx::{Inspected, Options, inspect};

use super::common::model_name;
use crate::cli::Context;
use crate::error::CliError;
use crate::{jobs, session};
use shardmill_flows::sources::file_location;

/// What a missing value of a feature gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Missing {
    /// Its row is rejected
    Refuse,
    /// It goes into the graph as NaN, which boosted trees are made for
    Nan,
}

#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// What the model is to be called
    #[arg(value_name = "NAME", value_parser = model_name)]
    model: ModelName,
    /// An ONNX file of up to 256 MiB, as skl2onnx and onnxmltools write it
    file: PathBuf,
    /// The columns that go in, in the graph's order [default: the names of the inputs; f0, f1, ... where one takes several]
    #[arg(long, env = "SHARDMILL_MODEL_IMPORT_FEATURES", value_name = "COLUMNS", value_delimiter = ',')]
    features: Option<Vec<String>>,
    /// The column of labels, which `evaluate` compares with [default: label]
    #[arg(long, env = "SHARDMILL_MODEL_IMPORT_LABEL", value_name = "COLUMN")]
    label: Option<String>,
    /// The classes, in the order of the probabilities [default: those that the file names]
    #[arg(long, env = "SHARDMILL_MODEL_IMPORT_CLASSES", value_name = "VALUES", value_delimiter = ',')]
    classes: Option<Vec<String>>,
    /// The output that predicts, where the graph has several
    #[arg(long, env = "SHARDMILL_MODEL_IMPORT_OUTPUT", value_name = "NAME")]
    output: Option<String>,
    /// What a missing value gets [default: nan where the graph is made for it, otherwise refuse]
    #[arg(long, env = "SHARDMILL_MODEL_IMPORT_MISSING", value_enum)]
    missing: Option<Missing>,
}

pub async fn run(context: &Context, args: ImportArgs) -> Result<(), CliError> {
    let bytes = read(&args.file)?;
    let shown = args.file.display().to_string();
    let options = Options {
        file: shown.clone(),
        features: args.features,
        label: args.label,
        classes: args.classes,
        output: args.output,
        missing_as_nan: args.missing.map(|m| m == Missing::Nan),
    };
    let inspecting = tokio::task::spawn_blocking(move || {
        let inspected = inspect(&bytes, &options);
        (bytes, inspected)
    });
    let told = async { inspecting.await.map_err(|e| CliError::failed(format!("{shown} cannot be read: {e}"))) };
    let (bytes, inspected) = context.interrupt.or_interrupted(told).await?;
    let Inspected { graph, features, target, notices } =
        inspected.map_err(|why| CliError::failed(format!("{} cannot be imported: {why}", args.file.display())))?;
    let location = file_location(&args.file);
    let spec = ImportSpec { model: args.model, location, graph, features, target, notices };
    let status = session::with_own_interrupt(context, async |s| {
        let digest = s.client.store_graph(bytes.into()).await?;
        if digest != spec.graph.digest {
            return Err(CliError::failed(format!("{} did not arrive as it was sent: try again", args.file.display())));
        }
        jobs::run(context, &s.client, JobSpec::Import(spec)).await
    })
    .await?;
    jobs::report(context, &status)
}

/// The whole file, unless it is too large.
fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let failed = |e: std::io::Error| CliError::failed(format!("{} cannot be read: {e}", path.display()));
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MAX_GRAPH_BYTES {
        return Err(CliError::failed(format!(
            "{} has {}, and models of up to {} are imported",
            path.display(),
            show_bytes(bytes),
            show_bytes(MAX_GRAPH_BYTES)
        )));
    }
    std::fs::read(path).map_err(failed)
}
