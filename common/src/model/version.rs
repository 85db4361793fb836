//! A model version: immutable, and all that prediction, evaluation and export need.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::encoder::Encoder;
use super::evaluation::Evaluation;
use super::families::Parameters;
use super::onnx::OnnxGraph;
use super::packed::Packed;
use super::reference::{ModelName, ModelRef};
use super::spec::TrainSpec;
use crate::ids::JobId;
use crate::name::DatasetRef;
use crate::schema::DataType;
use crate::time::Timestamp;
use crate::watch::Baseline;

/// A class: a value of the label's column. All classes of a model have one type; they are ordered by value, as
/// scikit-learn's `classes_` are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClassValue {
    Boolean(bool),
    Int64(i64),
    String(String),
}

impl fmt::Display for ClassValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClassValue::Boolean(b) => write!(f, "{b}"),
            ClassValue::Int64(n) => write!(f, "{n}"),
            ClassValue::String(s) => f.write_str(s),
        }
    }
}

/// The column that was learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    pub column: String,
    #[serde(rename = "type")]
    pub dtype: DataType,
}

/// What a model puts out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// One of these; the last of two is the positive one.
    Class {
        label: Label,
        classes: Vec<ClassValue>,
    },
    Number {
        label: Label,
    },
    /// A number from 0.
    Cluster {
        clusters: u32,
    },
}

impl Target {
    pub fn label(&self) -> Option<&Label> {
        match self {
            Target::Class { label, .. } | Target::Number { label } => Some(label),
            Target::Cluster { .. } => None,
        }
    }

    pub fn classes(&self) -> &[ClassValue] {
        match self {
            Target::Class { classes, .. } => classes,
            Target::Number { .. } | Target::Cluster { .. } => &[],
        }
    }
}

/// The objective's second derivatives at the optimum, data terms only (no penalty): what a later update knows of the data
/// that is gone. In the order of the parameters: class by class, each its coefficients and then its intercept if it has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curvature {
    pub size: u32,
    /// The upper triangle, row by row.
    pub upper: Packed,
}

/// One round of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    pub round: u32,
    /// The objective, a mean over rows (weights included), penalty included; for kmeans the inertia.
    pub loss: f64,
    /// The largest component of its gradient, features scaled to unit variance; for kmeans the share that centres moved.
    pub gradient: f64,
    pub seconds: f64,
}

/// How a training went. Of an imported model only the notices say something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    pub rows: u64,
    pub rows_skipped: u64,
    pub rounds: Vec<Round>,
    pub converged: bool,
    /// The solver that ran.
    pub solver: String,
    /// What a person should know: features left out, rows skipped, no convergence.
    pub notices: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub name: ModelName,
    /// 0 until it is published.
    pub version: u32,
    /// `logistic`, `linear`, `naive-bayes`, `kmeans` or `onnx`.
    pub algorithm: String,
    pub target: Target,
    pub features: Encoder,
    pub parameters: Parameters,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curvature: Option<Curvature>,
    pub training: Training,
    /// How the features were distributed in the training data; without it, drift is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// The dataset version it was trained on; `None` of an imported model.
    pub data: Option<DatasetRef>,
    /// The version it continues or started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ModelRef>,
    /// All that was asked for, enough to train it again (`base` left out); `None` of an imported model.
    pub spec: Option<TrainSpec>,
    /// The version of the program.
    pub program: String,
    pub job: JobId,
    pub created: Timestamp,
}

impl Model {
    pub fn reference(&self) -> ModelRef {
        ModelRef::version(self.name.clone(), self.version)
    }

    /// The graph of an imported model.
    pub fn graph(&self) -> Option<&OnnxGraph> {
        match &self.parameters {
            Parameters::Onnx(graph) => Some(graph),
            _ => None,
        }
    }

    /// What it was made from: its training data, or the file it was imported from.
    pub fn origin(&self) -> String {
        match (&self.data, self.graph()) {
            (Some(data), _) => data.to_string(),
            (None, Some(graph)) => graph.file.clone(),
            (None, None) => String::new(),
        }
    }

    /// The model without what only trainings and people need: it travels with every task that predicts.
    pub fn lean(&self) -> Model {
        let mut lean = Model { curvature: None, baseline: None, ..self.clone() };
        if let Some(spec) = &mut lean.spec {
            spec.base = None;
        }
        lean.training.rounds.clear();
        lean
    }
}

/// A model version with what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelDetail {
    pub model: Model,
    /// The aliases that point at it.
    pub aliases: Vec<String>,
    /// Oldest first.
    pub evaluations: Vec<Evaluation>,
}

/// A model version in a list, with the aliases that point at it and its latest evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    pub model: ModelRef,
    pub algorithm: String,
    /// The training data; `None` of an imported model, as are the rows.
    pub data: Option<DatasetRef>,
    pub rows: Option<u64>,
    /// The file that an imported model came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    pub features: u64,
    pub aliases: Vec<String>,
    pub evaluation: Option<Evaluation>,
    pub created: Timestamp,
}
