//! From raw columns to the numbers a model computes with. What is learnt from data here (means, categories) is learnt on the
//! training data only and is part of the model, so that prediction takes raw columns by name.

use serde::{Deserialize, Serialize};

use super::spec::Unknown;
use crate::schema::DataType;

/// `(x - mean) / scale`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    pub mean: f64,
    /// Never zero.
    pub scale: f64,
}

/// What stands in for a missing value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Filling {
    Number(f64),
    Text(String),
}

/// How a column becomes numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "encoding", rename_all = "snake_case")]
pub enum Encoding {
    /// One number: integers and floats as they are, booleans as 0 and 1.
    Numeric {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scaling: Option<Scaling>,
    },
    /// One 0/1 column a category. `categories` are the column's values as text, in the order of the columns: sorted by value.
    OneHot { categories: Vec<String>, unknown: Unknown },
}

/// One raw column that a model reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    pub column: String,
    /// The column's type in the training data. Prediction also takes a column whose values fit (int64 for float64).
    #[serde(rename = "type")]
    pub dtype: DataType,
    #[serde(flatten)]
    pub encoding: Encoding,
    /// What stands in for a missing value (null, or NaN in a float column). `None`: a row without a value is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<Filling>,
    /// A column `NAME_missing` follows, 1 where the value was missing.
    #[serde(default)]
    pub indicator: bool,
}

impl Feature {
    /// Numbers this column becomes: its value or its categories, then the indicator.
    pub fn width(&self) -> usize {
        let own = match &self.encoding {
            Encoding::Numeric { .. } => 1,
            Encoding::OneHot { categories, .. } => categories.len(),
        };
        own + usize::from(self.indicator)
    }
}

/// One of the numbers a model computes with, and the column it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    /// `age`, `city=Rome` or `age_missing`.
    pub name: String,
    /// Index into `Encoder::features`.
    pub feature: usize,
}

/// All features, in the order of the coefficients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Encoder {
    pub features: Vec<Feature>,
}

impl Encoder {
    /// Numbers in an encoded row.
    pub fn width(&self) -> usize {
        self.features.iter().map(Feature::width).sum()
    }

    /// The encoded row's columns, in order.
    pub fn outputs(&self) -> Vec<OutputColumn> {
        let mut outputs = Vec::with_capacity(self.width());
        for (n, feature) in self.features.iter().enumerate() {
            let mut push = |name: String| outputs.push(OutputColumn { name, feature: n });
            match &feature.encoding {
                Encoding::Numeric { .. } => push(feature.column.clone()),
                Encoding::OneHot { categories, .. } => {
                    categories.iter().for_each(|c| push(format!("{}={c}", feature.column)));
                }
            }
            if feature.indicator {
                push(format!("{}_missing", feature.column));
            }
        }
        outputs
    }

    /// The raw columns, in order.
    pub fn columns(&self) -> Vec<String> {
        self.features.iter().map(|f| f.column.clone()).collect()
    }
}
