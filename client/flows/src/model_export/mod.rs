//! Trained models as files that other programs run: ONNX, PMML, PFA, MLflow folders and plain JSON.
//!
//! Every format takes raw columns by name; the encoder (what fills in for missing values, indicators, scaling, one-hot) is part of
//! the file.

mod columns;
pub mod error;
mod families;
mod files;
mod formulas;
mod mlflow;
mod onnx;
mod pfa;
mod plain;
mod pmml;
// For tests, not behind a feature: the program and its tests share one build.
#[doc(hidden)]
pub mod samples;

use std::path::Path;

use serde_json::Value;
use shardmill_common::model::ModelDetail;

use error::{ModelExportError, Reason};
pub use files::{FileTree, check};
pub use plain::object as plain_object;

/// Files that hold a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelFormat {
    /// One file for onnxruntime and its kin: core operators in float64
    Onnx,
    /// One PMML 4.4 file
    Pmml,
    /// One Portable Format for Analytics document
    Pfa,
    /// A folder that mlflow.pyfunc loads
    Mlflow,
    /// One JSON object with every number, as `model show --json` prints it
    Json,
}

impl ModelFormat {
    pub const fn name(self) -> &'static str {
        match self {
            ModelFormat::Onnx => "onnx",
            ModelFormat::Pmml => "pmml",
            ModelFormat::Pfa => "pfa",
            ModelFormat::Mlflow => "mlflow",
            ModelFormat::Json => "json",
        }
    }

    /// It is a folder of files.
    pub const fn is_folder(self) -> bool {
        matches!(self, ModelFormat::Mlflow)
    }

    /// What a file's name says.
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "onnx" => Some(ModelFormat::Onnx),
            "pmml" | "xml" => Some(ModelFormat::Pmml),
            "pfa" => Some(ModelFormat::Pfa),
            "json" => Some(ModelFormat::Json),
            _ => None,
        }
    }
}

/// The files of `detail` in `format`, in memory. An imported model is written by whoever has its file.
pub fn render(detail: &ModelDetail, format: ModelFormat) -> Result<FileTree, ModelExportError> {
    let model = &detail.model;
    let made = match format {
        ModelFormat::Onnx => onnx::bytes(model).map(FileTree::One),
        ModelFormat::Pmml => pmml::bytes(model).map(FileTree::One),
        ModelFormat::Pfa => pfa::document(model).map(|value| FileTree::One(pretty(&value))),
        ModelFormat::Mlflow => mlflow::files(detail).map(FileTree::Folder),
        ModelFormat::Json => plain::object(detail).map(|value| FileTree::One(pretty(&value))),
    };
    made.map_err(|why| ModelExportError { model: model.reference(), format: format.name(), why })
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
