//! What a training is asked to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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

/// The penalty on coefficients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Penalty {
    None,
    #[default]
    L2,
    L1,
    /// `l1_ratio` of L1, the rest L2.
    ElasticNet {
        l1_ratio: f64,
    },
}

impl Penalty {
    /// The share of L1: 0 for L2, 1 for L1. `None` without a penalty.
    pub const fn l1_ratio(self) -> Option<f64> {
        match self {
            Penalty::None => None,
            Penalty::L2 => Some(0.0),
            Penalty::L1 => Some(1.0),
            Penalty::ElasticNet { l1_ratio } => Some(l1_ratio),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeight {
    #[default]
    None,
    /// `W / (k W_c)`: the sum of row weights over that of the class times the number of classes, as scikit-learn does.
    Balanced,
    /// By class, as text. A class not named weighs 1.
    Of(BTreeMap<String, f64>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// Newton while Hessians are small: up to 500 parameters, or up to 2,000 if those of all shards take at most 128 MiB.
    /// Beyond, L-BFGS, or OWL-QN with an L1 penalty.
    #[default]
    Auto,
    /// Newton steps; with an L1 penalty coordinate descent on each quadratic model.
    Newton,
    Lbfgs,
    Owlqn,
    /// linfa-logistic on one worker: L2 only, no weights.
    Linfa,
}

/// Minimises `C * sum s_i loss_i + penalty(w)`, scikit-learn's objective (docs/training.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogisticOptions {
    pub penalty: Penalty,
    pub c: f64,
    pub class_weight: ClassWeight,
    pub fit_intercept: bool,
    /// The intercept is penalised as the coefficients are (liblinear's objective).
    pub penalise_intercept: bool,
    pub solver: Solver,
    /// On the largest component of the gradient of the mean objective, features scaled to unit variance.
    pub tol: f64,
    pub max_iter: u32,
}

/// Minimises scikit-learn's objectives of LinearRegression, Ridge, Lasso and ElasticNet (docs/training.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearOptions {
    pub penalty: Penalty,
    pub alpha: f64,
    pub fit_intercept: bool,
    pub tol: f64,
    pub max_iter: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NaiveBayesOptions {
    /// Share of the largest variance of all features that is added to variances.
    pub var_smoothing: f64,
    /// Class priors, by class; `None`: as frequent as in the data.
    pub priors: Option<BTreeMap<String, f64>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KMeansOptions {
    pub clusters: u32,
    pub max_iter: u32,
    /// On the sum of squared moves of the centres, as a share of the mean variance of the features.
    pub tol: f64,
    /// Rounds of k-means||.
    pub seeding_rounds: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "algorithm", rename_all = "snake_case")]
pub enum Algorithm {
    Logistic(LogisticOptions),
    Linear(LinearOptions),
    NaiveBayes(NaiveBayesOptions),
    KMeans(KMeansOptions),
}

impl Algorithm {
    /// The word of the command line and of the model's JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Algorithm::Logistic(_) => "logistic",
            Algorithm::Linear(_) => "linear",
            Algorithm::NaiveBayes(_) => "naive-bayes",
            Algorithm::KMeans(_) => "kmeans",
        }
    }
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
