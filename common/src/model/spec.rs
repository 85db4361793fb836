//! What a training is asked to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::families::Algorithm;
use super::reference::{ModelName, ModelRef};
use super::version::Model;
use crate::name::DatasetRef;

/// What a row without a label gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unlabelled {
    /// The job fails and says how many there are.
    #[default]
    Refuse,
    /// It is left out and counted (`rows_without_label`).
    Skip,
}

/// What a category gets that training did not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// All its columns are 0, and it is counted (`unknown_categories/COLUMN`).
    #[default]
    Ignore,
    /// Its row is rejected.
    Refuse,
}

/// What a feature without variation gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstantFeature {
    /// It is left out, and named in the notices.
    #[default]
    Drop,
    /// The job fails and names it.
    Refuse,
    /// It stays, with whatever coefficient the penalty leaves it (one that is all null cannot stay).
    Keep,
}

/// What a missing value of a feature gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Imputation {
    /// The job fails and says which columns have how many.
    #[default]
    Refuse,
    /// The mean of the training data; numeric columns only.
    Mean,
    /// The median of the training data; numeric columns only.
    Median,
    /// The most frequent value, the smallest of several.
    Mode,
    /// This value, as text.
    Constant(String),
    /// Its row is left out and counted, in training; in prediction it is rejected.
    DropRow,
}

/// Some columns, or all to which it applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Categories {
    /// Columns of text.
    #[default]
    Text,
    /// Columns of text and these.
    And(Vec<String>),
}

/// How raw columns become features.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Preparation {
    /// `None`: every column but the label and the weights, in the dataset's order.
    pub features: Option<Vec<String>>,
    /// Numeric columns to standardise: `None` for none, an empty list for all.
    pub standardise: Option<Vec<String>>,
    /// Columns to one-hot besides those of text.
    pub categorical: Categories,
    /// More distinct values in one column are refused.
    pub max_categories: u64,
    /// For columns that `impute` does not name.
    pub impute_default: Imputation,
    pub impute: BTreeMap<String, Imputation>,
    /// Add `NAME_missing` for every column that had missing values in training.
    pub indicator: bool,
    pub unknown: Unknown,
    pub constant: ConstantFeature,
    pub unlabelled: Unlabelled,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSpec {
    pub input: DatasetRef,
    pub model: ModelName,
    /// `None` for kmeans only.
    pub label: Option<String>,
    /// A numeric column of weights, none negative.
    pub weight_column: Option<String>,
    pub preparation: Preparation,
    #[serde(flatten)]
    pub algorithm: Algorithm,
    /// For whatever is random: k-means||.
    pub seed: u64,
    /// Start from the parameters of this version (same features, same classes).
    pub warm_start: Option<ModelRef>,
    /// Continue from this version on new data only. Its encoder is used as it is.
    pub update: Option<ModelRef>,
    /// The version that `warm_start` or `update` names; resolved by the coordinator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Box<Model>>,
}
