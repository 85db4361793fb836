//! Why a model cannot be written in a format.

use shardmill_common::model::ModelRef;
use shardmill_common::schema::DataType;

/// A model that a format cannot hold.
#[derive(Debug, thiserror::Error)]
#[error("{model} cannot be written as {format}: {why}")]
pub struct ModelExportError {
    pub model: ModelRef,
    pub format: &'static str,
    pub why: Reason,
}

/// What stands in the way.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error("it was imported from an ONNX file, and only --format onnx gives that back")]
    Imported,
    #[error("it has no classes")]
    NoClasses,
    #[error("it has not two classes")]
    NotTwoClasses,
    #[error("it has no features, so there is nothing to put in (json can hold it)")]
    NoFeatures,
    #[error("column `{column}` is {dtype} but is used as a number")]
    NotANumber { column: String, dtype: DataType },
    #[error("column `{column}` has the category {category}, which a 64-bit float cannot hold (json can)")]
    TooExact { column: String, category: String },
    #[error("column `{column}` has the category `{category}`, which is not a number")]
    CategoryNotANumber { column: String, category: String },
    #[error("its parameters do not fit its features and classes")]
    Parameters,
    #[error("a parameter is not a finite number")]
    NotFinite,
    #[error("a feature has no variance within a class (json can hold it); train with --var-smoothing")]
    NoVariance,
    #[error("XML has no way to write the character {}", .0.escape_unicode())]
    Character(char),
    #[error("XML could not be written: {0}")]
    Xml(#[from] std::io::Error),
    #[error("it could not be written: {0}")]
    Json(#[from] serde_json::Error),
}
