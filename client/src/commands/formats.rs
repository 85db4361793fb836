//! The formats of files in the words of the command line.

use clap::ValueEnum;
use shardmill_flows::export::Format;
use shardmill_flows::model_export::ModelFormat;

/// The formats of exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// Comma-separated; null is an empty cell, an empty string is ""
    Csv,
    /// Tab-separated, quoted like CSV
    Tsv,
    /// One JSON object a line
    Jsonl,
    /// The texts of a dataset's only column, a line each
    #[value(alias = "text")]
    Lines,
    /// Parquet, compressed with zstd
    Parquet,
    /// Arrow IPC file (Feather 2), compressed with LZ4
    Arrow,
    /// A sheet of an Excel workbook, of up to 1,048,575 rows
    #[value(alias = "excel")]
    Xlsx,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Csv => Format::Csv,
            FormatArg::Tsv => Format::Tsv,
            FormatArg::Jsonl => Format::Jsonl,
            FormatArg::Lines => Format::Lines,
            FormatArg::Parquet => Format::Parquet,
            FormatArg::Arrow => Format::Arrow,
            FormatArg::Xlsx => Format::Xlsx,
        }
    }
}

/// Files that hold a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelFormatArg {
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

impl From<ModelFormatArg> for ModelFormat {
    fn from(format: ModelFormatArg) -> Self {
        match format {
            ModelFormatArg::Onnx => ModelFormat::Onnx,
            ModelFormatArg::Pmml => ModelFormat::Pmml,
            ModelFormatArg::Pfa => ModelFormat::Pfa,
            ModelFormatArg::Mlflow => ModelFormat::Mlflow,
            ModelFormatArg::Json => ModelFormat::Json,
        }
    }
}
